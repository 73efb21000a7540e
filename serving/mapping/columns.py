"""Which columns of a table go into which inputs of a model, and which are kept.

Decided by names and types alone. Knows no rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from math import prod

import pyarrow as pa

from models import Signature, TensorSpec

from .errors import CannotMap

MAX_LISTED = 30
"""Columns that a message names."""


@dataclass(frozen=True)
class Filled:
    """An input, and what fills it."""

    spec: TensorSpec
    tail: tuple[int, ...]
    """The shape of one row's value; -1 for an axis of any size."""
    columns: tuple[str, ...]
    """One column of values or lists; or a column for each element of a vector."""

    def __str__(self) -> str:
        shown = list(self.columns)
        if len(shown) > 6:
            shown = [*shown[:3], "…", *shown[-2:]]
        return f"{self.spec.name} ← {', '.join(shown)}"


def row_axis(signature: Signature) -> bool:
    """Whether the first axis of every tensor counts rows, even if there may be one only."""
    tensors = (*signature.inputs, *signature.outputs)
    return signature.batched or all(
        tensor.shape and (not isinstance(tensor.shape[0], int) or tensor.shape[0] == 1)
        for tensor in tensors
    )


def tail_of(spec: TensorSpec, signature: Signature) -> tuple[int, ...]:
    """The shape of one row's value."""
    return spec.sizes[1:] if row_axis(signature) else spec.sizes


def fill(
    signature: Signature, schema: pa.Schema, named: Sequence[str], *, guessed: bool = False
) -> tuple[Filled, ...]:
    """What fills each input: by the NAME=COLUMN[,COLUMN…] pairs, else by equal names.

    One input that is left over takes what alone fits it. Raises CannotMap.
    guessed: the types are from a few rows of text, and may be read as others.
    """
    given = _given(signature, schema, named)
    for spec in signature.inputs:
        if spec.name not in given and spec.name in schema.names:
            given[spec.name] = (spec.name,)
    left = [spec for spec in signature.inputs if spec.name not in given]
    if len(left) == 1:
        used = {name for columns in given.values() for name in columns}
        given[left[0].name] = _only_fitting(left[0], tail_of(left[0], signature), schema, used)
    elif left:
        names = ", ".join(repr(spec.name) for spec in left)
        raise CannotMap(
            f"no columns are named as the inputs {names}: say --input {left[0].name}=COLUMN for "
            f"each. {_listed(schema)}"
        )
    filled = [Filled(spec, tail_of(spec, signature), given[spec.name]) for spec in signature.inputs]
    for one in filled:
        _check(one, schema, guessed)
    return tuple(filled)


def kept(schema: pa.Schema, names: str | None) -> tuple[str, ...]:
    """The columns that go into the output as they are: all, or those named, with `*` and `?`."""
    if names is None:
        return tuple(schema.names)
    return tuple(dict.fromkeys(_matching(schema, names))) if names else ()


def _given(
    signature: Signature, schema: pa.Schema, named: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    inputs = [spec.name for spec in signature.inputs]
    given: dict[str, tuple[str, ...]] = {}
    for pair in named:
        name, sign, columns = pair.partition("=")
        if not sign or not columns:
            raise CannotMap(f"--input takes NAME=COLUMN, or several columns, got {pair!r}.")
        if name not in inputs:
            raise CannotMap(f"the model has no input {name!r}; it has {_quoted(inputs)}.")
        if name in given:
            raise CannotMap(f"--input {name}=… is there twice; join the columns by commas.")
        given[name] = tuple(_matching(schema, columns))
    return given


def _matching(schema: pa.Schema, names: str) -> list[str]:
    """The columns of a list of names and patterns, in the list's order, then the table's."""
    found: list[str] = []
    # A column's own name may hold what means something here.
    words = [names] if names in schema.names else [word.strip() for word in names.split(",")]
    for word in words:
        if word in schema.names:
            found.append(word)
        elif matches := [name for name in schema.names if fnmatchcase(name, word)]:
            found += matches
        else:
            close = get_close_matches(word, schema.names, n=1)
            hint = f"Did you mean {close[0]!r}? " if close else ""
            raise CannotMap(f"there is no column {word!r}. {hint}{_listed(schema)}")
    return found


def _only_fitting(
    spec: TensorSpec, tail: tuple[int, ...], schema: pa.Schema, used: set[str]
) -> tuple[str, ...]:
    free = [field for field in schema if field.name not in used]
    fitting = [field.name for field in free if _why_not(spec, tail, (field.type,)) is None]
    if len(fitting) == 1:
        return (fitting[0],)
    numbers = [field.name for field in free if _is_number(field.type)]
    if not fitting and len(tail) > 0 and len(numbers) == prod(tail):
        return tuple(numbers)
    why = "several columns fit" if fitting else "no column fits"
    raise CannotMap(
        f"no column is named as the input {spec}, and {why}: say --input {spec.name}=COLUMN, "
        f"or several for a vector's elements. {_listed(schema)}"
    )


def read_as(filled: Filled, kind: pa.DataType) -> pa.DataType:
    """The type in which a column should be read of which little but a guess is known.

    That the first rows hold whole numbers does not mean that all do; and one that is no number
    does not make the others texts.
    """
    if pa.types.is_list(kind):
        return pa.list_(read_as(filled, kind.value_type))
    if filled.spec.dtype.hasobject:
        return pa.string()
    if filled.spec.dtype.kind in "fV" and (pa.types.is_integer(kind) or is_text(kind)):
        return pa.float64()
    return pa.from_numpy_dtype(filled.spec.dtype) if is_text(kind) else kind


def _check(filled: Filled, schema: pa.Schema, guessed: bool) -> None:
    kinds = tuple(schema.field(name).type for name in filled.columns)
    if guessed:
        kinds = tuple(read_as(filled, kind) for kind in kinds)
    if why := _why_not(filled.spec, filled.tail, kinds):
        names = _quoted(filled.columns[:MAX_LISTED])
        raise CannotMap(f"{names} cannot fill the input {filled.spec}: {why}.")


def _why_not(spec: TensorSpec, tail: tuple[int, ...], kinds: tuple[pa.DataType, ...]) -> str | None:
    """Why columns of these types cannot fill an input; None if they can."""
    fits = is_text if spec.dtype.hasobject else _is_number
    wanted = "texts" if spec.dtype.hasobject else "numbers"
    size = None if -1 in tail else prod(tail)
    if len(kinds) == 1 and (depth := _depth(kinds[0])):
        if odd := [axis for axis in tail if axis < 0][1:]:
            return f"{1 + len(odd)} of its axes may have any size, and a list has one length"
        if not fits(_innermost(kinds[0])):
            return f"it holds {kinds[0]}, and {wanted} are needed"
        known = _list_size(kinds[0])
        if size is not None and known is not None and known != size:
            return f"its lists have {known} elements, and {size} are needed"
        return None if tail or depth == 0 else "it holds lists, and one value a row is needed"
    if odd_kinds := [kind for kind in kinds if not fits(kind)]:
        return f"{odd_kinds[0]} is there, and {wanted} are needed"
    if size is not None and size != len(kinds):
        return (
            f"a row needs {size} values, and {_counted(len(kinds), 'column')} would give that many"
        )
    return None


def _is_number(kind: pa.DataType) -> bool:
    return any(
        test(kind)
        for test in (
            pa.types.is_integer,
            pa.types.is_floating,
            pa.types.is_boolean,
            pa.types.is_decimal,
        )
    )


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of this type holds texts or bytes."""
    if pa.types.is_dictionary(kind):
        return is_text(kind.value_type)
    return any(
        test(kind)
        for test in (
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_string_view,
            pa.types.is_binary,
            pa.types.is_large_binary,
            pa.types.is_binary_view,
            pa.types.is_fixed_size_binary,
        )
    )


def is_list(kind: pa.DataType) -> bool:
    """Whether a column of this type holds lists."""
    return any(
        test(kind)
        for test in (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    )


def _depth(kind: pa.DataType) -> int:
    return 1 + _depth(kind.value_type) if is_list(kind) else 0


def _innermost(kind: pa.DataType) -> pa.DataType:
    return _innermost(kind.value_type) if is_list(kind) else kind


def _list_size(kind: pa.DataType) -> int | None:
    """The elements of each list, where the type says it."""
    if not is_list(kind):
        return 1
    inner = _list_size(kind.value_type)
    if inner is None or not pa.types.is_fixed_size_list(kind):
        return None
    return int(kind.list_size) * inner


def _listed(schema: pa.Schema) -> str:
    shown = [f"{field.name} ({field.type})" for field in schema][:MAX_LISTED]
    more = len(schema.names) - len(shown)
    return f"The columns are {', '.join(shown)}{f' and {more} more' if more else ''}."


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
