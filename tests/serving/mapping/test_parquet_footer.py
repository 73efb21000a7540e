"""Parquet files into one as they are: read by pyarrow, it holds what the parts did."""

import datetime
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.mapping import writers
from serving.mapping.parquet_footer import CannotJoin, join_files

DAY = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def table(first: int, rows: int) -> pa.Table:
    """Every kind of column that differs in how it is written."""
    at = range(first, first + rows)
    return pa.table(
        {
            "id": pa.array(at, pa.int64()),
            "word": pa.array([["one", "two", None][i % 3] for i in at], pa.string()),
            "few": pa.array([str(i % 4) for i in at], pa.dictionary(pa.int32(), pa.string())),
            "yes": pa.array([i % 2 == 0 for i in at], pa.bool_()),
            "when": pa.array(
                [DAY + datetime.timedelta(hours=i) for i in at], pa.timestamp("us", "UTC")
            ),
            "bytes": pa.array([bytes([i % 256]) * (i % 5) for i in at], pa.binary()),
            "vector": pa.FixedSizeListArray.from_arrays(
                pa.array(np.arange(4 * first, 4 * (first + rows), dtype=np.float32)), 4
            ),
            "lists": pa.array([[[i], [i, i]][: i % 3] for i in at], pa.list_(pa.list_(pa.int32()))),
            "struct": pa.array(
                [{"a": i, "b": None} for i in at], pa.struct({"a": pa.int16(), "b": pa.float64()})
            ),
        }
    )


def parts(folder: Path, sizes: list[int], **options: object) -> tuple[list[Path], pa.Table]:
    """Files of so many rows, and all of them in one table."""
    paths, tables, first = [], [], 0
    for number, rows in enumerate(sizes):
        tables.append(table(first, rows))
        paths.append(folder / f"{number}.parquet")
        pq.write_table(tables[-1], paths[-1], **options)
        first += rows
    return paths, pa.concat_tables(tables)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "zstd", "data_page_size": 64},
        {"use_dictionary": False, "write_statistics": False},
        {"write_page_index": True, "data_page_version": "2.0"},
    ],
)
@settings(max_examples=20, deadline=None)
@given(sizes=st.lists(st.integers(0, 60), min_size=1, max_size=5), group=st.integers(1, 40))
def test_the_whole_holds_the_rows_of_all_parts(tmp_path_factory, options, sizes, group):
    folder = tmp_path_factory.mktemp("parts")
    paths, wanted = parts(folder, sizes, row_group_size=group, **options)

    join_files(paths, folder / "whole.parquet")

    whole = pq.ParquetFile(folder / "whole.parquet")
    # As values: how a dictionary is cut may differ.
    assert whole.read().to_pylist() == wanted.to_pylist()
    assert whole.metadata.num_rows == wanted.num_rows
    assert whole.schema_arrow.equals(wanted.schema)
    ends = [0]
    for number in range(whole.num_row_groups):
        read = whole.read_row_group(number, columns=["id", "vector"])
        rows = wanted.slice(ends[-1], read.num_rows).select(["id", "vector"])
        assert read.equals(rows.combine_chunks())
        ends.append(ends[-1] + read.num_rows)
    assert ends[-1] == wanted.num_rows


def test_what_is_known_of_row_groups_stays_with_them(tmp_path):
    paths, _ = parts(tmp_path, [30, 30])

    join_files(paths, tmp_path / "whole.parquet")

    only = pq.read_table(tmp_path / "whole.parquet", filters=[("id", ">", 40)])
    assert only["id"].to_pylist() == list(range(41, 60))
    statistics = pq.read_metadata(tmp_path / "whole.parquet").row_group(1).column(0).statistics
    assert (statistics.min, statistics.max) == (30, 59)


# --- what it does not do


def test_files_that_are_not_alike_are_left_to_others(tmp_path):
    pq.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"b": [1]}), tmp_path / "b.parquet")
    (tmp_path / "none.parquet").write_bytes(b"PAR1 is not enough")

    for names in (["a", "b"], ["a", "none"], []):
        with pytest.raises(CannotJoin):
            join_files([tmp_path / f"{name}.parquet" for name in names], tmp_path / "whole.parquet")


@given(cut=st.integers(0, 400), byte=st.integers(0, 255))
@settings(max_examples=200, deadline=None)
def test_a_broken_footer_is_found_or_read_and_never_hangs(tmp_path_factory, cut, byte):
    folder = tmp_path_factory.mktemp("broken")
    path = folder / "a.parquet"
    pq.write_table(pa.table({"a": [1, 2]}), path)
    content = bytearray(path.read_bytes())
    content[-9 - cut % (len(content) - 13)] = byte
    path.write_bytes(content)

    with suppress(CannotJoin):
        join_files([path], folder / "whole.parquet")


def test_parts_of_other_types_are_read_and_written_anew(tmp_path):
    schema = pa.schema([("a", pa.int64())])
    for number, kind in enumerate((pa.int32(), pa.int64())):
        pq.write_table(pa.table({"a": pa.array([number], kind)}), tmp_path / f"{number}.parquet")

    both = [tmp_path / f"{number}.parquet" for number in range(2)]
    writers.join("parquet", both, schema, tmp_path / "whole.parquet")

    assert pq.read_table(tmp_path / "whole.parquet").equals(pa.table({"a": [0, 1]}, schema))


def test_numbers_in_vectors_have_no_dictionary_and_all_else_has(tmp_path):
    made = table(0, 100)
    file = writers.ParquetFile(tmp_path / "t.parquet", made.schema)
    file.write(made)
    file.close()

    group = pq.read_metadata(tmp_path / "t.parquet").row_group(0)
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    plain = {name for name, column in columns.items() if not column.has_dictionary_page}
    assert plain == {"vector.list.element", "yes"}
    assert pq.read_table(tmp_path / "t.parquet").equals(made)
