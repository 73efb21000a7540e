"""A request's fields: each of the kind that it should be, or an InvalidRequest that names it."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import simdjson

from .elements import kind_of
from .errors import InvalidRequest

T = TypeVar("T")


def typed(where: str, value: Any, kind: type[T], words: str) -> T:
    """The value, if it is of this kind. `words`: what the message says was expected."""
    if not isinstance(value, kind):
        raise InvalidRequest(f"{where}: expected {words}, got {kind_of(value)}")
    return value


def mapping(where: str, value: Any) -> dict[str, Any]:
    """A JSON object, as a dictionary."""
    if isinstance(value, simdjson.Object):
        value = value.as_dict()
    return typed(where, value, dict, "an object")


def flag(where: str, value: Any) -> bool:
    """True or false, and neither 1 nor "yes"."""
    return typed(where, value, bool, "true or false")


def count(where: str, value: Any, least: int = 0) -> int:
    """A whole number that 64 bits hold."""
    if type(value) is not int or not least <= value < 2**64:
        words = f"a whole number of at least {least}" if least else "a whole number"
        raise InvalidRequest(f"{where}: expected {words}, got {kind_of(value)}")
    return value


_RESERVED = "triton_"
_SEQUENCE = ("sequence_id", "sequence_start", "sequence_end")
_SHARED_MEMORY = "shared_memory_region"


def refuse_reserved(parameters: Mapping[str, Any], allowed: Iterable[str] = ()) -> None:
    """Refuse a request's parameters that nobody may set, and those of what is not done here.

    Every other key is the caller's own affair.
    """
    for key in parameters:
        if key.startswith(_RESERVED) and key not in allowed:
            raise InvalidRequest(
                f"parameters: {kind_of(key)} is reserved, as is every name that begins with "
                f"{_RESERVED!r}; use another"
            )
    for key in _SEQUENCE:
        # 0, "" and false are what clients send that mean no sequence.
        if parameters.get(key):
            raise InvalidRequest(
                f"parameters.{key}: sequences are not supported, every request stands alone; "
                "leave it out"
            )


def refuse_shared_memory(where: str, parameters: Mapping[str, Any]) -> None:
    """Refuse a tensor that is in memory which the server would have to share."""
    if _SHARED_MEMORY in parameters:
        raise InvalidRequest(
            f"{where}.parameters.{_SHARED_MEMORY}: shared memory is not supported; "
            "send and ask for the data itself"
        )
