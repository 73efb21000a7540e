"""The perceptron as a runtime of MLServer, which speaks the same protocol as Jitney."""

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse
from perceptron import Perceptron


class Runner(MLModel):
    """Runs a batch at a time; MLServer's adaptive batching makes it."""

    async def load(self) -> bool:
        self._model = Perceptron()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = NumpyCodec.decode_input(payload.inputs[0])
        # As MLServer's own runtimes do, on the event loop: on one core a thread gains nothing.
        output = NumpyCodec.encode_output("y", self._model.run(rows))
        return InferenceResponse(model_name=self.name, outputs=[output])
