"""Text in, vectors out, for a model that has a tokenizer.json. Declared in model.toml; no code.

    text ─► tokens ─► queue ─► model ─► one vector a token ─► one vector a text ─► as long as 1
    └─ TextPipeline ┘          └─────────────────── TextRuntime ──────────────────────────────┘

Tokens are made before the queue, so that whoever plans batches knows lengths. Vectors
are pooled within the run, where the batch and its mask are still in one piece.
"""

import os
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from .config import TextConfig
from .errors import BadModel, InvalidInput
from .prepared import Prepared
from .repository import ModelSource
from .runtime import Runtime
from .signature import Array, Signature, Tensors, TensorSpec

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TEXT: Final = "text"
EMBEDDING: Final = "embedding"

IDS: Final = "input_ids"
MASK: Final = "attention_mask"
TYPES: Final = "token_type_ids"

FLOAT32 = np.dtype(np.float32)

# Tokenizers without settings for padding name the token in one of these ways. Which one
# it is hardly matters: what the mask leaves out is not looked at.
PAD_TOKENS = ("[PAD]", "<pad>", "<|endoftext|>")

TINY = 1e-12
"""Shorter vectors are nothing but zeros, and have no direction to keep."""


class TextPipeline:
    """Makes the tokens of a request's texts. After the run nothing is left to be done."""

    def __init__(self, source: ModelSource, path: Path, inner: Signature) -> None:
        """
        path: the tokenizer.json. inner: what the ONNX model takes.

        Raises BadModel if either cannot be used.
        """
        _check_inputs(source, inner)
        config = source.config.text or TextConfig()
        self._tokenizer = _load(path)
        pads = self._tokenizer.padding or {}
        pad_id = pads.get("pad_id", _pad_id(self._tokenizer))
        self.padding: Mapping[str, int] = {IDS: pad_id, MASK: 0, TYPES: pads.get("pad_type_id", 0)}
        """For each input of the model: what fills it up behind the tokens."""
        self._inputs = {spec.name: spec for spec in inner.inputs}
        fixed = inner.inputs[0].shape[1]
        self._fixed = fixed if isinstance(fixed, int) else 0
        _cut(self._tokenizer, path, min(config.max_length, self._fixed or config.max_length))
        text = TensorSpec(TEXT, np.dtype(object), inner.inputs[0].shape[:1])
        vectors = TensorSpec(EMBEDDING, FLOAT32, _vectors(source, inner).shape)
        self._signature = Signature((text,), (vectors,), batched=inner.batched)

    @property
    def signature(self) -> Signature:
        return self._signature

    def before(self, inputs: Tensors) -> Prepared:
        """The tokens of each text, padded to the longest."""
        self._signature.check(inputs)
        texts = [_decoded(row, text) for row, text in enumerate(inputs[TEXT].tolist())]
        # Releases the GIL. Not split among threads; see `_load`.
        encodings = self._tokenizer.encode_batch_fast(texts)
        ids = [encoding.ids for encoding in encodings]
        counts = np.fromiter(map(len, ids), np.int64, len(ids))
        length = self._fixed or max(1, int(counts.max(initial=0)))
        tokens = np.arange(length) < counts[:, np.newaxis]
        tensors: dict[str, Array] = {MASK: tokens.astype(self._inputs[MASK].dtype)}
        for name in self._inputs.keys() - {MASK}:
            rows = ids if name == IDS else [encoding.type_ids for encoding in encodings]
            filled = np.full(tokens.shape, self.padding[name], self._inputs[name].dtype)
            # Row by row, as the mask goes through its own.
            filled[tokens] = np.fromiter(chain.from_iterable(rows), filled.dtype, counts.sum())
            tensors[name] = filled
        own = () if self._fixed else np.maximum(counts, 1).tolist()
        return Prepared(tensors, length, own)

    @property
    def has_after(self) -> bool:
        return False

    def after(self, outputs: Tensors) -> Tensors:
        return outputs


class TextRuntime:
    """Runs the model and makes one vector of each row's tokens."""

    def __init__(self, source: ModelSource, inner: Runtime, padding: Mapping[str, int]) -> None:
        """Raises BadModel if the model gives no vectors, or not as the settings say."""
        config = source.config.text or TextConfig()
        self._inner = inner
        self._pooling, self._normalize = config.pooling, config.normalize
        vectors = _vectors(source, inner.signature)
        self._output = vectors.name
        self._signature = Signature(
            tuple(_padded(spec, padding, inner.signature) for spec in inner.signature.inputs),
            (TensorSpec(EMBEDDING, FLOAT32, vectors.shape),),
            batched=inner.signature.batched,
        )

    @property
    def signature(self) -> Signature:
        return self._signature

    def run(self, inputs: Tensors) -> Tensors:
        """See Runtime."""
        given: NDArray[Any] = self._inner.run(inputs)[self._output]
        given = given.astype(np.float32, copy=False)
        if self._pooling == "mean":
            vectors = _mean(given, inputs[MASK])
        else:
            vectors = given[:, 0] if self._pooling == "cls" else given
        if self._normalize:
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors = vectors / np.maximum(lengths, TINY)
        return {EMBEDDING: vectors}

    def close(self) -> None:
        self._inner.close()


def _mean(vectors: NDArray[np.float32], mask: Array) -> NDArray[np.float32]:
    """The mean of each row's tokens; zeros for a row without any."""
    weights = mask.astype(np.float32)
    counts = weights.sum(axis=1, keepdims=True)
    # As a product of matrices: five times as fast as multiplying and adding up.
    sums: NDArray[np.float32] = np.matmul(weights[:, np.newaxis], vectors)[:, 0]
    # A model that is shown nothing may answer anything, NaN included.
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.float32(0))


def _padded(spec: TensorSpec, padding: Mapping[str, int], inner: Signature) -> TensorSpec:
    moving = inner.batched and not isinstance(spec.shape[1], int)
    return TensorSpec(spec.name, spec.dtype, spec.shape, padding[spec.name] if moving else None)


def _check_inputs(source: ModelSource, inner: Signature) -> None:
    """Whether the model takes what a tokenizer gives."""
    inputs = {spec.name: spec for spec in inner.inputs}
    hint = "What else a model needs, a pipeline.py can make."
    if missing := [name for name in (IDS, MASK) if name not in inputs]:
        # Without a mask it would look at the padding, and answer differently in company.
        raise BadModel(
            f"{source.path} has a tokenizer, but no input {missing[0]!r} for what it gives. {hint}"
        )
    for spec in inner.inputs:
        if spec.name not in (IDS, MASK, TYPES):
            raise BadModel(f"{source.path}: a tokenizer gives nothing for input {spec}. {hint}")
        if len(spec.shape) != 2 or spec.dtype.kind not in "iuf":
            raise BadModel(f"{source.path}: input {spec} should be numbers [batch, tokens]. {hint}")


def _vectors(source: ModelSource, inner: Signature) -> TensorSpec:
    """The output that the vectors are made of, with the shape that they will have."""
    config = source.config.text or TextConfig()
    axes = 2 if config.pooling == "none" else 3
    outputs = {spec.name: spec for spec in inner.outputs}
    if config.output is not None and config.output not in outputs:
        raise BadModel(
            f"{source.path} has no output {config.output!r} as model.toml's [text] wants; "
            f"it has {', '.join(map(repr, outputs))}."
        )
    fitting = [spec for spec in inner.outputs if len(spec.shape) == axes]
    spec = outputs[config.output] if config.output else (fitting or list(inner.outputs))[0]
    if len(spec.shape) != axes or spec.dtype.kind != "f":
        hint = 'pooling = "none" is for a vector a text, the others for a vector a token'
        raise BadModel(
            f'{source.path}: output {spec} is not what pooling = "{config.pooling}" takes; '
            f"{hint}. Set pooling and output under [text] in model.toml."
        )
    if isinstance(spec.shape[-1], str) and spec.shape[-1] == inner.inputs[0].shape[1]:
        raise BadModel(f"{source.path}: output {spec} has a number a token, and no vector.")
    return TensorSpec(spec.name, spec.dtype, (spec.shape[0], spec.shape[-1]))


def _load(path: Path) -> "Tokenizer":
    # Left to itself, the library splits a request's texts among threads of its own, one
    # a core, which would take the cores from the model's run. It looks this up at each call.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise BadModel(
            f"{path} needs the tokenizers package: pip install 'jitney[text]'."
        ) from error
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library's errors have no base of their own
        raise BadModel(f"{path} cannot be read by tokenizers: {error}.") from error


def _pad_id(tokenizer: "Tokenizer") -> int:
    known = (tokenizer.token_to_id(token) for token in PAD_TOKENS)
    return next((token for token in known if token is not None), 0)


def _cut(tokenizer: "Tokenizer", path: Path, max_length: int) -> None:
    """Let the tokenizer cut what is too long, and leave padding to us."""
    special = tokenizer.num_special_tokens_to_add(False)
    if max_length <= special:
        raise BadModel(
            f"{path} adds {special} special tokens to every text, "
            f"so {max_length} leaves no room for it; set a larger max_length under [text]."
        )
    direction = (tokenizer.truncation or {}).get("direction", "right")
    tokenizer.enable_truncation(max_length, direction=direction)
    tokenizer.no_padding()


def _decoded(row: int, text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"input {TEXT!r}: row {row} is not UTF-8") from error
