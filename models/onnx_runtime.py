"""ONNX files through onnxruntime. The only file that imports it."""

import ctypes
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

# Newer builds of the engine report home unless told not to. A server that takes other
# people's data, maybe in a network of its own, must not; whoever wants it can set it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime as ort

from .allocator import weights_apart
from .bfloat16 import BFLOAT16
from .errors import BadModel, InvalidInput
from .signature import Array, Dim, Signature, Tensors, TensorSpec

VERSION: str = ort.__version__

DTYPES: dict[str, type[np.generic]] = {
    "tensor(bool)": np.bool_,
    "tensor(uint8)": np.uint8,
    "tensor(uint16)": np.uint16,
    "tensor(uint32)": np.uint32,
    "tensor(uint64)": np.uint64,
    "tensor(int8)": np.int8,
    "tensor(int16)": np.int16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(float16)": np.float16,
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(string)": np.object_,
}


class OnnxRuntime:
    """One session, shared by every thread that runs the model."""

    def __init__(self, path: Path, *, threads: int) -> None:
        """
        path: the ONNX file. threads: how many one run may use.

        Raises BadModel if the file cannot be loaded or has inputs or outputs that
        are not tensors.
        """
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Threads that spin for the next run burn the core that the event loop needs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Errors are raised. Printed too, they would let any caller fill the terminal.
        options.log_severity_level = 4
        try:
            with weights_apart():
                self._session = ort.InferenceSession(
                    str(path), options, providers=["CPUExecutionProvider"]
                )
        except Exception as error:  # the engine's errors have no base of their own
            raise BadModel(
                f"{path} cannot be loaded by onnxruntime {VERSION}: {_reason(error)}. "
                "Check that it is a complete ONNX file."
            ) from error
        inputs = tuple(_spec(path, "input", tensor) for tensor in self._session.get_inputs())
        outputs = tuple(_spec(path, "output", tensor) for tensor in self._session.get_outputs())
        signature = Signature(inputs, outputs)
        self._signature = Signature(inputs, outputs, batched=signature.may_batch)
        self._output_names = [spec.name for spec in outputs]
        self._texts_in = [spec.name for spec in inputs if spec.dtype.hasobject]
        self._texts_out = [spec.name for spec in outputs if spec.dtype.hasobject]
        self._run_options: ort.RunOptions | None = None
        self._bfloats = any(spec.dtype == BFLOAT16 for spec in (*inputs, *outputs))

    @property
    def signature(self) -> Signature:
        return self._signature

    def run(self, inputs: Tensors) -> Tensors:
        """See Runtime. Byte strings must be UTF-8: the engine knows no others."""
        if self._texts_in:
            inputs = {**inputs, **{name: _to_text(name, inputs[name]) for name in self._texts_in}}
        if self._bfloats:
            results = self._run_bfloats(inputs)
        else:
            results = self._session.run(self._output_names, inputs, self._run_options)
        outputs = dict(zip(self._output_names, results, strict=True))
        for name in self._texts_out:
            outputs[name] = _to_bytes(outputs[name])
        return outputs

    def _run_bfloats(self, inputs: Tensors) -> list[Array]:
        """A run with values of the engine's own, which alone can be bfloat16."""
        values = {name: _to_value(tensor) for name, tensor in inputs.items()}
        results = self._session.run_with_ort_values(self._output_names, values, self._run_options)
        return [_from_value(value) for value in results]

    @contextmanager
    def shrinking(self) -> Iterator[None]:
        """Each run gives back, when it ends, the memory that larger ones before it have left."""
        self._run_options = ort.RunOptions()
        self._run_options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        try:
            yield
        finally:
            self._run_options = None

    def take_over(self, other: "OnnxRuntime") -> None:
        """Go on with the session of another runtime of the same file, which is closed by this.

        Nothing may be running.
        """
        self._session = other._session
        other.close()

    def close(self) -> None:
        # The session's memory is freed with its last reference.
        del self._session


def _spec(path: Path, kind: str, tensor: Any) -> TensorSpec:
    if tensor.type == "tensor(bfloat16)":
        return TensorSpec(tensor.name, BFLOAT16, tuple(map(_dim, tensor.shape)))
    if tensor.type not in DTYPES:
        hint = (
            "Export it without ZipMap (skl2onnx: options={'zipmap': False})."
            if tensor.type.startswith("seq(map(")
            else "Only tensors of numbers, booleans and strings can be served."
        )
        raise BadModel(f"{path}: {kind} {tensor.name!r} is of type {tensor.type}. {hint}")
    shape = tuple(map(_dim, tensor.shape))
    return TensorSpec(tensor.name, np.dtype(DTYPES[tensor.type]), shape)


def _dim(dim: int | str | None) -> Dim:
    if isinstance(dim, str):
        # Some exporters write '?' or '-1' for whatever they do not know. Taken for a
        # symbol, it would ask that an image be square.
        return dim if any(map(str.isalpha, dim)) else None
    return dim if dim is not None and dim >= 0 else None


def _reason(error: Exception) -> str:
    """The engine's message without its code and without the path, which we name ourselves."""
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", " ".join(str(error).split()))
    text = text.rsplit("failed:", 1)[-1]
    return text.rstrip(".") or type(error).__name__


_BFLOAT16 = 16
"""ONNX's number for the type."""


def _to_value(tensor: Array) -> Any:
    tensor = np.ascontiguousarray(tensor).reshape(tensor.shape)
    if tensor.dtype == BFLOAT16:
        return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(tensor.view("<u2"), _BFLOAT16)
    return ort.OrtValue.ortvalue_from_numpy(tensor)


def _from_value(value: Any) -> Array:
    if value.element_type() != _BFLOAT16:
        tensor: Array = value.numpy()
        return tensor
    shape = tuple(value.shape())
    size = 2 * prod(shape)
    # The engine gives such tensors to numpy in no other way.
    data = ctypes.string_at(value.data_ptr(), size) if size else b""
    return np.frombuffer(data, BFLOAT16).reshape(shape)


def _to_text(name: str, values: Array) -> Array:
    try:
        texts = [value.decode() for value in values.ravel().tolist()]
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"input {name!r}: the model takes text, and this is not UTF-8"
        ) from error
    return np.array(texts, dtype=object).reshape(values.shape)


def _to_bytes(values: Array) -> Array:
    encoded = np.empty(values.size, dtype=object)
    encoded[:] = [value.encode() for value in values.ravel().tolist()]
    return encoded.reshape(values.shape)
