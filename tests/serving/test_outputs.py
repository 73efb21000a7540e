"""What is asked for and cannot be given is refused before the model runs."""

import pytest

from serving.protocol import InferRequest, InvalidRequest, ModelOutputs, RequestedOutput

MODEL = ModelOutputs({"y": "FP32", "half": "FP16", "brain": "BF16", "text": "BYTES"})
PLAIN = ModelOutputs({"y": "FP32", "text": "BYTES"})


def asking(*outputs: RequestedOutput, **request: object) -> InferRequest:
    return InferRequest({}, outputs=outputs, **request)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("model", "request_"),
    [
        (PLAIN, asking()),
        (PLAIN, asking(binary_outputs=True)),
        (MODEL, asking(binary_outputs=True)),
        (MODEL, asking(RequestedOutput("y", None), RequestedOutput("half", True))),
        (MODEL, asking(RequestedOutput("brain", None), binary_outputs=True)),
        (MODEL, asking(RequestedOutput("y", None, classification=3))),
    ],
)
def test_what_the_model_can_give(model, request_):
    model.check(request_)


# --- abuse

HALF = "output 'half' is FP16, which has no JSON form; ask for binary data"


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (asking(), HALF),
        (asking(RequestedOutput("half", None)), HALF),
        (asking(RequestedOutput("half", False), binary_outputs=True), HALF),
        (asking(RequestedOutput("y", None), RequestedOutput("q", True)), 'unexpected output "q"'),
        (asking(RequestedOutput("q", None, classification=1)), 'unexpected output "q"'),
        (asking(RequestedOutput("half", True, 1)), "'half' is FP16, which cannot be classified"),
        (asking(RequestedOutput("text", True, 1)), "'text' is BYTES, which cannot be classified"),
    ],
)
def test_what_it_cannot(request_, says):
    with pytest.raises(InvalidRequest) as refused:
        MODEL.check(request_)

    assert says in str(refused.value)
