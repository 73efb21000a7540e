"""Whole runs, over real files and real models."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from onnx import TensorProto

from models import find_models, load
from serving.mapping import (
    CannotMap,
    Job,
    LocalEngine,
    TooManyRejected,
    blocks,
    run,
    writers,
)
from serving.mapping.parquet_footer import cut_footer
from tests.serving.mapping.tables import KINDS, read, rejected, write
from tests.support import onnx_models, text_models

ROWS = [{"id": i, "x": [i, i + 0.5, 0, -i], "label": f"no {i}"} for i in range(1000)]
FLAT = [{"id": r["id"], **dict(zip("abcd", r["x"], strict=True))} for r in ROWS]


def mapped(model: Path, table: Path, output: Path, **options) -> None:
    run(Job(model=str(model), input=table, output=output, **options), cores=2, budget_s=0.1)


@pytest.fixture
def doubler(tmp_path) -> Path:
    return onnx_models.doubler(tmp_path / "doubler.onnx")


@pytest.mark.parametrize("into", KINDS)
@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_lists_become_vectors_and_vectors_lists(tmp_path, doubler, kind, into):
    mapped(doubler, write(tmp_path / f"in.{kind}", ROWS), tmp_path / f"out.{into}", keep="id,label")

    out = read(tmp_path / f"out.{into}")

    assert [int(row["id"]) for row in out] == list(range(1000))
    assert [row["label"] for row in out] == [row["label"] for row in ROWS]
    for row, given in zip(out, ROWS, strict=True):
        y = [float(row[f"y_{i}"]) for i in range(4)] if into == "csv" else row["y"]
        assert y == [2 * value for value in given["x"]]
    assert not (tmp_path / f"out.{into}.parts").exists()
    assert not (tmp_path / f"out.{into}.rejected.jsonl").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_columns_become_a_vector(tmp_path, doubler, kind):
    table = write(tmp_path / f"in.{kind}", FLAT)

    mapped(doubler, table, tmp_path / "out.parquet", inputs=["x=d,a,b,c"], keep="")

    expected = [[2 * row[name] for name in "dabc"] for row in FLAT]
    assert [row["y"] for row in read(tmp_path / "out.parquet")] == expected


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_becomes_a_folder(tmp_path, doubler, kind):
    (tmp_path / "in").mkdir()
    write(tmp_path / "in" / f"1.{kind}", FLAT[:400])
    write(tmp_path / "in" / f"2.{kind}", FLAT[400:])

    mapped(doubler, tmp_path / "in", tmp_path / "out", inputs=["x=a,b,c,d"])

    out = read(tmp_path / "out")
    assert [int(row["id"]) for row in out] == list(range(1000))
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {f".{kind}"}


def test_texts_of_all_lengths_come_back_in_their_order(tmp_path):
    text_models.encoder(tmp_path / "m" / "1" / "model.onnx")
    text_models.tokenizer(tmp_path / "m" / "tokenizer.json")
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(text_models.WORDS, rng.integers(0, 40))) for _ in range(2500)]
    table = write(tmp_path / "in.jsonl", [{"n": i, "words": t} for i, t in enumerate(texts)])

    mapped(tmp_path / "m", table, tmp_path / "out.parquet", keep="n")

    out = read(tmp_path / "out.parquet")
    assert [row["n"] for row in out] == list(range(2500))
    (source,) = find_models([tmp_path / "m"])
    model = load(source, cores=1, budget_s=0.1)
    for place in (0, 7, 1023, 1024, 2499):
        alone = np.array([texts[place].encode()], object)
        expected = model.runtime.run(model.pipeline.before({"text": alone}).tensors)["embedding"]
        np.testing.assert_allclose(out[place]["embedding"], expected[0], atol=1e-5)
    model.runtime.close()


def test_a_users_pipeline_sees_one_row_at_a_time_and_refuses_its_own_rows(tmp_path):
    onnx_models.doubler(tmp_path / "m" / "1" / "model.onnx")
    (tmp_path / "m" / "model.toml").write_text(
        '[[inputs]]\nname = "word"\ndatatype = "BYTES"\nshape = [-1]\n'
        '[[outputs]]\nname = "said"\ndatatype = "BYTES"\nshape = [-1]\n'
    )
    (tmp_path / "m" / "pipeline.py").write_text(
        "import numpy as np\n"
        "def before(inputs):\n"
        "    (word,) = inputs['word']\n"
        "    if not word: raise ValueError('there is no word')\n"
        "    return {'x': np.full((1, 4), len(word), np.float32)}\n"
        "def after(outputs):\n"
        "    return {'said': np.array([f'{outputs[\"y\"][0, 0]:.0f}'], object)}\n"
    )
    rows = [{"word": "é" * (i % 5)} for i in range(50)]

    mapped(tmp_path / "m", write(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl")

    assert read(tmp_path / "out.jsonl") == [
        {"word": row["word"], "said": str(4 * len(row["word"]))} for row in rows if row["word"]
    ]
    assert rejected(tmp_path / "out.jsonl")[0] == {
        "row": 0,
        "reason": "there is no word",
        "input": {"word": ""},
    }


def test_rows_of_any_length_that_nothing_may_pad_run_with_their_like(tmp_path):
    model = onnx_models.identity(tmp_path / "m.onnx", TensorProto.INT64, ["batch", None])
    rows = [{"x": list(range(i % 7))} for i in range(100)]

    mapped(model, write(tmp_path / "in.parquet", rows), tmp_path / "out.parquet", keep="")

    assert [row["y"] for row in read(tmp_path / "out.parquet")] == [row["x"] for row in rows]


def test_one_bad_row_in_a_batch_is_set_aside_alone(tmp_path):
    """Lesson 3."""
    model = onnx_models.gatherer(tmp_path / "m.onnx")
    rows = [{"index": i % 8} for i in range(500)]
    rows[17], rows[18], rows[400] = {"index": 99}, {"index": None}, {"index": 8}

    mapped(model, write(tmp_path / "in.parquet", rows), tmp_path / "out.parquet", keep="")

    good = [row["index"] for i, row in enumerate(rows) if i not in (17, 18, 400)]
    assert [row["y"] for row in read(tmp_path / "out.parquet")] == [[i] for i in good]
    bad = rejected(tmp_path / "out.parquet")
    assert [row["row"] for row in bad] == [17, 18, 400]
    assert bad[0]["input"] == {"index": 99}
    assert bad[0]["reason"].startswith("the model failed on it:")
    assert bad[1]["reason"] == "column 'index' has no value"


def test_too_many_bad_rows_end_it_and_what_is_done_is_kept(tmp_path, doubler):
    rows = [*ROWS[:300], {**ROWS[0], "x": [1.0]}, *ROWS[:300], {**ROWS[0], "x": None}]
    table, output = write(tmp_path / "in.jsonl", rows), tmp_path / "out.parquet"

    with pytest.raises(TooManyRejected, match=r"2 rows .* 1 are allowed; the first: row 300: "):
        mapped(doubler, table, output, max_rejected=1)
    assert not output.exists()

    mapped(doubler, table, output, max_rejected=2)
    assert len(read(output)) == 600
    assert [row["row"] for row in rejected(output)] == [300, 601]


def test_top_gives_the_best_places_and_their_scores(tmp_path, doubler):
    mapped(doubler, write(tmp_path / "in.parquet", ROWS), tmp_path / "o.parquet", keep="", top=2)
    mapped(doubler, tmp_path / "in.parquet", tmp_path / "1.csv", keep="", top=1)

    assert read(tmp_path / "o.parquet")[3] == {"y": [1, 0], "y_score": [7.0, 6.0]}
    assert read(tmp_path / "1.csv")[3] == {"y": "1", "y_score": "7"}


def test_an_empty_table_gives_an_empty_one(tmp_path, doubler):
    table = pa.table({"x": pa.array([], pa.list_(pa.float32()))})
    pq.write_table(table, tmp_path / "in.parquet")

    mapped(doubler, tmp_path / "in.parquet", tmp_path / "out.parquet")

    assert pq.read_table(tmp_path / "out.parquet").schema.names == ["x", "y"]


# --- going on


class Breaks(LocalEngine):
    """Fails after some blocks, as a run that is killed."""

    blocks = 0

    def map(self, blocks):
        for number, one in enumerate(super().map(blocks)):
            if number == self.blocks:
                raise KeyboardInterrupt
            yield one


def breaks(mapper, plan, cores):
    engine = Breaks(mapper, slots=1, cores=1)
    engine.blocks = 3
    return engine


def test_it_goes_on_where_it_was_and_mixes_with_no_other(tmp_path, doubler, monkeypatch):
    monkeypatch.setattr("serving.mapping.plan.CHUNK_ROWS", 64)
    table, output = write(tmp_path / "in.parquet", ROWS * 5), tmp_path / "out.parquet"
    job = Job(model=str(doubler), input=table, output=output)

    with pytest.raises(KeyboardInterrupt):
        run(job, cores=1, budget_s=0.1, engine_of=breaks)

    with pytest.raises(CannotMap, match="does not mix with this one: what is kept differs"):
        mapped(doubler, table, output, keep="id")
    other = onnx_models.scaler(tmp_path / "other" / "doubler.onnx", 3.0)
    with pytest.raises(CannotMap, match="the model differs"):
        mapped(other, table, output)

    said: list[str] = []
    outcome = run(job, cores=1, budget_s=0.1, say=said.append)

    assert "going on behind the" in said[1]
    assert re.fullmatch(r"batches of up to \d+ rows, each on a core", said[2])
    assert 0 < outcome.here < 5000
    assert [row["id"] for row in read(output)] == [row["id"] for row in ROWS * 5]


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
@pytest.mark.parametrize("step", ["before", "after"])
def test_killed_at_the_very_end_the_output_is_what_it_would_have_been(
    tmp_path, doubler, monkeypatch, kind, step
):
    """Before the file of rows becomes the output, when it has its end already; and after that."""
    monkeypatch.setattr("serving.mapping.parts.FIRST_S", 0.0)
    monkeypatch.setattr("serving.mapping.parts.SHARE", 0.0)
    monkeypatch.setattr("serving.mapping.plan.CHUNK_ROWS", 64)
    table = write(tmp_path / "in.parquet", ROWS)
    wanted, output = tmp_path / f"wanted.{kind}", tmp_path / f"out.{kind}"
    mapped(doubler, table, wanted)
    replace = Path.replace

    def killed(self, target):
        if target == output:
            if step == "after":
                replace(self, target)
            raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            mapped(doubler, table, output)
    assert output.with_name(f"{output.name}.parts").exists()

    again = run(Job(model=str(doubler), input=table, output=output), cores=1, budget_s=0.1)

    assert (again.here, again.rows) == (0, 1000)
    assert read(output) == read(wanted)
    assert sorted(path.name for path in tmp_path.glob("out*")) == [
        output.name,
        f"{output.name}.map.json",
    ]


def test_rows_of_another_pyarrow_are_not_gone_on_with(tmp_path, doubler, monkeypatch):
    monkeypatch.setattr("serving.mapping.plan.CHUNK_ROWS", 64)
    table, output = write(tmp_path / "in.parquet", ROWS * 5), tmp_path / "out.parquet"
    job = Job(model=str(doubler), input=table, output=output)
    with pytest.raises(KeyboardInterrupt):
        run(job, cores=1, budget_s=0.1, engine_of=breaks)
    pq.write_table(pa.table({"other": [1]}), tmp_path / "other.parquet")
    (output.with_name("out.parquet.parts") / "part-00000.footer").write_bytes(
        cut_footer(tmp_path / "other.parquet")
    )

    with pytest.raises(CannotMap, match="what another version of pyarrow has written to"):
        run(job, cores=1, budget_s=0.1)


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_a_block_that_could_not_be_written_whole_does_not_count(
    tmp_path, doubler, monkeypatch, kind
):
    monkeypatch.setattr("serving.mapping.plan.CHUNK_ROWS", 64)
    monkeypatch.setattr("serving.mapping.writers.GROUP_ROWS", 10)
    table, output = write(tmp_path / "in.parquet", ROWS), tmp_path / f"out.{kind}"
    written = 0

    class Full(writers.WRITERS[kind]):
        def write(self, table):
            nonlocal written
            written += 1
            if written == 4:
                super().write(table.slice(0, 10))
                raise OSError(28, "No space left on device")
            super().write(table)

    with monkeypatch.context() as patch:
        patch.setattr("serving.mapping.parts.FIRST_S", 0.0)
        patch.setattr("serving.mapping.parts.SHARE", 0.0)
        patch.setitem(writers.WRITERS, kind, Full)
        with pytest.raises(OSError, match="No space left"):
            mapped(doubler, table, output)

    again = run(Job(model=str(doubler), input=table, output=output), cores=1, budget_s=0.1)

    assert 0 < again.here < 1000
    assert [int(row["id"]) for row in read(output)] == list(range(1000))


def test_what_is_complete_is_not_done_again_and_nothing_is_overwritten(tmp_path, doubler):
    table, output = write(tmp_path / "in.parquet", ROWS), tmp_path / "out.parquet"
    mapped(doubler, table, output)

    again = run(Job(model=str(doubler), input=table, output=output), cores=1, budget_s=0.1)
    assert (again.here, again.rows) == (0, 1000)

    with pytest.raises(CannotMap, match="is there already"):
        mapped(doubler, table, output, keep="id")
    mapped(doubler, table, output, keep="id", overwrite=True)
    assert read(output)[1].keys() == {"id", "y"}


def test_no_more_blocks_are_in_memory_than_there_is_room_for(tmp_path, doubler, monkeypatch):
    monkeypatch.setattr("serving.mapping.plan.CHUNK_ROWS", 8)
    read_blocks, written, most = 0, 0, 0
    rechunked = blocks.rechunked

    def counted(*arguments):
        nonlocal read_blocks, most
        for block in rechunked(*arguments):
            read_blocks += 1
            most = max(most, read_blocks - written)
            yield block

    class Counts(LocalEngine):
        def map(self, blocks):
            nonlocal written
            for one in super().map(blocks):
                yield one
                written += 1

    monkeypatch.setattr("serving.mapping.job.rechunked", counted)
    table = write(tmp_path / "in.parquet", ROWS)
    job = Job(model=str(doubler), input=table, output=tmp_path / "out.parquet")
    run(job, cores=1, budget_s=0.1, engine_of=lambda m, p, c: Counts(m, slots=2, cores=1))

    # Room for 2 * slots + 2, and the one that waits for room.
    assert most <= 2 * 2 + 2 + 1


# --- mistakes


def test_mistakes_are_told_in_a_sentence(tmp_path, doubler):
    table = write(tmp_path / "in.parquet", [{"id": 1, "text": "a", "vector": [1.0, 2.0]}])
    for options, says in [
        ({"inputs": ["x=pixels"]}, r"no column 'pixels'. The columns are id \(int64\), text"),
        ({"inputs": ["x=text"]}, "'text' cannot fill the input x: float32.*: string is there"),
        ({"inputs": ["z=id"]}, "no input 'z'; it has 'x'"),
        ({"inputs": ["x=id"]}, "a row needs 4 values, and 1 column would"),
        ({"keep": "text,ids"}, "no column 'ids'. Did you mean 'id'"),
        ({"named": ["z=a"]}, "no output 'z'; it has y"),
    ]:
        with pytest.raises(CannotMap, match=says):
            mapped(doubler, table, tmp_path / "out.parquet", **options)
    with pytest.raises(CannotMap, match="should end in"):
        mapped(doubler, table, tmp_path / "out.xlsx")
    assert not (tmp_path / "out.parquet.parts").exists()
    with pytest.raises(CannotMap, match="'y' is a column that is kept"):
        mapped(doubler, write(tmp_path / "y.jsonl", [{"x": [1, 2, 3, 4], "y": 1}]), tmp_path / "o")


def test_where_no_row_can_be_used_it_ends_at_once(tmp_path, doubler):
    table = write(tmp_path / "in.jsonl", [{"x": [1.0]} for _ in range(200)])

    with pytest.raises(CannotMap, match=r"none of the first \d+ rows .* has 1 values, not 4"):
        mapped(doubler, table, tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl.parts").exists()
