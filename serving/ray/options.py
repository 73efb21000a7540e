"""What a Ray Serve application of ours is told: `key=value` of `serve run`, or `args` in a file.

Most are the server's settings under their own names. Those that Ray Serve decides itself are
refused, each with the place where it is said to Ray.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..settings import Option, Settings, options

NOT_HERE: Final[Mapping[str, str]] = {
    "host": "Ray Serve's proxies listen: say it in http_options",
    "port": "Ray Serve's proxies listen: say it in http_options",
    "grpc_port": "Ray Serve's proxies carry HTTP only",
    "workers": "replicas take their place: say min_replicas and max_replicas",
    "admin": "a request reaches one replica, and would change its models only: change the "
    "files, and deploy again",
    "lame_duck_s": "Ray Serve's proxies know at once which replica stops",
}
"""Settings that have no meaning behind Ray Serve, and why."""

TRUE, FALSE = ("true", "on", "yes", "1"), ("false", "off", "no", "0")


class BadOptions(ValueError):
    """What the application is told makes no sense; one sentence, for who deploys it."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to serve with Ray Serve. Cannot exist if it is wrong."""

    settings: Settings
    cpus: int = 1
    """CPUs that a replica reserves with Ray, and cores that its engine uses."""
    min_replicas: int = 1
    max_replicas: int = 1

    def __post_init__(self) -> None:
        if self.cpus < 1:
            raise BadOptions(f"cpus must be at least 1, got {self.cpus!r}")
        if not 1 <= self.min_replicas <= self.max_replicas:
            raise BadOptions(
                "expected 1 <= min_replicas <= max_replicas, got "
                f"{self.min_replicas!r} and {self.max_replicas!r}"
            )
        for path in self.settings.models:
            if not path.is_absolute():
                raise BadOptions(
                    f"models: {path} is relative; give the absolute path under which the models "
                    "are on every machine"
                )

    @classmethod
    def of(cls, args: Mapping[str, Any]) -> "Options":
        """Of what was said on a command line or in a file. Raises BadOptions."""
        known = {option.name: option for option in options()}
        own: dict[str, int] = {}
        values: dict[str, Any] = {}
        for name, value in args.items():
            if why := NOT_HERE.get(name):
                raise BadOptions(f"{name} cannot be said here: {why}")
            if name == "models":
                values[name] = tuple(Path(path) for path in _list(value))
            elif name in ("cpus", "min_replicas", "max_replicas"):
                own[name] = _read(Option(name, int, 1, ""), value)
            elif name in known:
                values[name] = _read(known[name], value)
            else:
                names = ["models", "cpus", "min_replicas", "max_replicas"]
                names += [other for other in known if other not in NOT_HERE]
                raise BadOptions(f"there is no {name!r}; there are {', '.join(names)}")
        own.setdefault("max_replicas", own.get("min_replicas", 1))
        try:
            return cls(settings=Settings(**values), **own)
        except BadOptions:
            raise
        except ValueError as error:
            raise BadOptions(str(error)) from error


def _list(value: Any) -> list[str]:
    if isinstance(value, str):
        return [path for path in value.split(",") if path]
    if isinstance(value, list) and all(isinstance(path, str) for path in value):
        return value
    raise BadOptions(f"models must be a path or a list of them, got {value!r}")


def _read(option: Option, value: Any) -> Any:
    """The value as its setting has it; a command line knows texts only."""
    if option.kind is bool and isinstance(value, str):
        if value.lower() in TRUE + FALSE:
            return value.lower() in TRUE
    elif isinstance(value, option.kind) and (option.kind is bool) == isinstance(value, bool):
        return value
    elif option.kind in (int, float) and isinstance(value, str | int) and value is not True:
        try:
            return option.kind(value)
        except ValueError:
            pass
    kinds = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    raise BadOptions(f"{option.name} must be {kinds[option.kind]}, got {value!r}")
