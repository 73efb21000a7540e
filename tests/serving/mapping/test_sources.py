"""Each kind of file, whole, from the middle, and with rows that cannot be read."""

import pytest

from serving.mapping import CannotMap, csv_rows, jsonl_rows
from serving.mapping.sources import Source
from tests.serving.mapping.tables import KINDS, write

ROWS = [{"id": i, "text": f'say "{i}",\nthen go', "value": i / 4} for i in range(300)]


def collected(source, start=0):
    table, rows, rejected = [], [], []
    at = start
    for block in source.blocks(source.schema, start):
        assert block.first == at
        table += block.table.to_pylist()
        rows += block.rows.tolist()
        rejected += block.rejected
        at = block.end
    return table, rows, rejected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("start", [0, 1, 38, 299])
def test_the_rows_from_any_on(tmp_path, kind, start):
    source = Source(write(tmp_path / f"t.{kind}", ROWS))

    table, rows, rejected = collected(source, start)

    assert table == ROWS[start:]
    assert rows == list(range(start, 300))
    assert rejected == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("start", [0, 120, 250])
def test_a_folder_is_one_table_in_the_order_of_names(tmp_path, kind, start):
    write(tmp_path / f"b.{kind}", ROWS[100:])
    write(tmp_path / f"a.{kind}", ROWS[:100])
    (tmp_path / "_SUCCESS").touch()

    table, rows, _ = collected(Source(tmp_path), start)

    assert table == ROWS[start:]
    assert rows == list(range(start, 300))


@pytest.mark.parametrize("block", [64, 1000])
def test_csv_rows_that_do_not_fit_are_set_aside_with_their_numbers(tmp_path, monkeypatch, block):
    path = tmp_path / "t.csv"
    lines = [f"{i},{i}.5" for i in range(200)]
    lines[7], lines[8], lines[150], lines[199] = "7", "8,1,2", "150.5,150", "199"
    path.write_text("id,value\n" + "\n".join(lines) + "\n")
    monkeypatch.setattr(
        csv_rows, "_READ", csv_rows.pa_csv.ReadOptions(block_size=block, use_threads=False)
    )

    table, rows, rejected = collected(Source(path))

    bad = [7, 8, 150, 199]
    assert rows == [i for i in range(200) if i not in bad]
    assert [row["id"] for row in table] == rows
    assert [(one.row, one.values) for one in sorted(rejected)] == [
        (7, "7"),
        (8, "8,1,2"),
        (150, {"id": "150.5", "value": "150"}),
        (199, "199"),
    ]
    assert rejected[0].reason == "it has 1 values, and there are 2 columns"
    assert sorted(rejected)[2].reason == "column 'id': '150.5' is not int64"


@pytest.mark.parametrize("block", [64, 2**20])
def test_json_lines_that_are_none_are_set_aside(tmp_path, monkeypatch, block):
    path = tmp_path / "t.jsonl"
    lines = [f'{{"id": {i}, "value": {i}.5}}' for i in range(100)]
    lines[5], lines[6], lines[60] = '{"id": 5, ', "[6]", '{"id": 60, "value": "much"}'
    lines.insert(50, "   ")
    path.write_text("\n".join(lines))
    monkeypatch.setattr(jsonl_rows, "BLOCK_BYTES", block)

    table, rows, rejected = collected(Source(path))

    assert rows == [i for i in range(100) if i not in (5, 6, 60)]
    assert [row["id"] for row in table] == rows
    assert [(one.row, one.values) for one in rejected] == [
        (5, '{"id": 5, '),
        (6, "[6]"),
        (60, {"id": 60, "value": "much"}),
    ]
    assert rejected[1].reason == "it is [6], and no JSON object"
    assert rejected[2].reason == "column 'value': 'much' is not double"


def test_what_cannot_be_read_is_said_in_a_sentence(tmp_path):
    (tmp_path / "t.xlsx").touch()
    (tmp_path / "t.parquet").write_text("no")
    (tmp_path / "empty").mkdir()
    (tmp_path / "t.csv").write_text("a,a\n1,2\n")

    for name, says in [
        ("t.xlsx", "should end in .parquet"),
        ("t.parquet", "cannot be read"),
        ("empty", "holds no files"),
        ("nothing.csv", "does not exist"),
        ("t.csv", "two columns 'a'"),
    ]:
        with pytest.raises(CannotMap, match=says):
            Source(tmp_path / name)


def test_files_of_a_folder_are_of_one_kind_and_alike(tmp_path):
    write(tmp_path / "a.parquet", ROWS)
    write(tmp_path / "b.parquet", [{"other": 1}])

    with pytest.raises(CannotMap, match=r"b.parquet has not the columns of the first file"):
        collected(Source(tmp_path))

    write(tmp_path / "c.csv", ROWS)
    with pytest.raises(CannotMap, match="several kinds: csv, parquet"):
        Source(tmp_path)
