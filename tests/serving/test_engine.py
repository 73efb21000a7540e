"""Models come, change and go while others, and they themselves, go on answering."""

import asyncio
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import serving.engine
from batching import Draining
from models import BadModel, Model, ModelNotFound, ModelNotReady, ModelSource
from serving.engine import Engine, ModelStatus
from serving.errors import AdminOff, message_of, reply_to
from tests.support.asgi import WAIT_S, loaded
from tests.support.held_model import held
from tests.support.onnx_models import doubler, identity

FLOAT = 1
"""TensorProto.FLOAT."""


def same(path: Path) -> Path:
    """y = x, of the shape that `doubler` has: who answers can be told by the answer."""
    return identity(path, FLOAT, ["batch", 4])


def toml(root: Path, text: str) -> None:
    (root / "m" / "model.toml").write_text(text)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with version 1 of m, which doubles."""
    doubler(tmp_path / "m" / "1" / "model.onnx")
    return tmp_path


async def ask(engine: Engine, version: str | None = None, name: str = "m") -> float:
    """What one row of ones becomes, in its first element."""
    answer = await engine.deployment(name, version).infer(
        {"x": np.ones((1, 4), np.float32)}, arrived=time.monotonic(), timeout_s=None, priority=0
    )
    return float(answer.outputs["y"][0, 0])


def known(engine: Engine) -> list[tuple[str, str | None, str, str]]:
    return [(s.name, s.version, s.state, s.reason) for s in engine.index()]


async def freed(engine: Engine) -> None:
    """Return when what was let go is gone, and the book says so."""
    async with asyncio.timeout(WAIT_S):
        while engine._retiring._ends:  # noqa: ASYNC110 - it is nobody's business but a test's
            await asyncio.sleep(0.001)
        await asyncio.sleep(0)  # the book is told by a callback, in the turn after


# --- versions


async def test_all_versions_answer_each_by_its_number_and_the_highest_by_none(root: Path) -> None:
    same(root / "m" / "10" / "model.onnx")
    doubler(root / "m" / "9" / "model.onnx")
    toml(root, 'versions = "all"')

    async with loaded(root) as engine:
        assert engine.models() == ["m"]
        assert engine.versions("m") == ["1", "9", "10"]
        assert [await ask(engine, version) for version in ("1", "9", "10", None)] == [2, 2, 1, 1]
        assert engine.model("m", None).source.version == "10"
        assert engine.index() == [
            ModelStatus("m", version, "READY", "") for version in ("1", "9", "10")
        ]
        for version in ("2", "01"):
            with pytest.raises(ModelNotFound):
                engine.deployment("m", version)


async def test_one_look_finds_the_deployment(root: Path) -> None:
    async with loaded(root) as engine:
        assert engine.deployment("m", None) is engine.deployments["m"]
        assert engine.deployment("m", "1") is engine.deployments["m"]


# --- load and reload


async def test_a_new_version_takes_over_and_the_old_one_is_gone(root: Path) -> None:
    async with loaded(root, admin=True) as engine:
        same(root / "m" / "2" / "model.onnx")

        await engine.load_model("m")

        assert await ask(engine) == await ask(engine, "2") == 1
        with pytest.raises(ModelNotFound):
            engine.deployment("m", "1")
        assert engine.versions("m") == ["2"]
        await freed(engine)


async def test_all_that_is_in_the_folder_is_read_again(root: Path) -> None:
    async with loaded(root, admin=True) as engine:
        same(root / "m" / "2" / "model.onnx")
        toml(root, 'versions = "all"\ndescription = "new"')
        await engine.load_model("m")
        assert engine.versions("m") == ["1", "2"]
        assert engine.model("m").source.config.description == "new"

        shutil.rmtree(root / "m" / "2")
        await engine.load_model("m")
        assert engine.versions("m") == ["1"]
        assert await ask(engine) == 2


async def test_a_file_that_has_not_changed_is_loaded_anew_all_the_same(root: Path) -> None:
    async with loaded(root, admin=True) as engine:
        before = engine.deployment("m", None)
        await engine.load_model("m")
        assert engine.deployment("m", None) is not before


async def test_a_model_that_was_added_can_be_loaded(root: Path) -> None:
    async with loaded(root, admin=True) as engine:
        doubler(root / "n" / "1" / "model.onnx")

        await engine.load_model("n")

        assert await ask(engine, name="n") == 2
        assert engine.models() == ["m", "n"]


async def test_a_failed_reload_leaves_the_old_version_serving_and_says_why(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Lesson 21."""
    async with loaded(root, admin=True) as engine:
        new = root / "m" / "2" / "model.onnx"
        new.parent.mkdir()
        new.write_bytes(b"half a file")

        with pytest.raises(BadModel) as refused:
            await engine.load_model("m")

        assert await ask(engine) == 2
        assert engine.why_not_ready() is None
        reason = "it cannot be loaded; the server's log says why"
        assert known(engine) == [("m", "1", "READY", reason), ("m", "2", "UNAVAILABLE", reason)]
        # The network hears a sentence, and the log which file it is.
        assert str(root) not in message_of(refused.value)
        assert "The one before it goes on answering." in message_of(refused.value)
        assert reply_to(refused.value).status == 400
        assert str(new) in caplog.text

        same(new)
        await engine.load_model("m")
        assert await ask(engine) == 1
        assert known(engine) == [("m", "2", "READY", "")]


@pytest.mark.parametrize("wrong", ["versions = [1, 7]", "slo = 5", "no toml"])
async def test_settings_that_are_wrong_leave_the_old_ones(root: Path, wrong: str) -> None:
    """Lesson 21."""
    async with loaded(root, admin=True) as engine:
        before = engine.deployment("m", None)
        toml(root, wrong)
        with pytest.raises(BadModel, match=r"^model 'm' cannot be loaded; the server's log says"):
            await engine.load_model("m")
        assert engine.deployment("m", None) is before
        assert await ask(engine) == 2


async def test_of_several_versions_all_are_changed_or_none(root: Path) -> None:
    toml(root, 'versions = "all"')
    async with loaded(root, admin=True) as engine:
        before = engine.deployment("m", "1")
        same(root / "m" / "1" / "model.onnx")
        (root / "m" / "2").mkdir()
        (root / "m" / "2" / "model.onnx").write_bytes(b"")
        with pytest.raises(BadModel):
            await engine.load_model("m")
        assert engine.deployment("m", "1") is before
        assert await ask(engine) == 2


async def test_a_model_whose_files_are_gone_goes_on_and_says_so(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with loaded(root, admin=True) as engine:
        shutil.rmtree(root / "m")
        with pytest.raises(BadModel):
            await engine.load_model("m")
        assert await ask(engine) == 2
        assert "the files of model 'm' are gone" in caplog.text


@pytest.mark.parametrize("name", ["none", "../m", "m/1", "", "..", "/etc/passwd"])
async def test_a_name_that_is_not_there_is_not_found(root: Path, name: str) -> None:
    """Lesson 28."""
    async with loaded(root, admin=True) as engine:
        for change in (engine.load_model, engine.unload_model):
            with pytest.raises(ModelNotFound) as refused:
                await change(name)
            assert str(root) not in message_of(refused.value)
        assert engine.models() == ["m"]


async def test_nothing_is_changed_over_the_network_unless_that_is_switched_on(root: Path) -> None:
    """Lesson 28."""
    async with loaded(root) as engine:
        for change in (engine.load_model, engine.unload_model):
            with pytest.raises(AdminOff) as refused:
                await change("m")
            assert reply_to(refused.value).status == 403
            assert "--admin" in message_of(refused.value)
        assert await ask(engine) == 2


class HeldLoads:
    """Loads wait until the test lets them go on, one by one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = 0
        self._free = threading.Semaphore(0)
        self._load = serving.engine.load
        monkeypatch.setattr(serving.engine, "load", self._held)

    def _held(self, source: ModelSource, **how: object) -> Model:
        self.begun += 1
        assert self._free.acquire(timeout=WAIT_S)
        return self._load(source, **how)  # type: ignore[arg-type]

    def let_go(self) -> None:
        self._free.release()

    async def reach(self, begun: int) -> None:
        async with asyncio.timeout(WAIT_S):
            while self.begun < begun:  # noqa: ASYNC110 - another thread counts
                await asyncio.sleep(0.001)


async def test_two_loads_of_one_model_come_one_after_the_other(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with loaded(root, admin=True) as engine:
        loads = HeldLoads(monkeypatch)
        first = asyncio.create_task(engine.load_model("m"))
        await loads.reach(1)
        second = asyncio.create_task(engine.load_model("m"))
        same(root / "m" / "2" / "model.onnx")  # the first has looked already
        assert await ask(engine) == 2
        loads.let_go()
        await first
        assert engine.versions("m") == ["1"]
        await loads.reach(2)
        loads.let_go()
        await second
        assert engine.versions("m") == ["2"]


async def test_who_asked_for_a_load_may_leave_before_its_end(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with loaded(root, admin=True) as engine:
        loads = HeldLoads(monkeypatch)
        before = engine.deployment("m", None)
        asked = asyncio.create_task(engine.load_model("m"))
        await loads.reach(1)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        loads.let_go()
        async with asyncio.timeout(WAIT_S):
            while engine.deployments["m"] is before:  # noqa: ASYNC110
                await asyncio.sleep(0.001)


async def test_a_load_in_progress_does_not_hold_the_stop_up(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with loaded(root, admin=True) as engine:
        loads = HeldLoads(monkeypatch)
        asked = asyncio.create_task(engine.load_model("m"))
        await loads.reach(1)
        async with asyncio.timeout(WAIT_S):
            await engine.stop()
            await asyncio.gather(asked, return_exceptions=True)
        assert asked.cancelled()
        loads.let_go()


async def test_the_server_is_ready_while_a_model_is_loaded_anew_or_added(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with loaded(root, admin=True) as engine:
        loads = HeldLoads(monkeypatch)
        doubler(root / "n" / "1" / "model.onnx")
        loading = [asyncio.create_task(engine.load_model(name)) for name in ("m", "n")]
        await loads.reach(2)
        assert engine.why_not_ready() is None
        assert engine.why_model_not_ready("m") is None
        assert engine.why_model_not_ready("n") == "loading"
        assert known(engine) == [("m", "1", "READY", ""), ("n", "1", "LOADING", "")]
        with pytest.raises(ModelNotReady, match="model 'n' is not ready: loading"):
            engine.deployment("n", None)
        for _ in loading:
            loads.let_go()
        await asyncio.gather(*loading)


# --- requests and changes at one time


async def test_what_waits_for_a_model_is_answered_though_it_is_let_go() -> None:
    async with held(admin=True) as (model, engine):
        deployment = engine.deployment("held", None)
        asking = [
            asyncio.create_task(
                deployment.infer(
                    {"x": np.full((1, 1), number, np.float32)},
                    arrived=time.monotonic(),
                    timeout_s=None,
                    priority=0,
                )
            )
            for number in range(3)
        ]
        await model.started()
        del deployment

        await engine.unload_model("held")

        with pytest.raises(ModelNotReady, match="unloading"):
            engine.deployment("held", None)
        assert engine.why_not_ready() is None
        model.let_go()
        answers = await asyncio.gather(*asking)
        assert [float(answer.outputs["y"][0, 0]) for answer in answers] == [0, 1, 2]
        del asking, answers
        await freed(engine)
        assert known(engine) == [("held", "1", "UNAVAILABLE", "unloaded")]
        with pytest.raises(ModelNotReady, match="unloaded"):
            engine.deployment("held", None)


async def test_who_found_the_old_one_is_answered_by_it_however_late(root: Path) -> None:
    """A request whose body is still being read has found its deployment already."""
    async with loaded(root, admin=True) as engine:
        found = engine.deployment("m", None)
        same(root / "m" / "2" / "model.onnx")
        await engine.load_model("m")
        await asyncio.sleep(0)

        answer = await found.infer(
            {"x": np.ones((1, 4), np.float32)}, arrived=time.monotonic(), timeout_s=5, priority=0
        )

        assert answer.outputs["y"][0, 0] == 2
        assert len(engine._retiring.batchers) == 1
        del found, answer
        await freed(engine)


async def test_a_model_comes_back_after_it_was_let_go(root: Path) -> None:
    async with loaded(root, admin=True) as engine:
        await engine.unload_model("m")
        assert engine.models() == ["m"]
        assert engine.versions("m") == []
        await engine.load_model("m")
        await freed(engine)
        assert await ask(engine) == 2
        assert known(engine) == [("m", "1", "READY", "")]


async def test_a_model_that_is_forgotten_is_not_found(root: Path) -> None:
    async with loaded(root) as engine:
        await engine.unload("m", forget=True)
        assert engine.models() == []
        with pytest.raises(ModelNotFound):
            engine.deployment("m", None)


# --- the end


async def test_a_model_says_that_the_server_is_stopping(root: Path) -> None:
    async with loaded(root, admin=True) as engine:
        engine.draining = True
        assert engine.why_not_ready() == "the server is stopping"
        assert engine.why_model_not_ready("m") == "the server is stopping"
        for change in (engine.load_model, engine.unload_model):
            with pytest.raises(Draining):
                await change("m")
        with pytest.raises(ModelNotFound):
            engine.why_model_not_ready("n")


async def test_it_stops_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lesson 19: stop admitting, answer, close the executors, free the sessions."""
    async with held() as (model, engine):
        deployment = engine.deployment("held", None)
        batcher, happened = deployment.batcher, list[str]()
        executor_close, runtime_close = batcher._executor.close, model.close

        def note(what: str, then: object) -> object:
            def noted() -> None:
                happened.append(what)
                then()  # type: ignore[operator]

            return noted

        monkeypatch.setattr(batcher._executor, "close", note("executor", executor_close))
        monkeypatch.setattr(model, "close", note("session", runtime_close))
        asked = deployment.infer(
            {"x": np.ones((1, 1), np.float32)}, arrived=time.monotonic(), timeout_s=None, priority=0
        )
        answering = asyncio.create_task(asked)
        answering.add_done_callback(lambda _: happened.append("answer"))
        await model.started()
        stopping = asyncio.create_task(engine.stop())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        with pytest.raises(Draining):
            await deployment.infer(
                {"x": np.ones((1, 1), np.float32)},
                arrived=time.monotonic(),
                timeout_s=None,
                priority=0,
            )
        assert happened == []
        model.let_go()
        assert await stopping is True
        await answering
        assert happened == ["answer", "executor", "session"]


async def test_it_says_if_time_was_up_before_all_were_answered() -> None:
    async with held() as (model, engine):
        answering = asyncio.create_task(
            engine.deployment("held", None).infer(
                {"x": np.ones((1, 1), np.float32)},
                arrived=time.monotonic(),
                timeout_s=None,
                priority=0,
            )
        )
        await model.started()
        stopping = asyncio.create_task(engine.stop(drain_s=0.0))
        with pytest.raises(Draining):
            await answering
        model.let_go()
        assert await stopping is False
