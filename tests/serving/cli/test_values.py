"""What was typed, as tensors."""

import io
from collections.abc import Sequence

import numpy as np
import pytest

from serving.cli.errors import Mistake
from serving.cli.spec import Spec
from serving.cli.values import A_TEXT, from_example, gather, is_image, made_up
from tests.support.wire import Array, assert_same

SEPAL = Spec("sepal", "FP32", (-1, 2))
PETAL = Spec("petal", "FP32", (-1, 2))
TEXT = Spec("text", "BYTES", (-1,))
IDS = Spec("ids", "INT64", (-1, -1))

FILES = {
    "rows.json": b"[[1, 2], [3, 4]]",
    "plain.txt": b"1 2\n3 4\n",
    "seven.png": b"\x89PNG...",
    "any": b"\xff\x00\xfe",
    "-": b"5 6",
}


def read(name: str) -> bytes:
    return FILES[name]


def see(spec: Spec, name: str, content: bytes) -> Array:
    assert (name, content) == ("seven.png", FILES["seven.png"])
    return np.full((1, *spec.row_shape), 7, np.float32)


def tensors(
    specs: Spec | Sequence[Spec], *words: str, named: Sequence[str] = ()
) -> dict[str, list[object]]:
    many = [specs] if isinstance(specs, Spec) else specs
    return {name: array.tolist() for name, array in gather(many, words, named, read, see).items()}


def mistake(specs: Spec | Sequence[Spec], *words: str, named: Sequence[str] = ()) -> str:
    with pytest.raises(Mistake) as raised:
        tensors(specs, *words, named=named)
    return str(raised.value.message)


@pytest.mark.parametrize(
    "words",
    [
        ("1", "2", "3", "4"),
        ("1,2,3,4",),
        ("1,", "2,", "3,", "4"),
        ("1 2", "3 4"),
        ("[[1,2],[3,4]]",),
        ("[1,2,3,4]",),
        ("[1,2]", "3 4"),
        ("@rows.json",),
        ("@plain.txt",),
    ],
)
def test_numbers_however_they_are_written(words: tuple[str, ...]) -> None:
    assert tensors(SEPAL, *words) == {"sepal": [[1, 2], [3, 4]]}


def test_stdin_is_a_dash() -> None:
    assert tensors(SEPAL, "-") == tensors(SEPAL, "@-") == {"sepal": [[5, 6]]}


def test_plain_numbers_go_to_the_inputs_in_turn_row_by_row() -> None:
    assert tensors([SEPAL, PETAL], *"12345678") == {
        "sepal": [[1, 2], [5, 6]],
        "petal": [[3, 4], [7, 8]],
    }


def test_a_word_for_each_input() -> None:
    assert tensors([SEPAL, TEXT], "1,2", "hello") == {"sepal": [[1, 2]], "text": [b"hello"]}


def test_inputs_by_name_and_the_rest_by_place() -> None:
    named = ["petal=1 2", "petal=[3,4]"]
    assert tensors([SEPAL, PETAL], "5", "6", "7", "8", named=named) == {
        "sepal": [[5, 6], [7, 8]],
        "petal": [[1, 2], [3, 4]],
    }


def test_a_name_may_have_a_sign_of_equality_in_its_value() -> None:
    assert tensors(TEXT, named=["text=a=b"]) == {"text": [b"a=b"]}


def test_texts_are_what_they_are() -> None:
    words = ("a sentence", "[1]", "3", "", "@@home", "@any", "-")
    expected = [b"a sentence", b"[1]", b"3", b"", b"@home", b"\xff\x00\xfe", b"5 6"]
    assert tensors(TEXT, *words) == {"text": expected}


def test_rows_of_any_length() -> None:
    assert tensors(IDS, "1", "2", "3") == {"ids": [[1, 2, 3]]}
    assert tensors(IDS, "1,2,3", "4,5,6") == {"ids": [[1, 2, 3], [4, 5, 6]]}
    assert "rows of one request are alike" in mistake(IDS, "1,2,3", "4,5")


def test_an_image_is_seen_and_is_a_row() -> None:
    assert tensors(SEPAL, "@seven.png", "@seven.png") == {"sepal": [[7, 7], [7, 7]]}


@pytest.mark.parametrize(
    ("message", "specs", "words", "named"),
    [
        ("'sepal' takes FP32 [?, 2]: 2 numbers a row; got 3", SEPAL, ("1", "2", "3"), ()),
        ("got shape [1, 3]", SEPAL, ("[[1,2,3]]",), ()),
        ("3 numbers do not fit: a row is 4", [SEPAL, PETAL], ("1", "2", "3"), ()),
        ("'x' is not a number", [SEPAL, PETAL], ("1", "2", "3", "x"), ()),
        ("'x' is not a number", SEPAL, ("x",), ()),
        ("say which gets what: --input sepal=VALUE --input text=VALUE", [SEPAL, TEXT], ("1",), ()),
        ("no input 'sepel'; did you mean 'sepal'?", SEPAL, (), ("sepel=1",)),
        ("no input 'x'; It has sepal, petal", [SEPAL, PETAL], (), ("x=1",)),
        ("--input takes NAME=VALUE, got '1'", SEPAL, (), ("1",)),
        ("nothing was given for 'petal'", [SEPAL, PETAL], (), ("sepal=1 2",)),
        ("there is none left for '3'", SEPAL, ("3",), ("sepal=1 2",)),
        ("there is room for one", Spec("x", "FP32", (2,)), ("[1,2]", "[3,4]"), ()),
        ("a type that this command has not", Spec("x", "FP8", (2,)), ("1", "2"), ()),
    ],
)
def test_a_mistake_says_what_the_model_takes(
    message: str, specs: Spec | list[Spec], words: tuple[str, ...], named: tuple[str, ...]
) -> None:
    assert message in mistake(specs, *words, named=named)


def test_what_is_made_up_is_small_and_fits() -> None:
    made = made_up([SEPAL, TEXT, IDS, Spec("b", "BOOL", (2, -1))])

    assert_same(made["sepal"], np.zeros((1, 2), np.float32))
    assert made["text"].tolist() == [A_TEXT]
    assert_same(made["ids"], np.zeros((1, 1), np.int64))
    assert_same(made["b"], np.zeros((2, 1), bool))


def test_an_example_as_the_server_offers_it() -> None:
    body = {
        "inputs": [
            {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["grün"]},
            {"name": "sepal", "shape": [1, 2], "datatype": "FP32", "data": [5.5, 2]},
        ]
    }
    example = from_example([SEPAL, TEXT], body)

    assert_same(example["sepal"], np.array([[5.5, 2]], np.float32))
    assert example["text"].tolist() == ["grün".encode()]


def test_images_are_told_by_their_first_bytes() -> None:
    npy = io.BytesIO()
    np.save(npy, np.zeros(3))

    assert is_image(b"\x89PNG\r\n")
    assert is_image(b"RIFF\0\0\0\0WEBPVP8 ")
    assert not is_image(b"RIFF\0\0\0\0WAVEfmt ")
    assert not is_image(b"[1, 2]")
    assert not is_image(npy.getvalue())
    assert not is_image(b"")
