"""How the page asks a person for a model's input: by what the input is, or as model.toml says."""

from math import isqrt, prod
from typing import Any, Final

import numpy as np

from models import Array, ModelConfig, Signature, Tensors, TensorSpec
from models.bfloat16 import BFLOAT16, to_float32

LARGEST_SIDE: Final = 256

_UNFIT: Final = {
    "draw": "needs a model with one input, whose rows are squares of numbers",
    "file": "needs a model with one input of BYTES, one for each row",
    "text": "needs a model with one input of BYTES, one for each row",
}


def form_of(signature: Signature, config: ModelConfig, example: Tensors) -> dict[str, Any]:
    """What the page's form is made from, as plain values.

    `kind` is draw, file, text or json; for a drawing there are `side`, its pixels, and `low`
    and `high`, the numbers of paper and ink. `says` is why it is not the form asked for.
    """
    only = signature.inputs[0] if len(signature.inputs) == 1 else None
    texts = only is not None and _one_text(only, batched=signature.batched)
    kind = config.form or ("text" if texts else "json")
    if kind == "draw" and only is not None and (side := _side(only, batched=signature.batched)):
        low, high = _ends(example[only.name])
        return {"kind": kind, "side": side, "low": low, "high": high}
    if kind == "json" or (kind in ("file", "text") and texts):
        return {"kind": kind}
    return {"kind": "json", "says": f'its model.toml says form = "{kind}", which {_UNFIT[kind]}'}


def _row(spec: TensorSpec, *, batched: bool) -> tuple[int, ...]:
    """The sizes of one row; -1 for any."""
    return spec.sizes[1:] if batched else spec.sizes


def _one_text(spec: TensorSpec, *, batched: bool) -> bool:
    sizes = _row(spec, batched=batched)
    return bool(spec.dtype.hasobject) and prod(abs(size) for size in sizes) == 1


def _side(spec: TensorSpec, *, batched: bool) -> int:
    """Pixels along the edge of a square grey image; 0 if a row is none."""
    sizes = [size for size in _row(spec, batched=batched) if size != 1]
    if spec.dtype.hasobject or spec.dtype.kind == "b" or not 1 <= len(sizes) <= 2:
        return 0
    side = isqrt(abs(prod(sizes)))
    square = -1 not in sizes and side * side == prod(sizes) and sizes in ([side * side], [side] * 2)
    return side if square and side <= LARGEST_SIDE else 0


def _ends(image: Array) -> tuple[float, float]:
    """The numbers of paper and of full ink, as an example has them."""
    numbers = to_float32(image) if image.dtype == BFLOAT16 else image.astype(np.float64)
    low, high = float(numbers.min()), float(numbers.max())
    return (low, high) if low < high else (0.0, 1.0)
