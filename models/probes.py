"""Inputs made up to try a model with: valid, varied, and the same at every start.

What a model accepts its signature does not fully say: an index may have to lie in a
table of unknown size. So there are several attempts, the most telling first, each of
them a list of requests of one row. Who runs them goes on to the next if one fails.
"""

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bfloat16 import BFLOAT16, to_bfloat16, to_float32
from .pipeline import Pipeline
from .signature import Array, Signature, Tensors, TensorSpec
from .text import TEXT

COUNT = 16
"""Rows of an attempt."""

# Integers are mostly indices: into a vocabulary, a table of categories, a pair.
BOUNDS = (1000, 100, 2, 1)
# Axes of any size: long enough to be like something, or as short as can be.
SIZES = (16, 1)
MAX_ELEMENTS = 2**22

MAX_BYTES = 64 * 2**20
"""Of all inputs of a batch that is made up."""

TEXT_SAMPLE = (
    "the bus leaves when leaving pays and nobody waits for a timetable that was written "
    "years ago by people who never took it to work on a wet morning in march"
)
WORDS = TEXT_SAMPLE.split()
SENTENCE_LENGTHS = (8, 3, 21, 1, 13, 5, 34, 2)
LONG_TEXT_WORDS = 10_000
DEFAULT_LONGEST = 256


def attempts(
    signature: Signature, example: Tensors | None = None, count: int = COUNT
) -> Iterator[list[Tensors]]:
    """Requests of one row for a runtime of this signature; the first is the example, if given."""
    if example is not None:
        for whole in (False, True):
            rng = np.random.default_rng(0)
            others = [_varied(example, rng, keep_integers=whole) for _ in range(count - 1)]
            yield [example, *others]
        return
    for size in SIZES if _moving(signature) else SIZES[-1:]:
        elements = sum(prod(_row_shape(spec, signature, size)) for spec in signature.inputs)
        if elements > MAX_ELEMENTS and size > 1:
            continue
        fitting = max(2, min(count, MAX_ELEMENTS * COUNT // max(1, elements)))
        for bound in BOUNDS:
            rng = np.random.default_rng(0)
            yield [_invented(signature, size, bound, rng) for _ in range(min(count, fitting))]


def text_attempt(pipeline: Pipeline, example: Tensors | None = None) -> list[Tensors]:
    """Sentences of different lengths as the runtime takes them."""
    texts = [sentence(words) for words in SENTENCE_LENGTHS * (COUNT // len(SENTENCE_LENGTHS))]
    rows = [pipeline.before(text_request(text)).tensors for text in texts]
    return rows if example is None else [example, *rows[1:]]


def longest_text(pipeline: Pipeline) -> int:
    """The tokens of the longest text that the pipeline lets through."""
    return pipeline.before(text_request(sentence(LONG_TEXT_WORDS))).length


def sentence(words: int) -> bytes:
    """A text of so many words; other numbers begin elsewhere."""
    return " ".join(WORDS[(words + n) % len(WORDS)] for n in range(words)).encode()


def text_request(*texts: bytes) -> Tensors:
    """Texts as a text pipeline takes them."""
    rows = np.empty(len(texts), object)
    rows[:] = texts
    return {TEXT: rows}


def together(rows: Sequence[Tensors], signature: Signature) -> Tensors:
    """The rows as one batch; what may be padded is made as long as the longest."""
    return {spec.name: _padded([row[spec.name] for row in rows], spec) for spec in signature.inputs}


def batch(rows: Sequence[Tensors], signature: Signature, count: int, length: int) -> Tensors:
    """A batch of so many rows, the given ones again and again; padded inputs so long."""
    if length:
        longest = max(rows, key=lambda row: _length(row, signature))
        rows = [
            {
                spec.name: _stretched(longest[spec.name], length)
                if spec.pad is not None
                else longest[spec.name]
                for spec in signature.inputs
            }
        ]
    if not signature.batched:
        return rows[0]
    return together([rows[n % len(rows)] for n in range(count)], signature)


def most_rows(row: Tensors) -> int:
    """How many such rows a batch that is made up may have."""
    return max(1, MAX_BYTES // max(1, sum(tensor.nbytes for tensor in row.values())))


def all_alike(rows: Sequence[Tensors]) -> bool:
    """Whether the rows do not differ in anything: a comparison of such would tell nothing."""
    first = rows[0]
    return all(np.array_equal(row[name], first[name]) for row in rows[1:] for name in first)


def _length(row: Tensors, signature: Signature) -> int:
    lengths = (row[spec.name].shape[1] for spec in signature.inputs if spec.pad is not None)
    return max(lengths, default=0)


def _padded(parts: Sequence[Array], spec: TensorSpec) -> Array:
    if spec.pad is None:
        return np.concatenate(parts)
    length = max(part.shape[1] for part in parts)
    shape = (sum(map(len, parts)), length, *parts[0].shape[2:])
    filled: Array = np.full(shape, spec.pad, spec.dtype)
    start = 0
    for part in parts:
        filled[start : start + len(part), : part.shape[1]] = part
        start += len(part)
    return filled


def _stretched(tensor: Array, length: int) -> Array:
    return np.ascontiguousarray(tensor[:, np.arange(length) % tensor.shape[1]])


def _moving(signature: Signature) -> bool:
    first = 1 if signature.batched else 0
    return any(not isinstance(dim, int) for spec in signature.inputs for dim in spec.shape[first:])


def _row_shape(spec: TensorSpec, signature: Signature, size: int) -> tuple[int, ...]:
    dims = (1, *spec.shape[1:]) if signature.batched else spec.shape
    return tuple(dim if isinstance(dim, int) else size for dim in dims)


def _invented(signature: Signature, size: int, bound: int, rng: np.random.Generator) -> Tensors:
    return {
        spec.name: _elements_of(spec, _row_shape(spec, signature, size), bound, rng)
        for spec in signature.inputs
    }


def _elements_of(
    spec: TensorSpec, shape: tuple[int, ...], bound: int, rng: np.random.Generator
) -> Array:
    # Transformers are served without their tokenizer too. A mask of anything but ones
    # and zeros is nonsense to them, and a table of token types has two rows.
    mask, types = "mask" in spec.name.lower(), "type" in spec.name.lower()
    if spec.dtype.hasobject:
        words = rng.integers(1, 12, prod(shape))
        texts = np.empty(len(words), object)
        texts[:] = [sentence(int(count)) if bound > 1 else b"" for count in words]
        return texts.reshape(shape)
    filled: NDArray[Any]
    if mask:
        filled = np.ones(shape)
    elif spec.dtype == BFLOAT16:
        return to_bfloat16(rng.standard_normal(shape))
    elif spec.dtype.kind == "f":
        filled = rng.standard_normal(shape)
    elif spec.dtype.kind == "b":
        filled = rng.integers(0, 2, shape)
    else:
        # The largest number of an unsigned type is beyond what a signed one of its size holds.
        most = 2 ** (8 * spec.dtype.itemsize - 1)
        filled = rng.integers(0, min(bound, most, 2 if types else bound), shape)
    return filled.astype(spec.dtype)


def _varied(example: Tensors, rng: np.random.Generator, *, keep_integers: bool) -> Tensors:
    return {name: _near(tensor, rng, keep_integers) for name, tensor in example.items()}


def _near(tensor: Array, rng: np.random.Generator, keep_integers: bool) -> Array:
    if tensor.dtype == BFLOAT16:
        return to_bfloat16(_near(to_float32(tensor), rng, keep_integers))
    if tensor.dtype.kind == "f":
        values: NDArray[np.float64] = tensor.astype(np.float64)
        rough = 0.05 * np.sqrt(np.mean(values**2)) if values.size else 0.0
        noise = rng.standard_normal((2, *tensor.shape))
        varied: Array = (values * (1 + 0.3 * noise[0]) + rough * noise[1]).astype(tensor.dtype)
        return varied
    if tensor.dtype.kind in "iu" and not keep_integers:
        # What is below a valid index mostly is one too, whatever table it is for.
        numbers: NDArray[np.float64] = tensor.astype(np.float64)
        fewer: Array = np.round(numbers * rng.uniform(0, 1, tensor.shape)).astype(tensor.dtype)
        return fewer
    return tensor
