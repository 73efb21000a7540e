"""Whether the rows of a batch are strangers to each other: proved by running them.

The same rows alone and together, padded where they may be. If an answer changes with
its company by more than rounding and quantization explain, the model is not batched:
a caller's answer must not hang on who else happens to call.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import isinf
from typing import NamedTuple

import numpy as np

from .bfloat16 import BFLOAT16, to_float32
from .probes import all_alike, together
from .signature import Array, Signature, Tensors, TensorSpec

Run = Callable[[Tensors], Tensors]

EXACT = 1e-5
"""Relative difference that another order of additions explains."""
CLOSE = 0.05
"""What quantization with a scale for the whole batch explains."""
ROUNDING = 1e-3
"""What float16, or many additions, explain without it."""

# Of so many rows one may have another label: a near tie falls either way.
ROWS_A_TIE = 16


@dataclass(frozen=True)
class Proof:
    """What comparing has shown."""

    batches: bool
    says: str
    """One sentence for people."""
    difference: float
    """The largest relative error found; 0 where nothing was compared."""


UNPROVEN = Proof(
    False,
    "not proven: the model fails on every input that was made up for it, so it runs one "
    "request at a time; give an [example] in model.toml",
    0.0,
)
ALIKE = Proof(
    False,
    "not proven: the only inputs it takes of those made up are all the same, so it runs one "
    "request at a time; give an [example] in model.toml",
    0.0,
)
FIXED = Proof(False, "one request at a time: its shapes have no axis for a batch", 0.0)
SWITCHED_OFF = Proof(False, "one request at a time, as its model.toml says", 0.0)


class Tried(NamedTuple):
    """One request of one row, and its answer."""

    inputs: Tensors
    outputs: Tensors


def try_alone(
    run: Run,
    attempts: Iterable[Sequence[Tensors]],
    *,
    most: int,
    until: float,
    clock: Callable[[], float],
) -> list[Tried]:
    """The rows of the first attempt that the model does not fail on, each run alone.

    At most so many, and after two no more than there is time for; none if the model
    fails on every attempt.
    """
    for rows in attempts:
        tried: list[Tried] = []
        try:
            for row in rows[:most]:
                if len(tried) >= 2 and clock() >= until:
                    break
                tried.append(Tried(row, run(row)))
        except Exception:  # noqa: S112 - an input that was made up need not be valid
            continue
        if not all(_nonsense(one.outputs) for one in tried):
            return tried
    return []


def prove(run: Run, signature: Signature, tried: Sequence[Tried]) -> Proof:
    """Compare what rows gave alone with what they give together; for a batched signature."""
    if not tried:
        return UNPROVEN
    rows = [one.inputs for one in tried]
    if all_alike(rows):
        return ALIKE
    try:
        outputs = run(together(rows, signature))
    except Exception as error:
        reason = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
        return Proof(
            False,
            f"not batched: {len(rows)} rows together fail, though none of them does alone: "
            f"{reason}",
            0.0,
        )
    return _verdict(signature, tried, outputs)


def _verdict(signature: Signature, tried: Sequence[Tried], outputs: Tensors) -> Proof:
    worst = 0.0
    labels: list[tuple[TensorSpec, int]] = []
    for spec in signature.outputs:
        output, alone = outputs[spec.name], [one.outputs[spec.name] for one in tried]
        if said := _misshapen(spec, output, alone):
            return Proof(False, said, 0.0)
        expected = np.concatenate(alone)
        if spec.dtype == BFLOAT16:
            expected, output = to_float32(expected), to_float32(output)
        elif spec.dtype.kind != "f":
            labels.append((spec, _unequal(expected, output)))
            continue
        difference, gap = _distance(expected, output)
        if difference > CLOSE:
            how = f"differs by {_percent(difference)} (up to {gap:.2g})"
            if isinf(difference):
                how = "is no longer a number"
            return Proof(
                False,
                f"not batched: output {spec.name!r} {how} with its batch mates",
                difference,
            )
        worst = max(worst, difference)
    has_floats = len(labels) < len(signature.outputs)
    for spec, strays in labels:
        if strays > (len(tried) // ROWS_A_TIE if has_floats else 0):
            return Proof(
                False,
                f"not batched: output {spec.name!r} differs in {strays} of {len(tried)} rows "
                "with their batch mates",
                strays / len(tried),
            )
    if worst <= EXACT:
        return Proof(True, "rows give the same alone and together: batched", worst)
    cause = "rounding" if worst <= ROUNDING else "int8 quantization"
    return Proof(
        True,
        f"outputs move by up to {_percent(worst)} with their batch mates "
        f"({cause} does this); batched all the same",
        worst,
    )


def _percent(share: float) -> str:
    return f"{share * 100:.2g}%" if share < 1 else f"{share * 100:.0f}%"


def _misshapen(spec: TensorSpec, output: Array, alone: Sequence[Array]) -> str:
    """What is wrong with an output's shape; nothing if it has one row a row."""
    wanted = (len(alone), *alone[0].shape[1:])
    for rows, shape, expected in (
        (1, alone[0].shape, (1, *alone[0].shape[1:])),
        (len(alone), output.shape, wanted),
    ):
        if shape != expected:
            return (
                f"not batched: output {spec.name!r} has not one row a row: "
                f"{rows} went in, {list(shape)} came out"
            )
    if any(one.shape != alone[0].shape for one in alone):
        return f"not batched: the shape of output {spec.name!r} is another for every request"
    return ""


def _unequal(expected: Array, output: Array) -> int:
    """Rows that differ in any element."""
    count = len(expected)
    unequal = np.asarray(expected != output).reshape(count, -1)
    return int(np.count_nonzero(unequal.any(axis=1)))


def _distance(expected: Array, output: Array) -> tuple[float, float]:
    """The largest relative difference of a row, and the largest of an element."""
    count = len(expected)
    a = expected.astype(np.float64).reshape(count, -1)
    b = output.astype(np.float64).reshape(count, -1)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    # What is the same needs no arithmetic, which infinities would spoil.
    a, b = np.where(same, np.nan_to_num(a, posinf=0, neginf=0), a), np.where(same, a, b)
    b = np.where(same, np.nan_to_num(b, posinf=0, neginf=0), b)
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return np.inf, np.inf
    sizes = np.maximum(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))
    # A row whose answer happens to be nearly zero is measured by what is usual.
    usual = 0.1 * np.sqrt(np.mean(sizes**2))
    gaps = np.linalg.norm(a - b, axis=1)
    shares = gaps / np.maximum(np.maximum(sizes, usual), np.finfo(np.float64).tiny)
    return float(shares.max(initial=0.0)), float(np.abs(a - b).max(initial=0.0))


def _nonsense(outputs: Tensors) -> bool:
    """Whether there are numbers, and none of them is one."""
    floats = [output for output in outputs.values() if output.dtype.kind == "f" and output.size]
    return bool(floats) and not any(np.isfinite(output).any() for output in floats)
