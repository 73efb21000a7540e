"""Every setting of the server, declared once.

The command line's flags, the environment's variables and the README's table are
made from this one declaration.
"""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

ENVIRONMENT_PREFIX = "JITNEY_"
LOG_FORMATS = ("text", "json")

GRACE_S = 2.0
"""How long after the end of `drain_s` a process is there at most."""


def _setting(default: Any, says: str) -> Any:
    return field(default=default, metadata={"says": says})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to serve. Cannot exist if it is wrong."""

    models: tuple[Path, ...] = ()
    """ONNX files and repository folders; none means the shipped models."""
    host: str = _setting("127.0.0.1", "Address to listen on; 0.0.0.0 is every IPv4 interface")
    port: int = _setting(8000, "HTTP port; 0 takes any free one")
    grpc_port: int = _setting(0, "gRPC port; 0 is none")
    workers: int = _setting(
        1, "Processes that serve on the same port and share the cores; see deploy/README.md"
    )
    slo_ms: float = _setting(
        0.0,
        "Answer within so many milliseconds or refuse, where neither request nor model says; "
        "0 is 10 s, or three times what the request takes alone",
    )
    max_queue_rows: int = _setting(8192, "Rows that may wait for each model; more are refused")
    max_body_mib: float = _setting(64.0, "Largest request body, in MiB")
    profile_budget_s: float = _setting(
        2.0, "Seconds to measure each model in, where no earlier start has done it"
    )
    watch: bool = _setting(
        False, "Reload models whose files change, add new ones and let go of vanished ones"
    )
    admin: bool = _setting(False, "Let the network load, reload and unload models")
    lame_duck_s: float = _setting(
        0.0, "Seconds to go on serving at shutdown, not ready any more, until balancers know"
    )
    drain_s: float = _setting(
        30.0, "Seconds that accepted requests get to finish at shutdown after that"
    )
    access_log: bool = _setting(False, "Log a line for each request")
    log_format: str = _setting(
        "text", "How the log is written: text, or json for a JSON object a line"
    )
    metrics: bool = _setting(True, "Answer /metrics for Prometheus")
    tracing: bool = _setting(
        False, "Send traces over OTLP, as the OTEL_* variables say; needs jitney[otel]"
    )

    def __post_init__(self) -> None:
        for name in ("port", "grpc_port"):
            if not 0 <= getattr(self, name) <= 65535:
                raise ValueError(f"{name} must be 0 to 65535, got {getattr(self, name)!r}")
        for name, least in (
            ("workers", 1),
            ("max_queue_rows", 1),
            ("lame_duck_s", 0),
            ("drain_s", 0),
            ("slo_ms", 0),
            ("profile_budget_s", 0),
        ):
            if not least <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)!r}")
        if self.log_format not in LOG_FORMATS:
            raise ValueError(
                f"log_format must be one of {', '.join(LOG_FORMATS)}, got {self.log_format!r}"
            )
        if not 0 < self.max_body_mib < float("inf"):
            raise ValueError(f"max_body_mib must be above 0, got {self.max_body_mib!r}")

    @property
    def max_body_bytes(self) -> int:
        return int(self.max_body_mib * 2**20)


@dataclass(frozen=True)
class Option:
    """One setting as a person meets it."""

    name: str
    kind: type
    default: Any
    says: str

    @property
    def flag(self) -> str:
        return "--" + self._word.replace("_", "-")

    @property
    def variable(self) -> str:
        return ENVIRONMENT_PREFIX + self._word.upper()

    @property
    def _word(self) -> str:
        # Seconds need no saying on a command line; milliseconds do.
        return self.name.removesuffix("_s")


def options() -> list[Option]:
    """All settings that have a flag and a variable, in the order of their declaration."""
    return [
        Option(setting.name, type(setting.default), setting.default, setting.metadata["says"])
        for setting in fields(Settings)
        if "says" in setting.metadata
    ]


def readme_table() -> str:
    """The settings as the table that stands in the README."""
    lines = ["| flag | variable | default | |", "| --- | --- | --- | --- |"]
    for option in options():
        default = (
            f"{option.default:g}" if isinstance(option.default, float) else str(option.default)
        )
        if option.kind is bool:
            default = "on" if option.default else "off"
        lines.append(f"| `{option.flag}` | `{option.variable}` | {default} | {option.says} |")
    return "\n".join(lines)
