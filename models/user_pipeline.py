"""A user's own pipeline.py: plain functions before(inputs) and after(outputs), either optional.

    def before(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]   # what the ONNX model takes
    def after(outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]   # what the caller gets

A ValueError from either is for the caller, and says what is wrong with the request.
Whatever else goes wrong, what they give included, is for the log.
"""

import hashlib
import importlib.util
import inspect
import logging
import sys
from collections.abc import Callable, Mapping
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import numpy as np

from .errors import BadModel, InvalidInput, PipelineFailed
from .prepared import Prepared
from .repository import CONFIG_FILE, ModelSource
from .signature import Array, Signature, Tensors, TensorSpec, byte_strings

Step = Callable[[dict[str, Array]], Any]

logger = logging.getLogger(__name__)


class UserPipeline:
    """Calls the functions, and believes nothing that they give."""

    def __init__(self, source: ModelSource, path: Path, inner: Signature) -> None:
        """
        path: the pipeline.py. inner: what the ONNX model takes and gives.

        Raises BadModel if the file or what the settings say of it cannot be used.
        """
        config = source.config
        module = _imported(path)
        self._before, self._after = _step(path, module, "before"), _step(path, module, "after")
        if self._before is None and self._after is None:
            raise BadModel(f"{path} has neither a function before nor a function after.")
        for key, declared, step in (
            ("inputs", config.inputs, self._before),
            ("outputs", config.outputs, self._after),
        ):
            if declared and step is None:
                name = "before" if key == "inputs" else "after"
                raise BadModel(
                    f"{source.path}: its {CONFIG_FILE} has [[{key}]], "
                    f"but {path.name} has no function {name} for them."
                )
        self._name, self._inner = source.name, inner
        self._signature = Signature(
            tuple(tensor.spec for tensor in config.inputs) or inner.inputs,
            tuple(tensor.spec for tensor in config.outputs) or inner.outputs,
            batched=inner.batched,
        )

    @property
    def signature(self) -> Signature:
        return self._signature

    def before(self, inputs: Tensors) -> Prepared:
        """What the user's function makes of the inputs, if the ONNX model takes it."""
        self._signature.check(inputs)
        if self._before is None:
            return Prepared(inputs)
        given = self._call(self._before, inputs)
        try:
            tensors = _fitted(given, self._inner.inputs)
            self._inner.check(tensors)
        except (ValueError, TypeError, InvalidInput) as error:
            logger.error("model %r: what before gave is wrong: %s", self._name, error)
            raise PipelineFailed(self._name) from error
        return Prepared(tensors)

    @property
    def has_after(self) -> bool:
        return self._after is not None

    def after(self, outputs: Tensors) -> Tensors:
        """What the user's function makes of the outputs, if it is what was promised."""
        if self._after is None:
            return outputs
        given = self._call(self._after, outputs)
        try:
            return _fitted(given, self._signature.outputs)
        except (ValueError, TypeError) as error:
            logger.error("model %r: what after gave is wrong: %s", self._name, error)
            raise PipelineFailed(self._name) from error

    def _call(self, step: Step, tensors: Tensors) -> Any:
        try:
            return step({name: _own(tensor) for name, tensor in tensors.items()})
        except ValueError as error:
            logger.debug("model %r: %s", self._name, error, exc_info=True)
            raise InvalidInput(str(error) or "the model cannot take this") from error
        # sys.exit() in a model's code must not end the server.
        except (Exception, SystemExit) as error:
            logger.exception("model %r: %s failed", self._name, step.__name__)
            raise PipelineFailed(self._name) from error


def _own(tensor: Array) -> Array:
    """The tensor to be written to, as `x /= 255` does: a request's bytes may not be."""
    return tensor if tensor.flags.writeable else tensor.copy()


def _fitted(given: Any, specs: tuple[TensorSpec, ...]) -> dict[str, Array]:
    """The tensors by the specs; raises ValueError or TypeError saying what does not fit."""
    wanted = [spec.name for spec in specs]
    if not isinstance(given, Mapping):
        raise TypeError(f"expected a dictionary with {wanted}, got {type(given).__name__}")
    if given.keys() != set(wanted):
        raise ValueError(
            f"expected tensors named {wanted}, got {list(given)}; "
            f"names of your own are declared in {CONFIG_FILE}"
        )
    return {spec.name: _fitting(spec, given[spec.name]) for spec in specs}


def _fitting(spec: TensorSpec, value: Any) -> Array:
    tensor = byte_strings(value) if spec.dtype.hasobject else np.asarray(value)
    if tensor.dtype != spec.dtype:
        narrowed = tensor
        if np.can_cast(tensor.dtype, spec.dtype, "same_kind"):
            narrowed = tensor.astype(spec.dtype)
        # Float64 is what numpy makes of most things, and loses what nobody misses.
        # A whole number that does not fit would be another number.
        if spec.dtype.kind != "f" and not np.array_equal(narrowed, tensor):
            raise ValueError(f"{spec.name!r} holds numbers that do not fit {spec.dtype.name}")
        tensor = narrowed
    if tensor.dtype != spec.dtype:
        raise ValueError(f"{spec.name!r} should be {spec.dtype.name}, not {tensor.dtype.name}")
    fits = len(tensor.shape) == len(spec.shape) and all(
        want in (-1, size) for want, size in zip(spec.sizes, tensor.shape, strict=True)
    )
    if not fits:
        raise ValueError(
            f"{spec.name!r} should have shape {list(spec.sizes)}, not {list(tensor.shape)}"
        )
    return np.ascontiguousarray(tensor)


class _Loader(SourceFileLoader):
    """Reads the file itself, always: a cached one may be older, and model folders stay clean."""

    def get_code(self, fullname: str) -> CodeType:
        code: CodeType = self.source_to_code(self.get_data(self.path), self.path)
        return code


def _imported(path: Path) -> ModuleType:
    """The file as a module that nobody can import by accident. Raises BadModel."""
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
    name = f"_jitney_pipeline_{digest}"
    spec = importlib.util.spec_from_file_location(name, path, loader=_Loader(name, str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and pickle look their module up there.
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        if before is None:
            del sys.modules[name]
        else:
            sys.modules[name] = before  # the one that goes on serving
        reason = " ".join(str(error).split()) or "no reason given"
        raise BadModel(f"{path} cannot be imported: {type(error).__name__}: {reason}.") from error
    return module


def _step(path: Path, module: ModuleType, name: str) -> Step | None:
    step = getattr(module, name, None)
    if step is None:
        return None
    if not callable(step) or inspect.iscoroutinefunction(step):
        raise BadModel(f"{path}: {name} must be a plain function.")
    found: Step = step
    return found
