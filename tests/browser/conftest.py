"""One Chromium and one server for all tests of the page."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from onnx import TensorProto
from playwright.sync_api import Browser, Page, Request, expect, sync_playwright

from models import ZOO
from tests.support import onnx_models
from tests.support.server import Server, serving

ROOT = Path(__file__).parents[2]
NAMES = ("chromium", "chromium-browser", "google-chrome")
WAIT_MS = 20_000
"""Far more than anything here takes; only a hang takes so long."""

expect.set_options(timeout=WAIT_MS)

HOSTILE = "<img src=x onerror=alert(1)>"


def chromium() -> str:
    """Where the browser is."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if not found:
        pytest.fail("no Chromium: run `make chromium`, or say where it is in CHROMIUM")
    return found


# Of this package, not of the session: while its loop is there, no test can have another.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # In a container there is one user and no sandbox; all that is opened is our own page.
        arguments = ["--no-sandbox"]
        browser = playwright.chromium.launch(executable_path=chromium(), args=arguments)
        yield browser
        browser.close()


def casted(path: Path, kind: int, into: int) -> None:
    """y = x, of other types."""
    onnx_models.write(
        path,
        [("CastLike", ["x", "like"], ["y"])],
        [("x", kind, ["batch", 4])],
        [("y", into, ["batch", 4])],
        {"like": onnx_models.np.array(0, "f4" if into == TensorProto.FLOAT else "f2")},
    )


def make_models(root: Path) -> Path:
    """Those of the issue, and some that are not nice: see each one's name."""
    subprocess.run(
        [sys.executable, ROOT / "load_tests" / "real_models.py", root],
        check=True,
        capture_output=True,
    )
    for name in ("digits", "iris"):
        shutil.copytree(ZOO / name, root / name)
    casted(root / "halves" / "1" / "model.onnx", TensorProto.FLOAT16, TensorProto.FLOAT16)
    brains = root / "brains" / "1" / "model.onnx"
    onnx_models.identity(brains, TensorProto.BFLOAT16, ["batch", 4])
    onnx_models.identity(root / "flags" / "1" / "model.onnx", TensorProto.BOOL, ["batch", 3])
    onnx_models.doubler(root / "hostile" / "1" / "model.onnx", width=400)
    (root / "hostile" / "model.toml").write_text(f'description = "{HOSTILE}"\nform = "draw"\n')
    onnx_models.doubler(root / "unfit" / "1" / "model.onnx", width=3)
    (root / "unfit" / "model.toml").write_text('form = "draw"\n')
    for version in "12":
        onnx_models.doubler(root / "versions" / version / "model.onnx")
    (root / "versions" / "model.toml").write_text('versions = "all"\n')
    onnx_models.heavy(root / "slow" / "1" / "model.onnx")
    (root / "slow" / "model.toml").write_text("slo_ms = 1\n")
    return root


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = make_models(tmp_path_factory.mktemp("models"))
    with serving(folder, "--admin", "--profile-budget", "0.3") as server:
        yield server


@dataclass
class Watched:
    """What a page has done that it should not."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)
    """Console errors and warnings, and exceptions that nobody has caught."""
    asked: list[str] = field(default_factory=list)
    """The URL of every request."""

    def strangers(self) -> list[str]:
        """Requests to any other host."""
        ours = (self.url, f"blob:{self.url}", "data:")
        return [url for url in self.asked if not url.startswith(ours)]


Open = Callable[..., Watched]


@pytest.fixture
def open_page(browser: Browser, server: Server) -> Iterator[Open]:
    """Opens a page of the server, as new to the browser as can be, and waits for its models.

    `open_page(path="/", url=None, **context)`; it must end without complaints and strangers.
    """
    opened: list[tuple[Watched, bool]] = []

    def opens(
        path: str = "/", url: str | None = None, *, strict: bool = True, **context: object
    ) -> Watched:
        made = browser.new_context(**context)  # type: ignore[arg-type]
        made.set_default_timeout(WAIT_MS)
        page = made.new_page()
        watched = Watched(page, url or server.url)
        page.on(
            "console",
            lambda message: (
                message.type in ("error", "warning") and watched.complaints.append(message.text)
            ),
        )
        page.on("pageerror", lambda error: watched.complaints.append(str(error)))

        def ask(request: Request) -> None:
            watched.asked.append(request.url)

        page.on("request", ask)
        opened.append((watched, strict))
        page.goto(watched.url + path)
        if path == "/":
            page.wait_for_selector("article.model")
        return watched

    yield opens
    for watched, strict in opened:
        watched.page.context.close()
        assert watched.strangers() == []
        if strict:
            assert watched.complaints == []
