"""A model is reloaded and changed over the repository API while many callers use it."""

import asyncio
import re
import struct
import time
from collections import Counter
from pathlib import Path

import aiohttp
import numpy as np
from onnx import TensorProto

from tests.support import onnx_models
from tests.support.server import Server, serving

CALLERS = 64
RELOADS = 20
CHANGES = 5
WIDTH = 1024

LEAK_MIB = 48
"""Each load holds 4 MiB of weights, and 25 of them more than twice so much."""


def multiplier(folder: Path, version: int) -> None:
    """y = version * x, with 4 MiB of weights: an answer tells which version gave it."""
    written = onnx_models.write(
        folder / "new.onnx",
        [("MatMul", ["x", "w"], ["y"])],
        [("x", TensorProto.FLOAT, ["batch", WIDTH])],
        [("y", TensorProto.FLOAT, ["batch", WIDTH])],
        {"w": np.eye(WIDTH, dtype=np.float32) * version},
    )
    # Whole at once, as whoever deploys does it.
    (folder / "many" / str(version)).mkdir(parents=True)
    written.rename(folder / "many" / str(version) / "model.onnx")


def resident_mib(server: Server) -> float:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found
    return int(found[1]) / 1024


class Callers:
    """They ask without a pause, and check every answer."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session, self.url = session, url
        self.versions: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.going = True

    async def ask(self, value: float) -> None:
        x = np.full((1, WIDTH), value, np.float32)
        text = (
            b'{"inputs":[{"name":"x","shape":[1,%d],"datatype":"FP32","parameters":'
            b'{"binary_data_size":%d}}],"parameters":{"binary_data_output":true}}'
            % (WIDTH, x.nbytes)
        )
        headers = {"Inference-Header-Content-Length": str(len(text))}
        async with self.session.post(self.url, data=text + x.tobytes(), headers=headers) as reply:
            body = await reply.read()
        if reply.status != 200:
            self.wrong.append(f"{reply.status}: {body[:200]!r}")
            return
        told = re.search(rb'"model_version":"(\d+)"', body)
        assert told
        version = told[1].decode()
        (y,) = struct.unpack("<f", body[-4:])
        if len(body) < x.nbytes or y != value * int(version):
            self.wrong.append(f"version {version} gave {y} for {value}")
        self.versions[version] += 1

    async def go_on(self, value: float) -> None:
        while self.going:
            await self.ask(value)


async def test_no_answer_is_lost_or_wrong_while_a_model_is_reloaded_and_changed(tmp_path):
    """Lesson 21."""
    multiplier(tmp_path, 1)
    (tmp_path / "many" / "model.toml").write_text('versions = "latest"\n')
    with serving(tmp_path / "many", "--admin", "--profile-budget", "0.1") as server:
        load = f"{server.url}/v2/repository/models/many/load"
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            callers = Callers(session, f"{server.url}/v2/models/many/infer")
            async with asyncio.TaskGroup() as group:
                for number in range(CALLERS):
                    group.create_task(callers.go_on(number + 1))
                async with session.post(load) as reply:  # what a first reload leaves for good
                    assert reply.status == 200
                while callers.versions["1"] < 1000:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                before = resident_mib(server)
                for number in range(RELOADS + CHANGES):
                    if number % (RELOADS // CHANGES + 1) == 0:
                        newest = 2 + number // (RELOADS // CHANGES + 1)
                        await asyncio.to_thread(multiplier, tmp_path, newest)
                    async with session.post(load) as reply:
                        assert reply.status == 200, await reply.text()
                    # The load has answered: from now on the new one does, and nothing else.
                    until = callers.versions[str(newest)] + CALLERS
                    while callers.versions[str(newest)] < until and not callers.wrong:  # noqa: ASYNC110
                        await asyncio.sleep(0.005)
                callers.going = False

            assert callers.wrong == []
            assert set(callers.versions) == {str(n) for n in range(1, CHANGES + 2)}
            async with session.get(f"{server.url}/v2/models/many") as reply:
                assert (await reply.json())["versions"] == [str(CHANGES + 1)]
            give_up = time.monotonic() + 15
            while resident_mib(server) > before + LEAK_MIB:
                assert time.monotonic() < give_up, f"{before} MiB became {resident_mib(server)}"
                await asyncio.sleep(0.1)
