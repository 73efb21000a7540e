"""The systemd unit against the server that it runs, and what the server tells systemd."""

import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.lifecycle import notify
from serving.server import GRACE_S
from serving.settings import Settings
from tests.support.server import serving

UNIT = Path(__file__).parents[2] / "deploy" / "jitney.service"
SAID = dict(re.findall(r"^(\w+)=(.*)$", UNIT.read_text(), re.MULTILINE))


@pytest.fixture(params=["in a file", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """The socket that systemd listens on, and its address as it tells it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.settimeout(60)
        if request.param == "abstract":
            name = f"jitney-test-{os.getpid()}"
            listening.bind("\0" + name)
            yield listening, "@" + name
        else:
            listening.bind(str(tmp_path / "notify"))
            yield listening, str(tmp_path / "notify")


def test_systemd_hears_when_every_model_answers_and_when_it_stops(
    systemd: tuple[socket.socket, str],
) -> None:
    listening, address = systemd
    with serving(NOTIFY_SOCKET=address) as server:
        assert listening.recv(100) == b"READY=1"
        assert server.get("/v2/health/ready").status_code == 200
        server.process.send_signal(signal.SIGTERM)
        assert listening.recv(100) == b"STOPPING=1"
        assert server.process.wait(timeout=30) == 0


def test_a_socket_that_is_gone_is_no_reason_to_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    notify("READY=1")
    assert "systemd could not be told READY=1" in caplog.text


def test_without_systemd_nobody_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")
    assert not caplog.records


def test_the_unit_waits_for_what_the_server_tells_and_long_enough() -> None:
    settings = Settings()

    assert SAID["Type"] == "notify"
    assert SAID["ExecStart"].split()[1] == "serve"
    assert int(SAID["TimeoutStartSec"]) >= 120
    assert int(SAID["TimeoutStopSec"]) >= settings.lame_duck_s + settings.drain_s + GRACE_S


def test_the_unit_gives_it_no_rights_that_it_does_not_need() -> None:
    for option in ("NoNewPrivileges", "DynamicUser", "ProtectHome", "PrivateTmp"):
        assert SAID[option] == "yes"
    assert SAID["ProtectSystem"] == "strict"
    assert SAID["CapabilityBoundingSet"] == ""
    assert "AF_UNIX" in SAID["RestrictAddressFamilies"]  # or it could tell nobody that it is ready
