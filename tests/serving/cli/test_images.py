"""Images as the pixels that a model takes."""

import io
import sys

import numpy as np
import pytest
from PIL import Image, ImageDraw

from serving.cli.errors import Mistake
from serving.cli.images import Layout, Scale, layout_of, see
from serving.cli.spec import Spec
from tests.support.wire import Array

GREY, COLOURS = 1, 3


def spec(*shape: int, datatype: str = "FP32") -> Spec:
    return Spec("x", datatype, shape)


def png(image: "Image.Image", kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def seen(spec: Spec, image: "Image.Image", scale: Scale | None = None, **more: Array) -> Array:
    array, _ = see(spec, "it.png", png(image), scale=scale, example=more.get("example"))
    return array


@pytest.mark.parametrize(
    ("shape", "layout"),
    [
        ((-1, 64), Layout(8, 8, GREY, True)),
        ((784,), Layout(28, 28, GREY, True)),
        ((-1, 28, 30), Layout(28, 30, GREY, True)),
        ((28, 30), Layout(28, 30, GREY, True)),
        ((-1, 1, 28, 30), Layout(28, 30, GREY, True)),
        ((-1, 3, 224, 225), Layout(224, 225, COLOURS, True)),
        ((1, 3, 224, 225), Layout(224, 225, COLOURS, True)),
        ((3, 224, 225), Layout(224, 225, COLOURS, True)),
        ((-1, 224, 225, 3), Layout(224, 225, COLOURS, False)),
        ((-1, 3, -1, -1), Layout(None, None, COLOURS, True)),
        ((-1, 4), None),  # a square, but of measures
        ((-1, 65), None),
        ((-1,), None),
        ((-1, -1), None),  # tokens
        ((-1, 3, 5), None),
        ((-1, 7, 32, 32), None),
        ((), None),
    ],
)
def test_what_an_input_takes_is_seen_by_its_shape(
    shape: tuple[int, ...], layout: Layout | None
) -> None:
    assert layout_of(spec(*shape)) == layout


@pytest.mark.parametrize(
    ("shape", "sent"),
    [
        ((-1, 64), (1, 64)),
        ((64,), (64,)),
        ((-1, 6, 5), (1, 6, 5)),
        ((6, 5), (6, 5)),
        ((-1, 1, 6, 5), (1, 1, 6, 5)),
        ((-1, 3, 6, 5), (1, 3, 6, 5)),
        ((1, 3, 6, 5), (1, 3, 6, 5)),
        ((-1, 6, 5, 3), (1, 6, 5, 3)),
        ((3, 6, 5), (3, 6, 5)),
        # Where a size is free, the image keeps its own: 12 high, 10 wide.
        ((-1, 3, -1, -1), (1, 3, 12, 10)),
        ((1, 3, -1, -1), (1, 3, 12, 10)),
        ((-1, -1, -1, 3), (1, 12, 10, 3)),
        ((-1, -1, -1), (1, 12, 10)),
        ((-1, 1, 6, -1), (1, 1, 6, 10)),
    ],
)
def test_it_becomes_one_row_of_that_shape(shape: tuple[int, ...], sent: tuple[int, ...]) -> None:
    assert seen(spec(*shape), Image.new("RGB", (10, 12))).shape == sent


def test_pixels_are_where_they_were() -> None:
    image = Image.new("RGB", (2, 4), "black")
    image.putpixel((1, 2), (255, 0, 51))

    first = seen(spec(-1, 3, 4, 2), image)
    assert first[0, :, 2, 1] == pytest.approx([1, 0, 0.2])
    assert first.sum() == pytest.approx(1.2)
    last = seen(spec(-1, 4, 2, 3, datatype="UINT8"), image)
    assert last[0, 2, 1].tolist() == [255, 0, 51]
    assert last.dtype == np.uint8


@pytest.mark.parametrize(
    ("scale", "black", "white"), [(None, 0, 1), (Scale(-1, 1), -1, 1), (Scale(16, 0), 16, 0)]
)
def test_black_and_white_are_what_was_said(scale: Scale | None, black: float, white: float) -> None:
    assert (seen(spec(-1, 16), Image.new("L", (9, 9), 0), scale) == black).all()
    assert (seen(spec(-1, 16), Image.new("L", (9, 9), 255), scale) == white).all()


def test_what_is_transparent_is_paper() -> None:
    assert (seen(spec(-1, 16), Image.new("RGBA", (4, 4), (0, 0, 0, 0))) == 1).all()


@pytest.mark.parametrize("paper", ["white", "black"])
def test_the_models_example_tells_the_range_and_which_is_paper(paper: str) -> None:
    """As the shipped `digits` does: 0 is paper and 16 is ink, however the drawing is."""
    image = Image.new("L", (80, 80), paper)
    ink = "black" if paper == "white" else "white"
    ImageDraw.Draw(image).rectangle((30, 0, 49, 79), fill=ink)
    example = np.array([[0] * 50 + [16] * 14], np.float32)

    row = seen(spec(-1, 64), image, example=example).reshape(8, 8)

    assert row[0].tolist() == [0, 0, 0, 16, 16, 0, 0, 0]


def test_a_sentence_says_what_was_done() -> None:
    _, said = see(spec(-1, 64), "it.png", png(Image.new("RGB", (30, 20))), scale=None, example=None)

    assert said.startswith("it.png: an image of 30 x 20 pixels, sent as 8 x 8, grey, black 0 to")


def test_a_photograph_lies_as_its_camera_was_held() -> None:
    image = Image.new("RGB", (20, 10))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    file = io.BytesIO()
    image.save(file, "JPEG", exif=exif)

    row, _ = see(spec(-1, 3, -1, -1), "it.jpg", file.getvalue(), scale=None, example=None)

    assert row.shape == (1, 3, 20, 10)


@pytest.mark.parametrize(
    ("wanted", "content", "words"),
    [
        (spec(-1, 4), png(Image.new("L", (8, 8))), "is an image, but 'x' takes FP32 [?, 4]"),
        (spec(-1, 64), b"\x89PNG broken", "it.png cannot be read as an image"),
        (spec(-1, 64), png(Image.new("L", (8, 8)))[:-30], "it.png cannot be read as an image"),
        (
            spec(-1, 64, datatype="INT8"),
            png(Image.new("L", (8, 8), 255)),
            "INT8 holds -128 to 127, so pixels from 0 to 255 do not fit",
        ),
    ],
)
def test_an_image_that_cannot_be_used(wanted: Spec, content: bytes, words: str) -> None:
    with pytest.raises(Mistake) as raised:
        see(wanted, "it.png", content, scale=None, example=None)
    assert words in raised.value.message


def test_without_pillow_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    content = png(Image.new("L", (8, 8)))
    monkeypatch.setitem(sys.modules, "PIL", None)

    with pytest.raises(Mistake, match=r"pip install 'jitney\[image\]'"):
        see(spec(-1, 64), "it.png", content, scale=None, example=None)
