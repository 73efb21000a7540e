"""The page of a server of several processes: one server to whoever looks."""

import os
import signal
from pathlib import Path

import pytest
from playwright.sync_api import expect

from models import ZOO, usable_cores
from tests.browser.looks import card
from tests.support.server import Server, serving

pytestmark = pytest.mark.skipif(usable_cores() < 2, reason="each worker needs a core")


def asked(server: Server, times: int) -> None:
    """Ask with the model's own example, each time over a connection of its own."""
    example = server.get("/v2/models/iris/example").json()
    for _ in range(times):
        assert server.post("/v2/models/iris/infer", json=example).status_code == 200


def workers_of(server: Server) -> list[int]:
    pid = server.process.pid
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_it_tells_of_all_processes_and_says_if_one_is_silent(open_page):
    with serving(ZOO, "--workers", "2", "--profile-budget", "0.2") as server:
        asked(server, 20)
        page = open_page(url=server.url).page

        expect(page.locator("#state")).to_have_text("Ready: 2 models in 2 processes")
        live = card(page, "iris").locator(".live")
        expect(live).to_contain_text("20 requests since it was loaded")
        asked(server, 20)
        expect(live).to_contain_text("40 requests since it was loaded")

        # The one of the two that the page's stream does not come from; which it is may change,
        # for the page connects anew where nothing comes.
        for worker in workers_of(server) * 3:
            os.kill(worker, signal.SIGSTOP)
            try:
                if silent_is_said(page):
                    expect(live).to_contain_text("40 requests since it was loaded")
                    break
            finally:
                os.kill(worker, signal.SIGCONT)
        else:
            pytest.fail("nothing is said of a silent process")
        expect(page.locator("#state")).to_have_text("Ready: 2 models in 2 processes")
        page.context.close()


def silent_is_said(page) -> bool:
    try:
        expect(page.locator("#state")).to_contain_text("only 1 of 2 processes answer", timeout=6000)
    except AssertionError:
        return False
    return True
