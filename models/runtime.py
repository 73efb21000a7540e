"""What an engine must be able to do. `onnx_runtime.py` is one; tests bring others."""

from typing import Protocol

from .signature import Signature, Tensors


class Runtime(Protocol):
    """A loaded model. `run` may be called from several threads at one time."""

    @property
    def signature(self) -> Signature: ...

    def run(self, inputs: Tensors) -> Tensors:
        """All outputs for inputs that the signature accepts. Blocks, and releases the GIL."""
        ...

    def close(self) -> None:
        """Free what the model holds. Nothing may be running, and nothing may run after."""
