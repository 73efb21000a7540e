"""What several workers say of themselves, as if they were one server. Pure.

What is counted must never become less: to Prometheus that is a server that began anew, and
all that the others have counted would look as if it had just happened. So what a worker has
counted stays when it dies, or loads a model anew.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..observe.report import Values, together
from ..observe.totals import merged

Key = tuple[str, str]


class Ledger:
    """The last report of each worker, and what those have counted that are no more."""

    def __init__(self) -> None:
        self._last: dict[int, Values] = {}
        self._past: dict[Key, dict[str, Any]] = {}

    def add(self, worker: int, report: Values) -> None:
        """A worker's report."""
        now = _totals(report)
        for key, totals in _totals(self._last.get(worker)).items():
            if key not in now or _less(now[key], totals):
                self._keep(key, totals)
        self._last[worker] = report

    def died(self, worker: int) -> None:
        """Nothing more comes from it; another one may take its number."""
        for key, totals in _totals(self._last.pop(worker, None)).items():
            self._keep(key, totals)

    def report(self, present: Iterable[int]) -> Values:
        """All in one: what is now with those that are present, and what all have counted.

        present: the workers that have just reported, one at least.
        """
        there = set(present)
        living = [self._last[worker] for worker in sorted(there)]
        known = {(one["name"], one["version"]) for report in living for one in report["models"]}
        silent = [report for worker, report in self._last.items() if worker not in there]
        counted = [self._past, *map(_totals, silent)]
        return together([*living, _counted_only(living[0], known, counted)])

    def _keep(self, key: Key, totals: Mapping[str, Any]) -> None:
        before = self._past.get(key)
        self._past[key] = merged(before, totals) if before else dict(totals)


def _totals(report: Values | None) -> dict[Key, dict[str, Any]]:
    models = report["models"] if report else ()
    return {
        (one["name"], one["version"]): one["totals"] for one in models if one["totals"] is not None
    }


def _less(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether it has counted from the beginning again."""
    return _requests(one) < _requests(other) or one["runs"] < other["runs"]


def _requests(totals: Mapping[str, Any]) -> int:
    answered: int = totals["success"] + totals["run_failed"] + totals["left"]
    refused: int = sum(totals["refused"].values())
    return answered + refused


def _counted_only(
    like: Values, known: set[Key], counted: Sequence[Mapping[Key, dict[str, Any]]]
) -> Values:
    """A report with counts and nothing else, of the models that anybody has now."""
    models = [
        {"name": key[0], "version": key[1], "totals": totals, "gauges": {}}
        for each in counted
        for key, totals in each.items()
        if key in known
    ]
    return {"version": like["version"], "ready": 1.0, "models": models}
