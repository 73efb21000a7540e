"""What a model's `model.toml` may say. All of it is optional.

A ModelConfig cannot exist if it is wrong, and a key that is not known is an
error, so that a misspelt one is not ignored in silence.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from .errors import BadModel


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A model's settings. `None` means: decide by measurement, or by the server's setting."""

    description: str = ""
    """One line about the model, shown wherever the model is."""
    slo_ms: float | None = None
    """Answer within so many milliseconds or refuse; for requests that name no time themselves."""
    batching: bool = True
    """False: one request a run, whatever was measured."""
    max_batch_rows: int | None = None
    """Rows of the largest batch, where that must be less than what measurement would choose."""
    max_queue_rows: int | None = None
    """Rows that may wait."""
    threads: int | None = None
    """Threads that one run may use."""
    example: Mapping[str, Any] = field(default_factory=dict)
    """One row's values for each input, flat: for the commands and forms shown to people."""

    def __post_init__(self) -> None:
        _check_type("description", self.description, str)
        _check_type("batching", self.batching, bool)
        _check_type("example", self.example, Mapping)
        if self.slo_ms is not None:
            _check_type("slo_ms", self.slo_ms, (int, float))
            if not 0 < self.slo_ms < float("inf"):
                raise ValueError(f"slo_ms must be above 0 and finite, got {self.slo_ms!r}")
        for key in ("max_batch_rows", "max_queue_rows", "threads"):
            count = getattr(self, key)
            if count is not None:
                _check_type(key, count, int)
                if count < 1:
                    raise ValueError(f"{key} must be at least 1, got {count!r}")


def _check_type(key: str, value: object, kind: type | tuple[type, ...]) -> None:
    # In Python a bool is an int; in a settings file it is a mistake.
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        names = kind if isinstance(kind, tuple) else (kind,)
        wanted = " or ".join(_WORDS[name] for name in names)
        raise ValueError(f"{key} must be {wanted}, got {value!r}")


_WORDS = {
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    Mapping: "a table",
}


def read_config(path: Path) -> ModelConfig:
    """The settings in a `model.toml`; the defaults if there is no such file.

    Raises BadModel naming the file, the key and what would be right.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ModelConfig()
    except (OSError, UnicodeDecodeError) as error:
        raise BadModel(f"{path} cannot be read: {error}.") from error
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadModel(f"{path} is not valid TOML: {error}.") from error
    known = [setting.name for setting in fields(ModelConfig)]
    for key in values:
        if key not in known:
            close = get_close_matches(key, known, n=1)
            meant = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(known)}."
            raise BadModel(f"{path}: unknown key {key!r}; {meant}")
    try:
        return ModelConfig(**values)
    except ValueError as error:
        raise BadModel(f"{path}: {error}.") from error
