"""Which form a model gets on the page."""

from typing import Any

import numpy as np
import pytest

from models import ModelConfig, Signature, TensorSpec
from serving.web.forms import form_of

FLOATS, TEXTS = np.dtype("f4"), np.dtype(object)


def form(*inputs: TensorSpec, hint: str | None = None, batched: bool = True, **example: Any) -> Any:
    made = {
        spec.name: np.zeros([n if isinstance(n, int) else 1 for n in spec.shape], spec.dtype)
        for spec in inputs
    }
    signature = Signature(inputs, (), batched)
    return form_of(signature, ModelConfig(form=hint), {**made, **example})


def spec(*row: int | None, dtype: np.dtype[Any] = FLOATS, name: str = "x") -> TensorSpec:
    return TensorSpec(name, dtype, ("batch", *row))


def test_without_a_hint_texts_are_typed_and_all_else_is_json() -> None:
    assert form(spec(dtype=TEXTS)) == {"kind": "text"}
    assert form(spec(1, dtype=TEXTS)) == {"kind": "text"}
    assert form(spec(2, dtype=TEXTS)) == {"kind": "json"}
    assert form(spec(64)) == {"kind": "json"}
    assert form(spec(dtype=TEXTS), spec(dtype=TEXTS, name="y")) == {"kind": "json"}


@pytest.mark.parametrize("kind", ["file", "text", "json"])
def test_a_hint_has_its_effect(kind: str) -> None:
    assert form(spec(dtype=TEXTS), hint=kind) == {"kind": kind}


@pytest.mark.parametrize("row", [(64,), (8, 8), (1, 8, 8), (8, 8, 1), (1, 64)])
def test_squares_can_be_drawn_and_the_example_says_what_ink_is(row: tuple[int, ...]) -> None:
    image = np.full((1, 64), 3, "f4")
    image[0, 0] = 16

    assert form(spec(*row), hint="draw", x=image) == {
        "kind": "draw",
        "side": 8,
        "low": 3.0,
        "high": 16.0,
    }


def test_without_an_example_ink_is_one() -> None:
    told = form(spec(64), hint="draw")

    assert (told["low"], told["high"]) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("inputs", "hint"),
    [
        ([spec(63)], "draw"),
        ([spec(4, 16)], "draw"),
        ([spec(3, 8, 8)], "draw"),
        ([spec(8, None)], "draw"),
        ([spec(257 * 257)], "draw"),
        ([spec(64, dtype=np.dtype(bool))], "draw"),
        ([spec(dtype=TEXTS)], "draw"),
        ([spec(64), spec(64, name="y")], "draw"),
        ([spec(64)], "file"),
        ([spec(64)], "text"),
        ([spec(2, dtype=TEXTS)], "text"),
    ],
)
def test_a_hint_that_does_not_fit_is_said(inputs: list[TensorSpec], hint: str) -> None:
    """Lesson 24."""
    told = form(*inputs, hint=hint)

    assert told["kind"] == "json"
    assert f'form = "{hint}", which needs' in told["says"]
