"""What is served follows what is on the disk."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from models import find_models, places
from serving.engine import Engine
from serving.settings import Settings
from serving.watch import CannotWatch, look_for_watchfiles, spots, stamps, watching
from tests.support.onnx_models import doubler, scaler

WAIT_S = 30.0


@asynccontextmanager
async def watched(*paths: Path) -> AsyncIterator[Engine]:
    engine = Engine(find_models(paths), Settings(models=paths))
    async with watching(engine):
        engine.start()
        try:
            await engine.loaded()
            yield engine
        finally:
            await engine.stop()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not holds():  # noqa: ASYNC110 - the system tells, some time
            await asyncio.sleep(0.01)


def versions(engine: Engine, name: str = "m") -> list[str]:
    return engine.versions(name) if name in engine.models() else []


@pytest.fixture
def root(tmp_path: Path) -> Path:
    doubler(tmp_path / "root" / "m" / "1" / "model.onnx")
    return tmp_path / "root"


async def test_new_versions_new_models_and_vanished_ones(root: Path) -> None:
    async with watched(root) as engine:
        scaler(root / "m" / "2" / "model.onnx", 3)
        await until(lambda: versions(engine) == ["2"])
        doubler(root / "n" / "1" / "model.onnx")
        await until(lambda: versions(engine, "n") == ["1"])
        (root / "m" / "model.toml").write_text('versions = "all"')
        await until(lambda: versions(engine) == ["1", "2"])
        shutil.rmtree(root / "n")
        await until(lambda: engine.models() == ["m"])


async def test_a_file_that_changes_is_loaded_anew_and_others_are_left_alone(root: Path) -> None:
    doubler(root / "n" / "1" / "model.onnx")
    async with watched(root) as engine:
        before = {name: engine.deployment(name, None) for name in ("m", "n")}
        scaler(root / "m" / "1" / "model.onnx", 3)
        await until(lambda: engine.deployment("m", None) is not before["m"])
        assert engine.deployment("n", None) is before["n"]


async def test_half_a_file_keeps_the_old_one_until_it_is_whole(root: Path) -> None:
    """Lesson 21."""
    whole = scaler(root.parent / "made.onnx", 3).read_bytes()
    new = root / "m" / "2" / "model.onnx"
    new.parent.mkdir()
    async with watched(root) as engine:
        new.write_bytes(whole[: len(whole) // 2])
        await until(lambda: any(status.reason for status in engine.index()))
        assert versions(engine) == ["1"]
        new.write_bytes(whole)
        await until(lambda: versions(engine) == ["2"])
        assert not any(status.reason for status in engine.index())


async def test_a_link_that_is_turned_as_kubernetes_does_it(tmp_path: Path) -> None:
    root = tmp_path / "mounted"
    doubler(root / "..2026_01" / "m" / "1" / "model.onnx")
    (root / "..data").symlink_to("..2026_01")
    (root / "m").symlink_to("..data/m")
    async with watched(root) as engine:
        scaler(root / "..2026_02" / "m" / "2" / "model.onnx", 3)
        (root / "..data_tmp").symlink_to("..2026_02")
        (root / "..data_tmp").rename(root / "..data")
        shutil.rmtree(root / "..2026_01")
        await until(lambda: versions(engine) == ["2"])


async def test_the_root_itself_may_be_a_link_that_is_turned_twice(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        doubler(tmp_path / f"release{number}" / "m" / str(number) / "model.onnx")
    current = tmp_path / "current"
    current.symlink_to("release1")
    async with watched(current) as engine:
        for number in (2, 3):
            (tmp_path / "next").symlink_to(f"release{number}")
            (tmp_path / "next").rename(current)
            await until(lambda: versions(engine) == [str(number)])  # noqa: B023
        doubler(tmp_path / "release3" / "m" / "4" / "model.onnx")
        await until(lambda: versions(engine) == ["4"])


async def test_a_lone_file_that_is_replaced(tmp_path: Path) -> None:
    path = doubler(tmp_path / "m.onnx")
    async with watched(path) as engine:
        before = engine.deployment("m", None)
        os.replace(scaler(tmp_path / "new", 3), path)
        await until(lambda: engine.deployment("m", None) is not before)


async def test_a_path_that_goes_away_as_a_whole_takes_nothing_down(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with watched(root) as engine:
        away = root.rename(root.parent / "away")  # noqa: ASYNC240
        await until(lambda: "nothing is changed" in caplog.text)
        assert versions(engine) == ["1"]
        scaler(away / "m" / "2" / "model.onnx", 3)
        away.rename(root)
        await until(lambda: versions(engine) == ["2"])


# --- what is compared


@pytest.mark.parametrize("replaced", [False, True])
@pytest.mark.parametrize("before", [False, True])
def test_a_path_that_goes_away_while_it_is_looked_at_has_not_lost_its_models(
    root: Path, monkeypatch: pytest.MonkeyPatch, replaced: bool, before: bool
) -> None:
    """A release that is swapped in at that very moment must not let all models go."""

    def places_then(paths: Iterable[Path]) -> dict[str, Path]:
        found = {} if before else places(paths)
        root.rename(root.parent / "away")
        if replaced:
            root.mkdir()
        return found or places([root.parent / "away"])

    monkeypatch.setattr("serving.watch.places", places_then)

    with pytest.raises(OSError, match="root"):
        stamps([root])


def test_a_stamp_tells_files_apart_that_look_alike(root: Path) -> None:
    before = stamps([root])
    assert stamps([root]) == before
    file = root / "m" / "1" / "model.onnx"
    about = file.stat()
    shutil.copy2(file, root / "copy")
    (root / "copy").rename(file)
    assert file.stat().st_mtime_ns == about.st_mtime_ns
    assert stamps([root]) != before


def test_a_link_that_leads_back_is_followed_once(root: Path) -> None:
    (root / "m" / "loop").symlink_to(".")
    assert stamps([root]).keys() == {"m"}


def test_links_are_watched_where_they_lie(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "link").symlink_to("../real")
    tree, around = spots([tmp_path / "a" / "link"])
    assert tree.folders == (str(tmp_path / "real"),)
    assert str(tmp_path / "a") in around.folders
    assert str(tmp_path / "a" / "link") in around.only


def test_a_missing_package_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    with pytest.raises(CannotWatch, match=r"pip install 'jitney\[watch\]'"):
        look_for_watchfiles()
