"""How the log is written: a line for people, or a JSON object for programs, each event one line.

Names and messages may hold what callers have sent. Whatever could end a line, move the
cursor or hide text is escaped, so that nobody writes a line of the log but the server.
"""

import logging
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final, TextIO

import orjson

from ..settings import LOG_FORMATS

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The request that is being worked on, where there is one and requests are logged."""

# What a record has of its own; whatever else is there was given as `extra`.
_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

# Control characters, the two separators that some take for ends of lines, and what
# changes the direction of text or has no width.
_HARMFUL: Final = (
    *range(0x20),
    *range(0x7F, 0xA0),
    *range(0x200B, 0x2010),
    *range(0x2028, 0x202F),
    *range(0x2066, 0x206A),
    0xFEFF,
)
_ESCAPES: Final[Mapping[int, str]] = {
    **{code: f"\\u{code:04x}" if code > 0xFF else f"\\x{code:02x}" for code in _HARMFUL},
    **{ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t"},
}


def configure_logs(format: str = "text", stream: TextIO | None = None) -> None:
    """Send the whole process's log to a stream, by default the standard error.

    Raises ValueError for an unknown format.
    """
    if format not in LOG_FORMATS:
        raise ValueError(f"log_format must be one of {', '.join(LOG_FORMATS)}, got {format!r}")
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines() if format == "json" else TextLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    # uvicorn tells of each start and stop, which we do ourselves; and of requests,
    # which `AccessLog` does with more to say.
    for name in ("uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).setLevel(logging.WARNING)


class TextLines(logging.Formatter):
    """`INFO serving.engine: what happened (request 4711)`; a traceback follows, indented."""

    def format(self, record: logging.LogRecord) -> str:
        line = f"{record.levelname} {record.name}: {escaped(record.getMessage())}"
        if request := request_id.get():
            line += f" (request {request})"
        if record.exc_info:
            trace = self.formatException(record.exc_info)
            # Indented, no line of it can be taken for one of ours.
            line += "".join(f"\n    {escaped(part)}" for part in trace.splitlines())
        return line


class JsonLines(logging.Formatter):
    """One object a line: time, level, logger, message, and whatever else is known."""

    def format(self, record: logging.LogRecord) -> str:
        event: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request := request_id.get():
            event["request_id"] = request
        # None may take the place of what is there already.
        event = {
            **{name: value for name, value in vars(record).items() if name not in _OWN},
            **event,
        }
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        return dumped(event)


def dumped(event: Mapping[str, Any]) -> str:
    """An event as a line of JSON, whatever is in it."""
    try:
        return orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # half a pair of surrogates, say: text that is none
        plain = {str(name): repr(value) for name, value in event.items()}
        return orjson.dumps(
            {_encodable(key): ascii(value) for key, value in plain.items()}
        ).decode()


def _encodable(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


def escaped(text: str) -> str:
    """The text on one line, with nothing in it that is not seen."""
    return text.translate(_ESCAPES)
