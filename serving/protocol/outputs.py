"""What a model gives, and whether a request asks for something that it cannot give.

That is told before the model runs: a reply that cannot be written must not cost a run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .classification import check_classifiable
from .elements import NO_JSON_FORM, kind_of
from .errors import InvalidRequest
from .request import InferRequest
from .requested import RequestedOutput


@dataclass(frozen=True, slots=True)
class ModelOutputs:
    """What a model gives, as far as a reply depends on it. Made once for a model."""

    datatypes: Mapping[str, str]
    """Of all outputs, in the model's own order."""
    batched: bool = True
    """Whether the first axis of every output counts rows."""
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By an output's name, what its elements stand for. Those that have any."""
    _in_json: bool = field(init=False)

    def __post_init__(self) -> None:
        # The one thing to know of a request that lists no outputs.
        object.__setattr__(self, "_in_json", NO_JSON_FORM.isdisjoint(self.datatypes.values()))

    def check(self, request: InferRequest) -> None:
        """Refuse, before the model runs, to write what cannot be written. Raises InvalidRequest."""
        if not request.outputs:
            if not (self._in_json or request.binary_outputs):
                raise no_json_form(
                    *next(each for each in self.datatypes.items() if each[1] in NO_JSON_FORM)
                )
            return
        for output in request.outputs:
            datatype = self.datatypes.get(output.name)
            if datatype is None:
                raise unexpected(output.name, self.datatypes)
            if output.classification:
                check_classifiable(output.name, datatype)
            elif datatype in NO_JSON_FORM and not in_binary(request, output):
                raise no_json_form(output.name, datatype)


def in_binary(request: InferRequest, output: RequestedOutput) -> bool:
    """Whether an output that was asked for is sent as bytes.

    One that does not say follows the request's `binary_data_output`, which is for "all
    outputs" by the extension's text. (Triton's code sends JSON there. No client that we
    know of relies on that: they say it for each output, or list none.)
    """
    return request.binary_outputs if output.binary is None else output.binary


def unexpected(name: str, outputs: Mapping[str, Any]) -> InvalidRequest:
    """That a request asks for an output that is not there."""
    return InvalidRequest(
        f"unexpected output {kind_of(name)}: the model's outputs are {list(outputs)}"
    )


def no_json_form(name: str, datatype: str) -> InvalidRequest:
    """That an output was asked for as JSON and cannot be that."""
    return InvalidRequest(
        f"output {name!r} is {datatype}, which has no JSON form; ask for binary data"
    )
