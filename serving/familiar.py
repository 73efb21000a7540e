"""What is known of requests that come again and again, with other numbers."""

from collections.abc import Callable, Hashable
from typing import NamedTuple

from batching import Alike
from models import Checked, Tensors

from .protocol import Envelope, InferRequest, envelope_of

MAX_FAMILIAR = 256

# Who sends an id of its own with each request repeats nothing: after so many, nobody looks.
_LESSONS = 8


class Familiar(NamedTuple):
    """Of requests that differ in their numbers only."""

    envelope: Envelope
    """What is around the numbers."""
    alike: Alike
    """What their tickets have in common."""
    says_more: bool
    """Whether its body says what a first look at its head cannot know of, or has several rows."""


class Familiars(dict[Hashable, Familiar]):
    """Of one model, by what those are known that are likely to be alike: their heads."""

    def __init__(
        self,
        check: Callable[[Tensors], Checked],
        priority: Callable[[int], int],
    ) -> None:
        """check: as `Signature.check`. priority: what counts as such a one."""
        self._check, self._priority = check, priority
        self._lessons: dict[Hashable, int] = {}

    def another_lesson(self, of: Hashable) -> bool:
        """Whether one more request is to be looked at for what it has in common with others."""
        lessons = self._lessons.get(of, 0)
        if lessons >= _LESSONS:
            return False
        if len(self._lessons) >= MAX_FAMILIAR:
            self._lessons.clear()
        self._lessons[of] = lessons + 1
        return True

    def learn(
        self,
        of: Hashable,
        body: bytes,
        json_length: int | None,
        request: InferRequest,
        timeout_s: float | None,
        patience_s: Callable[[int], float],
    ) -> None:
        """Keep what a request that was all right has around its numbers, if that is of use.

        timeout_s: what the request is allowed, if its body does not say. patience_s: what
        requests of so many rows are, where nothing says.
        """
        envelope = envelope_of(body, json_length, request)
        if envelope is None:
            return
        rows, key = self._check(request.inputs)
        rows = max(1, rows)
        says_more = rows > 1 or bool(request.priority) or request.timeout_s is not None
        if request.timeout_s is not None:
            timeout_s = request.timeout_s
        elif timeout_s is None:
            timeout_s = patience_s(rows)
        if len(self) >= MAX_FAMILIAR:
            self.clear()
        alike = Alike(rows, key, self._priority(request.priority), timeout_s)
        self[of] = Familiar(envelope, alike, says_more)
