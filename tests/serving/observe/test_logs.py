"""How the log is written, and that nobody else writes it."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.observe.logs import JsonLines, TextLines, configure_logs, escaped, request_id

any_text = st.text(st.characters(exclude_categories=()))


@pytest.fixture
def configured() -> Iterator[Callable[[str], io.StringIO]]:
    """Configure the log, and put it back afterwards."""
    root = logging.getLogger()
    loggers = [root, logging.getLogger("uvicorn.error"), logging.getLogger("uvicorn.access")]
    before = [(logger, logger.level, list(logger.handlers)) for logger in loggers]

    def configure(format: str) -> io.StringIO:
        stream = io.StringIO()
        configure_logs(format, stream)
        return stream

    yield configure
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


def record(message: Any, *args: Any, **extra: Any) -> logging.LogRecord:
    made = logging.makeLogRecord({"msg": message, "args": args, "levelname": "INFO", "name": "a.b"})
    vars(made).update(extra)
    return made


# --- for people


def test_a_line_says_how_grave_it_is_and_where_it_comes_from(
    configured: Callable[[str], io.StringIO],
) -> None:
    stream = configured("text")

    logging.getLogger("serving.engine").warning("model %r is gone", "m")
    logging.getLogger("uvicorn.access").info("not this")

    assert stream.getvalue() == "WARNING serving.engine: model 'm' is gone\n"


@given(any_text)
def test_nothing_in_a_message_can_end_its_line(text: str) -> None:
    line = TextLines().format(record("%s", text))

    assert len(line.splitlines()) == 1
    assert "\x1b" not in line
    assert "\u202e" not in line


def test_a_traceback_cannot_be_taken_for_lines_of_the_log() -> None:
    try:
        raise ValueError("no\nERROR serving: all is lost\r\x1b[2K")
    except ValueError as error:
        made = record("failed", exc_info=(ValueError, error, error.__traceback__))

    first, *rest = TextLines().format(made).splitlines()

    assert first == "INFO a.b: failed"
    assert any("ERROR serving: all is lost" in line for line in rest)
    assert all(line.startswith("    ") for line in rest)
    assert "\x1b" not in "".join(rest)


def test_letters_of_all_languages_stay() -> None:
    assert escaped("Größe 模型 قیمت 🚌") == "Größe 模型 قیمت 🚌"
    assert escaped("a\nb\x00\u2028") == "a\\nb\\x00\\u2028"


# --- for programs


def test_an_event_is_an_object(configured: Callable[[str], io.StringIO]) -> None:
    stream = configured("json")

    logging.getLogger("serving.models").info("%s: ready", "m", extra={"max_rows": 64})

    event = json.loads(stream.getvalue())
    assert event.pop("time").endswith("+00:00")
    assert event == {
        "level": "info",
        "logger": "serving.models",
        "message": "m: ready",
        "max_rows": 64,
    }


def test_a_traceback_is_a_field() -> None:
    try:
        raise ValueError("no")
    except ValueError as error:
        made = record("failed", exc_info=(ValueError, error, error.__traceback__))

    event = json.loads(JsonLines().format(made))

    assert event["message"] == "failed"
    assert event["exception"].endswith("ValueError: no")


@given(any_text, any_text, st.one_of(any_text, st.integers(), st.binary(), st.just(object())))
def test_whatever_is_said_it_is_one_line_of_json(message: str, name: str, value: object) -> None:
    line = JsonLines().format(record("%s", message, **{name: value}))

    assert len(line.split("\n")) == 1
    json.loads(line)


def test_no_field_takes_the_place_of_ours() -> None:
    event = json.loads(JsonLines().format(record("true", level="critical", logger="root")))

    assert (event["level"], event["logger"], event["message"]) == ("info", "a.b", "true")


# --- both


@pytest.mark.parametrize("format", ["text", "json"])
def test_what_is_said_for_a_request_names_it(
    configured: Callable[[str], io.StringIO], format: str
) -> None:
    stream = configured(format)
    token = request_id.set("4711")
    logging.getLogger("serving").error("it failed")
    request_id.reset(token)
    logging.getLogger("serving").error("it failed")

    first, second = stream.getvalue().splitlines()
    assert "4711" in first
    assert "4711" not in second


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ValueError, match="log_format must be one of text, json, got 'xml'"):
        configure_logs("xml")
