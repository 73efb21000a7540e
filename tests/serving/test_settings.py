"""Settings: none of them can be wrong, and each of them has an effect."""

import asyncio
from dataclasses import fields
from math import inf, nan

import click
import pytest

from serving.cli.options import settings_options
from serving.settings import Settings, options
from tests.support.asgi import Caller, client, door, error_of
from tests.support.batches import settle
from tests.support.held_model import INFER, ask, held
from tests.support.server import serving


def test_the_defaults_are_right():
    assert Settings() == Settings(**{option.name: option.default for option in options()})


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        *(("port", value) for value in (-1, 65536)),
        *(("max_queue_rows", value) for value in (0, -1, inf, nan)),
        *(("max_body_mib", value) for value in (0, -1, inf, nan)),
        *(("slo_ms", value) for value in (-1, inf, nan)),
        *(("drain_s", value) for value in (-1, inf, nan)),
    ],
)
def test_a_setting_that_is_wrong_cannot_exist_and_is_named(name, wrong):
    with pytest.raises(ValueError, match=f"^{name} must be .*, got {wrong!r}$"):
        Settings(**{name: wrong})


def test_an_unknown_setting_is_an_error():
    """Lesson 24."""
    with pytest.raises(TypeError, match="max_body_mb"):
        Settings(max_body_mb=1)  # type: ignore[call-arg]


def test_every_setting_but_the_models_has_a_flag_a_variable_and_words():
    """The paths are arguments."""
    names = [option.name for option in options()]

    assert names == [field.name for field in fields(Settings) if field.name != "models"]
    for option in options():
        word = option.name.removesuffix("_s")
        assert option.flag == "--" + word.replace("_", "-")
        assert option.variable == "JITNEY_" + word.upper()
        assert option.says


@pytest.mark.parametrize("option", options(), ids=lambda option: option.name)
@pytest.mark.parametrize("way", ["flag", "variable"])
def test_every_setting_arrives_by_its_flag_and_by_its_variable(option, way, monkeypatch):
    """Lesson 24."""
    other = {bool: not option.default, str: "::1"}.get(option.kind, option.kind(7))
    if option.name == "log_format":
        other = "json"
    arguments = []
    if way == "variable":
        monkeypatch.setenv(option.variable, str(other))
    else:
        on = option.flag if other else f"--no-{option.flag[2:]}"
        arguments = [on] if option.kind is bool else [option.flag, str(other)]

    @click.command()
    @settings_options
    def command(**values: object) -> object:
        return Settings(**values)  # type: ignore[arg-type]

    settings = command.main(arguments, standalone_mode=False)

    assert other != option.default
    assert settings == Settings(**{option.name: other})


# --- what they do (slo_ms and max_queue_rows: test_gate_refusing and test_gate_leaving;
# host, port and all of them by environment: cli/test_serve)


@pytest.mark.parametrize(("mib", "status"), [(0.0001, 413), (1, 200)])
async def test_max_body_mib_bounds_a_body(mib, status):
    """Lesson 24."""
    async with held(max_body_mib=mib) as (model, engine), client(door(engine)) as session:
        model.let_go()
        reply = await session.post(INFER, content=ask(1) + b" " * 100)

    assert reply.status_code == status


async def test_drain_s_bounds_what_a_stopping_server_waits_for():
    """Lesson 24; that it does wait is in test_gate_leaving."""
    async with held(drain_s=0) as (model, engine), Caller(door(engine), INFER) as caller:
        caller.send(ask(1))
        await model.started()
        stopping = asyncio.create_task(engine.stop())
        await settle()

        reply = await caller.reply()

        assert reply.status_code == 503
        assert error_of(reply)
        model.let_go()
        await stopping


@pytest.mark.parametrize(("flag", "lines"), [("--access-log", 1), ("--no-access-log", 0)])
def test_access_log_logs_a_line_for_each_request(flag, lines):
    """Lesson 24."""
    with serving(flag) as server:
        assert server.get("/v2/health/live").status_code == 200

    assert server.output.count("GET /v2/health/live") == lines
