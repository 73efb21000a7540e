"""What was typed after a model's name, as the tensors that the model takes.

Decided by the model's inputs and the words alone: files are read, and images
seen, by functions that are passed in. What does not fit is a Mistake that says
what the model takes.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..protocol.datatypes import bytes_array
from .errors import Mistake
from .numbers import Numbers, cast, numbers_in_text, numbers_of_file
from .spec import Spec, fitted, shown_shape

Array = NDArray[Any]

A_TEXT = b"This is a sentence."
"""For BYTES inputs that are made up."""


Read = Callable[[str], bytes]
"""The bytes of a file by its name; of stdin by "-". Raises Mistake."""

See = Callable[[Spec, str, bytes], Array]
"""An image as the one row of pixels that an input takes. Raises Mistake."""


def gather(
    specs: Sequence[Spec], words: Sequence[str], named: Sequence[str], read: Read, see: See
) -> dict[str, Array]:
    """A tensor for each input, from the words and from the NAME=VALUE pairs.

    Raises Mistake for values that do not fit, and for inputs that got none.
    """
    given = _by_name(specs, named)
    rest = [spec for spec in specs if spec.name not in given]
    if words:
        if not rest:
            raise Mistake(f"every input is named already: there is none left for {words[0]!r}.")
        given.update(_dealt(rest, words))
    if missing := [spec for spec in specs if spec.name not in given]:
        raise Mistake(
            f"nothing was given for {', '.join(repr(s.name) for s in missing)}. {_takes(missing)}."
        )
    return {spec.name: _tensor(spec, given[spec.name], read, see) for spec in specs}


def made_up(specs: Sequence[Spec]) -> dict[str, Array]:
    """The smallest request that fits: zeros, and a sentence for texts."""
    tensors: dict[str, Array] = {}
    for spec in specs:
        shape = [1 if size < 0 else size for size in spec.shape]
        if spec.is_bytes:
            tensors[spec.name] = bytes_array([A_TEXT] * prod(shape)).reshape(shape)
        else:
            tensors[spec.name] = np.zeros(shape, spec.dtype)
    return tensors


def from_example(specs: Sequence[Spec], body: Mapping[str, Any]) -> dict[str, Array]:
    """The tensors of a request body as the server offers it for an example."""
    offered = {tensor["name"]: tensor for tensor in body["inputs"]}
    tensors: dict[str, Array] = {}
    for spec in specs:
        shape, data = tuple(offered[spec.name]["shape"]), offered[spec.name]["data"]
        flat = (
            bytes_array([element.encode() for element in data])
            if spec.is_bytes
            else cast(spec, data)
        )
        tensors[spec.name] = flat.reshape(shape)
    return tensors


def _takes(specs: Sequence[Spec]) -> str:
    return "; ".join(spec.takes() for spec in specs)


def _by_name(specs: Sequence[Spec], named: Sequence[str]) -> dict[str, list[str]]:
    """The words of each input that is named; a name that is there again adds to its words."""
    names = [spec.name for spec in specs]
    given: dict[str, list[str]] = {}
    for pair in named:
        name, sign, word = pair.partition("=")
        if not sign:
            raise Mistake(f"--input takes NAME=VALUE, got {pair!r}.")
        if name not in names:
            close = get_close_matches(name, names, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"It has {', '.join(names)}."
            raise Mistake(f"the model has no input {name!r}; {hint}")
        given.setdefault(name, []).append(word)
    return given


def _dealt(specs: Sequence[Spec], words: Sequence[str]) -> dict[str, list[str]]:
    """Words without a name, among the inputs that are left."""
    if len(specs) == 1:
        return {specs[0].name: list(words)}
    sizes = [None if spec.is_bytes else spec.row_size for spec in specs]
    if None not in sizes and any(map(_is_number, words)):
        if odd := [word for word in words if not _is_number(word)]:
            if len(words) != len(specs):
                raise Mistake(f"{odd[0]!r} is not a number. {_takes(specs)}.")
        else:
            return _spread(specs, words)
    if len(words) == len(specs):
        return {spec.name: [word] for spec, word in zip(specs, words, strict=True)}
    names = " ".join(f"--input {spec.name}=VALUE" for spec in specs)
    raise Mistake(
        f"the model has {len(specs)} inputs; say which gets what: {names}. {_takes(specs)}."
    )


def _spread(specs: Sequence[Spec], words: Sequence[str]) -> dict[str, list[str]]:
    """Plain numbers: each row's go to the inputs in turn, as many as each takes."""
    sizes = [spec.row_size or 0 for spec in specs]
    total = sum(sizes)
    if not total or len(words) % total or (len(words) > total and not specs[0].has_rows):
        raise Mistake(f"{len(words)} numbers do not fit: a row is {total}. {_takes(specs)}.")
    given: dict[str, list[str]] = {spec.name: [] for spec in specs}
    at = 0
    while at < len(words):
        for spec, size in zip(specs, sizes, strict=True):
            given[spec.name] += words[at : at + size]
            at += size
    return given


def _is_number(word: str) -> bool:
    return re.fullmatch(r"\s*[-+]?(\.?\d[\w.+-]*|inf(inity)?|nan)\s*", word, re.I) is not None


def _tensor(spec: Spec, words: Sequence[str], read: Read, see: See) -> Array:
    """One input of all the words that were given for it."""
    if spec.is_bytes:
        elements = [_element(word, read) for word in words]
        return bytes_array(elements).reshape(fitted(spec, (len(elements),)))
    pieces = [_piece(spec, word, read, see) for word in words]
    flat = [piece for piece in pieces if isinstance(piece, Numbers) and piece.shape is None]
    # Words of several numbers each are rows, where a row may be of any length.
    rows = len(words) > 1 and spec.row_size is None and any(len(p.values) > 1 for p in flat)
    if len(flat) == len(pieces) and not rows:
        pieces = [Numbers([value for piece in flat for value in piece.values], None)]
    arrays = [_array(spec, piece) for piece in pieces]
    if len(arrays) == 1:
        return arrays[0]
    if not spec.has_rows:
        raise Mistake(f"{len(words)} values were given, and there is room for one. {spec.takes()}.")
    shapes = sorted({array.shape[1:] for array in arrays})
    if len(shapes) > 1:
        raise Mistake(
            f"the rows for {spec.name!r} differ: one is {shown_shape(shapes[0])}, "
            f"another {shown_shape(shapes[1])}; rows of one request are alike."
        )
    return np.concatenate(arrays)


def _element(word: str, read: Read) -> bytes:
    """One text, or one file's bytes as they are."""
    if word in ("-", "@-"):
        return read("-")
    if word.startswith("@@"):
        return word[1:].encode()
    # Bytes that are no UTF-8 come from the shell as lone surrogates: back to what they were.
    return read(word[1:]) if word.startswith("@") else word.encode(errors="surrogateescape")


def _piece(spec: Spec, word: str, read: Read, see: See) -> Numbers | Array:
    if word in ("-", "@-"):
        name, content = "stdin", read("-")
    elif word.startswith("@"):
        name, content = word[1:], read(word[1:])
    else:
        return numbers_in_text(word, repr(word.strip()), spec.takes())
    if is_image(content):
        return see(spec, name, content)
    return numbers_of_file(content, name, spec.takes())


def is_image(content: bytes) -> bool:
    """Whether a file begins as the usual kinds of images do, whatever it is called."""
    if content[:4] == b"RIFF":
        return content[8:12] == b"WEBP"
    starts = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*")
    return content.startswith(starts)


def _array(spec: Spec, piece: Numbers | Array) -> Array:
    if not isinstance(piece, Numbers):
        return piece
    flat = cast(spec, piece.values)
    return flat.reshape(fitted(spec, piece.shape or flat.shape))
