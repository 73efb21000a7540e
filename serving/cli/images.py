"""An image as the pixels that a model takes.

What a model wants is read from its input's shape (its size, its colours) and,
where the server offers an example, from the example's values: a model's
metadata does not tell in which numbers it takes black and white.
"""

import io
from math import isqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import Mistake
from .spec import Spec

Array = NDArray[Any]

SMALLEST_SIDE = 4
"""Fewer numbers in a row than its square are measures, rather than pixels."""


class Layout(NamedTuple):
    """How an input lays out one image; a size of None is the image's own."""

    height: int | None
    width: int | None
    colours: int
    """1: grey. 3: red, green and blue."""
    colours_first: bool


class Scale(NamedTuple):
    """The numbers that stand for black and for white."""

    black: float
    white: float


def layout_of(spec: Spec) -> Layout | None:
    """What kind of image an input takes, judged by its shape; None if it is none."""
    match spec.row_shape if spec.has_rows or len(spec.shape) < 4 else spec.shape[1:]:
        case (int(size),) if isqrt(max(size, 0)) ** 2 == size and size >= SMALLEST_SIDE**2:
            return Layout(isqrt(size), isqrt(size), 1, True)
        case (1 | 3 as colours, height, width):
            return Layout(_size(height), _size(width), colours, True)
        case (height, width, 1 | 3 as colours):
            return Layout(_size(height), _size(width), colours, False)
        case (height, width) if min(height, width) >= SMALLEST_SIDE or -1 in spec.row_shape:
            return Layout(_size(height), _size(width), 1, True)
    return None


def _size(axis: int) -> int | None:
    return None if axis < 0 else axis


def usual_scale(spec: Spec) -> Scale:
    """Where nothing says otherwise: 0 to 255 for whole numbers, 0 to 1 for all else."""
    return Scale(0, 255) if spec.dtype.kind in "iu" else Scale(0, 1)


def scale_of(spec: Spec, layout: Layout, pixels: Array, example: Array | None) -> Scale:
    """Black and white, by the example of the model that takes the image if there is one.

    pixels: the image, [height, width, colours] from 0 to 255. A grey example's range is the
    range; and what most of the example is, its paper, most of the image becomes.
    """
    if example is None or layout.colours != 1 or example.min() == example.max():
        return usual_scale(spec)
    low, high = float(example.min()), float(example.max())
    dark_paper = bool(np.median(example) < (low + high) / 2)
    dark_image = bool(np.median(pixels) < 127.5)
    return Scale(low, high) if dark_paper == dark_image else Scale(high, low)


def see(
    spec: Spec, name: str, content: bytes, *, scale: Scale | None, example: Array | None
) -> tuple[Array, str]:
    """The one row that an image is for this input, and a sentence on what was done to it.

    Raises Mistake if the input takes no images, the file is none, or Pillow is not there.
    """
    layout = layout_of(spec)
    if layout is None:
        raise Mistake(f"{name} is an image, but {spec.takes()}.")
    pixels, size = _decoded(name, content, layout)
    scale = scale or scale_of(spec, layout, pixels, example)
    array = _scaled(spec, pixels, scale)
    if layout.colours_first:
        array = array.transpose(2, 0, 1)
    free = -1 in spec.row_shape
    row = array if free else array.reshape(spec.row_shape)
    if free and len(spec.row_shape) == 2:
        row = array[0]
    if spec.has_rows or (free and len(spec.shape) == 4):
        row = row[np.newaxis]
    height, width, _ = pixels.shape
    kind = "grey" if layout.colours == 1 else "red, green and blue"
    said = (
        f"{name}: an image of {size[0]} x {size[1]} pixels, sent as {width} x {height}, {kind}, "
        f"black {scale.black:g} to white {scale.white:g} (--pixels BLACK:WHITE changes that)"
    )
    return np.ascontiguousarray(row), said


def _scaled(spec: Spec, pixels: Array, scale: Scale) -> Array:
    values = scale.black + pixels.astype(np.float64) / 255 * (scale.white - scale.black)
    if spec.dtype.kind == "f":
        return values.astype(spec.dtype)
    whole = np.rint(values)
    limits = (0, 1) if spec.dtype.kind == "b" else _limits(spec.dtype)
    if whole.min() < limits[0] or whole.max() > limits[1]:
        raise Mistake(
            f"{spec.datatype} holds {limits[0]} to {limits[1]}, so pixels from {scale.black:g} "
            f"to {scale.white:g} do not fit. Say which do with --pixels BLACK:WHITE."
        )
    return whole.astype(spec.dtype)


def _limits(dtype: np.dtype[Any]) -> tuple[int, int]:
    limits = np.iinfo(dtype)
    return int(limits.min), int(limits.max)


def _decoded(name: str, content: bytes, layout: Layout) -> tuple[Array, tuple[int, int]]:
    """The image [height, width, colours] from 0 to 255 as the layout wants it; its own size."""
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise Mistake(
            f"{name} is an image, which the Pillow package reads: pip install 'jitney[image]'."
        ) from error
    try:
        opened = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
        size = opened.size
        # What is transparent lies on white paper.
        clear = opened.convert("RGBA")
        paper = Image.new("RGBA", size, "white")
        image = Image.alpha_composite(paper, clear).convert("L" if layout.colours == 1 else "RGB")
    except Exception as error:  # its readers raise whatever a broken file leads them to
        raise Mistake(f"{name} cannot be read as an image: {error}.") from error
    wanted = (layout.width or size[0], layout.height or size[1])
    if wanted != size:
        # Averages over an area: a thin stroke in a large drawing must not fall between pixels.
        image = image.resize(wanted, Image.Resampling.BOX if _shrinks(size, wanted) else None)
    pixels = np.asarray(image, np.uint8)
    return pixels.reshape(*pixels.shape[:2], layout.colours), size


def _shrinks(size: tuple[int, int], wanted: tuple[int, int]) -> bool:
    return wanted[0] <= size[0] and wanted[1] <= size[1]
