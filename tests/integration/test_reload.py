"""A model is changed again and again while 64 callers use it, in a real server process."""

import asyncio
import re
import shutil
from pathlib import Path

import aiohttp
import numpy as np

from tests.support import onnx_models
from tests.support.server import START_S, Server, serving

CALLERS = 64
RELOADS = 20
VERSIONS = 5
WEIGHTS = 8
"""MiB of each version."""


def version(root: Path, number: int) -> None:
    """A version of m that multiplies by its number, and appears all at once."""
    made = root.parent / "made" / str(number)
    onnx_models.scaler(made / "model.onnx", factor=number, weights_mib=WEIGHTS)
    (root / "m").mkdir(parents=True, exist_ok=True)
    made.rename(root / "m" / str(number))


def resident_mib(server: Server) -> float:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1024  # type: ignore[index]


async def change(session: aiohttp.ClientSession, server: Server, what: str) -> None:
    async with session.post(f"{server.url}/v2/repository/models/m/{what}") as reply:
        assert reply.status == 200, await reply.text()


async def test_64_callers_notice_nothing_of_20_reloads_and_5_new_versions(tmp_path: Path) -> None:
    """Lesson 21, and its other side: nobody fails, nobody gets a wrong answer, nothing stays."""
    root = tmp_path / "repository"
    version(root, 1)
    answered = dict.fromkeys(range(1, VERSIONS + 2), 0)
    done = asyncio.Event()
    environment = {"JITNEY_ADMIN": "1", "JITNEY_PROFILE_BUDGET": "0.2"}
    with serving(root, **environment) as server:
        connections = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connections) as session:

            async def caller(seed: int) -> None:
                row = np.random.default_rng(seed).integers(1, 1000, 4).astype(np.float32)
                tensor = {"name": "x", "shape": [1, 4], "datatype": "FP32", "data": row.tolist()}
                while not done.is_set():
                    url = f"{server.url}/v2/models/m/infer"
                    async with session.post(url, json={"inputs": [tensor]}) as reply:
                        answer = await reply.json()
                        assert reply.status == 200, answer
                    number = int(answer["model_version"])
                    assert answer["outputs"][0]["data"] == (row * number).tolist()
                    answered[number] += 1

            calling = [asyncio.create_task(caller(seed)) for seed in range(CALLERS)]
            try:
                for _ in range(3):  # what a first change costs for good is not what grows
                    await change(session, server, "load")
                await asyncio.sleep(0.5)
                before = resident_mib(server)
                for _ in range(RELOADS):
                    await change(session, server, "load")
                for number in range(2, VERSIONS + 2):
                    version(root, number)
                    await change(session, server, "load")
                    async with asyncio.timeout(START_S):
                        while not answered[number]:  # noqa: ASYNC110 - callers count them
                            await asyncio.sleep(0.01)
                    shutil.rmtree(root / "m" / str(number - 1))
            finally:
                done.set()
                await asyncio.gather(*calling)
        # What stayed of each of 25 would be 200 MiB.
        async with asyncio.timeout(START_S):
            while resident_mib(server) > before + WEIGHTS:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.1)

    assert all(answered.values()), answered
