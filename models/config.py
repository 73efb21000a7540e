"""What a model's `model.toml` may say. All of it is optional.

A ModelConfig cannot exist if it is wrong, and a key that is not known is an
error, so that a misspelt one is not ignored in silence.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from .errors import BadModel
from .signature import DATATYPES, TensorSpec

T = TypeVar("T")

FORMS = ("draw", "file", "text", "json")
POOLINGS = ("mean", "cls", "none")
MAX_TOKENS = 8192


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """`[text]`: how a model with a tokenizer.json makes one vector of a text."""

    max_length: int = 256
    """Tokens of the longest text, special ones included; what is longer is cut off."""
    pooling: str = "mean"
    """Of the vectors of a text's tokens: their mean, the first one (cls), or none, where the
    model itself gives one vector a text."""
    normalize: bool = True
    """Make every vector one long, so that a dot product is a cosine."""
    output: str | None = None
    """The model's output to use; None for the first with as many axes as the pooling takes."""

    def __post_init__(self) -> None:
        _check_type("max_length", self.max_length, int)
        _check_type("normalize", self.normalize, bool)
        if not 1 <= self.max_length <= MAX_TOKENS:
            raise ValueError(f"max_length must be from 1 to {MAX_TOKENS}, got {self.max_length!r}")
        if self.pooling not in POOLINGS:
            raise ValueError(f"pooling must be one of {_listed(POOLINGS)}, got {self.pooling!r}")
        if self.output is not None:
            _check_type("output", self.output, str)


@dataclass(frozen=True, kw_only=True)
class TensorConfig:
    """One of `[[inputs]]` or `[[outputs]]`: what callers of a model with a pipeline.py see."""

    name: str
    datatype: str
    """As the Open Inference Protocol names it."""
    shape: tuple[int, ...]
    """Sizes, -1 for any; the first counts the rows."""

    def __post_init__(self) -> None:
        _check_type("name", self.name, str)
        if not self.name:
            raise ValueError("name must not be empty")
        if not isinstance(self.datatype, str) or self.datatype not in DATATYPES:
            raise ValueError(f"datatype must be one of {_listed(DATATYPES)}, got {self.datatype!r}")
        shape = self.shape
        if not isinstance(shape, (list, tuple)) or not all(type(dim) is int for dim in shape):
            raise ValueError(f"shape must be a list of whole numbers, got {shape!r}")
        if not shape or shape[0] != -1:
            raise ValueError(f"shape must begin with -1, the axis of rows, got {list(shape)}")
        if any(dim < 1 and dim != -1 for dim in shape):
            raise ValueError(f"shape must hold sizes from 1, or -1 for any, got {list(shape)}")
        object.__setattr__(self, "shape", tuple(shape))

    @property
    def spec(self) -> TensorSpec:
        """The same as the rest of this package has it."""
        dims = (None if dim < 0 else dim for dim in self.shape[1:])
        return TensorSpec(self.name, DATATYPES[self.datatype], ("batch", *dims))


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A model's settings. `None` means: decide by measurement, or by the server's setting."""

    description: str = ""
    """One line about the model, shown wherever the model is."""
    versions: str | tuple[int, ...] | Mapping[str, int] = "latest"
    """Which of the versions in its folder to serve: the latest, "all", a list of their numbers,
    or the latest so many: {latest = 2}."""
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
    form: str | None = None
    """How the page asks people for the one input: by a drawing, a file, a text; or as JSON."""
    text: TextConfig | None = None
    """For a model with a tokenizer.json beside it; its defaults if not given."""
    inputs: tuple[TensorConfig, ...] = ()
    """What the `before` of a pipeline.py takes, where that is not what the ONNX model takes."""
    outputs: tuple[TensorConfig, ...] = ()
    """What its `after` gives, where that is not what the ONNX model gives."""

    def __post_init__(self) -> None:
        _check_type("description", self.description, str)
        _check_type("batching", self.batching, bool)
        _check_type("example", self.example, Mapping)
        if self.form is not None and self.form not in FORMS:
            raise ValueError(f"form must be one of {_listed(FORMS)}, got {self.form!r}")
        _check_versions(self.versions)
        if isinstance(self.versions, list):
            object.__setattr__(self, "versions", tuple(self.versions))
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
        for key in ("inputs", "outputs"):
            names = [tensor.name for tensor in getattr(self, key)]
            if twice := {name for name in names if names.count(name) > 1}:
                raise ValueError(f"two of the {key} are named {min(twice)!r}")

    def chosen(self, there: Iterable[int]) -> list[int]:
        """Which of the versions that are there to serve, the lowest first; at least one is there.

        Raises ValueError if one that is asked for is missing.
        """
        numbers = sorted(there)
        match self.versions:
            case "all":
                return numbers
            case "latest":
                return numbers[-1:]
            case {"latest": int(count)}:
                return numbers[-count:]
        wanted = sorted(map(int, self.versions))
        if missing := [str(number) for number in wanted if number not in numbers]:
            raise ValueError(
                f"versions asks for {', '.join(missing)}, but the folder holds "
                f"{', '.join(map(str, numbers))}"
            )
        return wanted


def _check_versions(versions: object) -> None:
    match versions:
        case "latest" | "all":
            return
        case {"latest": count, **others} if not others:
            if type(count) is int and count >= 1:
                return
        case [*numbers] if numbers and all(type(n) is int and n >= 0 for n in numbers):
            if len(set(numbers)) == len(numbers):
                return
            raise ValueError(f"versions names a version twice, got {numbers}")
    raise ValueError(
        "versions must be 'latest', 'all', a list of whole numbers such as [1, 3], "
        f"or {{latest = 2}} for the newest two, got {versions!r}"
    )


def _check_type(key: str, value: object, kind: type | tuple[type, ...]) -> None:
    # In Python a bool is an int; in a settings file it is a mistake.
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        names = kind if isinstance(kind, tuple) else (kind,)
        wanted = " or ".join(_WORDS[name] for name in names)
        raise ValueError(f"{key} must be {wanted}, got {value!r}")


def _listed(words: Iterable[str]) -> str:
    return ", ".join(map(repr, words))


_WORDS = {
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    Mapping: "a table",
    dict: "a table",
    list: "a list of tables",
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
    try:
        return _read(values)
    except ValueError as error:
        ending = "" if str(error).endswith(("?", ".")) else "."
        raise BadModel(f"{path}: {error}{ending}") from error


def _read(values: dict[str, Any]) -> ModelConfig:
    if "text" in values:
        values["text"] = _table("text", TextConfig, values["text"])
    for key in ("inputs", "outputs"):
        if key in values:
            _check_type(key, values[key], list)
            values[key] = tuple(
                _table(f"{key}[{number}]", TensorConfig, table)
                for number, table in enumerate(values[key])
            )
    return _known(ModelConfig, values)


def _table(where: str, kind: type[T], values: object) -> T:
    """A table within the file as the value that it stands for."""
    _check_type(where, values, dict)
    try:
        return _known(kind, values)  # type: ignore[arg-type]
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _known(kind: type[T], values: Mapping[str, Any]) -> T:
    """A frozen value from its settings; raises ValueError for one that it has not or needs."""
    settings = fields(kind)  # type: ignore[arg-type]
    known = [setting.name for setting in settings]
    for key in values:
        if key not in known:
            close = get_close_matches(key, known, n=1)
            meant = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(known)}."
            raise ValueError(f"unknown key {key!r}; {meant}")
    for setting in settings:
        needed = setting.default is MISSING and setting.default_factory is MISSING
        if needed and setting.name not in values:
            raise ValueError(f"{setting.name} is missing")
    return kind(**values)
