"""A model's answer as people read it. Pure."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .spec import Spec, shown_shape

Array = NDArray[Any]

WHOLE = 100
"""Tensors of more elements are cut, and summed up."""
EDGE = 4
"""Elements shown at either end of an axis that is cut."""
WIDTH = 96


def as_text(spec: Spec, array: Array) -> str:
    """One output: what it is, then its values."""
    head = f"{spec.name}  {spec.datatype} {shown_shape(array.shape)}"
    return "\n".join([head, *(f"  {line}" for line in _lines(array))])


def _lines(array: Array) -> list[str]:
    if array.size == 0:
        return ["(empty)"]
    if array.dtype.hasobject:
        return _texts(array)
    text = np.array2string(
        array,
        precision=4,
        suppress_small=True,
        max_line_width=WIDTH,
        threshold=WHOLE,
        edgeitems=EDGE,
    )
    lines = text.replace("...", "…").splitlines()
    if array.size > WHOLE and array.dtype.kind != "b":
        # In double: a sum of halves overflows.
        wide = array.astype(np.float64)
        with np.errstate(all="ignore"):
            mean, low, high = wide.mean(), wide.min(), wide.max()
        lines.append(f"mean {mean:.4g}, min {low:.4g}, max {high:.4g}")
    return lines


def _texts(array: Array) -> list[str]:
    flat: list[bytes] = array.ravel().tolist()
    if len(flat) == 1:
        return [printable(line) for line in flat[0].decode(errors="replace").splitlines()] or [""]
    lines = [printable(element.decode(errors="replace")) for element in flat[:WHOLE]]
    if more := len(flat) - WHOLE:
        lines += [f"… and {more} more"] if more > 0 else []
    return lines


def printable(text: str) -> str:
    """Nothing in it moves the cursor or rings a bell: a model's text comes from anywhere."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def top(spec: Spec, array: Array, count: int, has_rows: bool, labels: Sequence[str]) -> str | None:
    """The largest entries of each row with their places; None if the output is no vector.

    has_rows: whether the first axis counts rows. labels: what the places are called, so far
    as that is known.
    """
    if array.dtype.kind not in "iuf" or array.ndim < 1 + has_rows or array.size == 0:
        return None
    rows = array.reshape(array.shape[0] if has_rows else 1, -1)
    if rows.shape[1] < 2:
        return None
    lines = [f"{spec.name}  {spec.datatype} {shown_shape(array.shape)}, the largest"]
    for number, row in enumerate(rows):
        if len(rows) > 1:
            lines.append(f"  row {number}")
        # Stable, so that of equals the first comes first; NaN is not large.
        wide = np.where(np.isnan(row), -np.inf, row) if row.dtype.kind == "f" else row
        order = np.argsort(wide[::-1], kind="stable")[::-1][:count]
        for place in (len(row) - 1 - order).tolist():
            label = f"  {printable(labels[place])}" if place < len(labels) else ""
            value = row[place].item()
            lines.append(f"  {value:>12.6g}  {place}{label}")
    return "\n".join(lines)


def timing(round_trip_s: float, server_timing: str) -> str:
    """The whole round trip, and what the server says of its part."""
    whole = _ms(round_trip_s * 1e3)
    parts = _metrics(server_timing)
    said = []
    if "queue" in parts:
        said.append(f"waited {_ms(parts.pop('queue').get('dur', ''))}")
    rows, run = parts.pop("batch", {}).get("desc", ""), parts.pop("run", {})
    if run:
        batch = f"batch of {rows} row{'s' if rows != '1' else ''} " if rows else ""
        said.append(f"{batch}ran {_ms(run.get('dur', ''))}")
    if "encode" in parts:
        said.append(f"encoded {_ms(parts.pop('encode').get('dur', ''))}")
    said += [f"{printable(name)} {_ms(p['dur'])}" for name, p in parts.items() if "dur" in p]
    return f"{whole}: {', '.join(said)}" if said else whole


def _metrics(header: str) -> dict[str, dict[str, str]]:
    """A Server-Timing header's metrics by name, each with its parameters."""
    metrics: dict[str, dict[str, str]] = {}
    for metric in re.findall(r'(?:"[^"]*"|[^,"])+', header):
        name, *parameters = [part.strip() for part in metric.split(";")]
        pairs = (parameter.partition("=") for parameter in parameters)
        metrics[name] = {key.strip(): value.strip().strip('"') for key, _, value in pairs}
    return metrics


def _ms(milliseconds: float | str) -> str:
    try:
        value = float(milliseconds)
    except ValueError:
        return "? ms"
    return f"{value:.1f} ms" if value >= 0.1 else f"{value:.2f} ms"
