"""Parquet that several writers wrote behind each other: pyarrow reads it as one file."""

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
from serving.mapping.parquet_footer import BadFooter, alike, cut_footer, merged

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


def write(path: Path, sizes: list[int], **options: object) -> pa.Table:
    """A file of parts of so many rows; gives all rows in one table."""
    footers, starts, tables, first = [], [], [], 0
    for rows in sizes:
        tables.append(table(first, rows))
        with path.open("ab") as file:
            starts.append(file.tell())
            pq.write_table(tables[-1], file, **options)
        footers.append(cut_footer(path))
        first += rows
    with path.open("ab") as file:
        file.write(merged(footers, starts))
    return pa.concat_tables(tables)


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
    path = tmp_path_factory.mktemp("parts") / "whole.parquet"

    wanted = write(path, sizes, row_group_size=group, **options)

    whole = pq.ParquetFile(path)
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
    path = tmp_path / "whole.parquet"

    write(path, [30, 30])

    only = pq.read_table(path, filters=[("id", ">", 40)])
    assert only["id"].to_pylist() == list(range(41, 60))
    statistics = pq.read_metadata(path).row_group(1).column(0).statistics
    assert (statistics.min, statistics.max) == (30, 59)


# --- what it does not do


def test_what_is_of_other_columns_or_no_parquet_is_told(tmp_path):
    footers = []
    for name in "ab":
        pq.write_table(pa.table({name: [1]}), tmp_path / f"{name}.parquet")
        footers.append(cut_footer(tmp_path / f"{name}.parquet"))
    (tmp_path / "none.parquet").write_bytes(b"PAR1 is not enough")

    assert alike(footers[0], footers[0])
    assert not alike(*footers)
    for some in (footers, [], [b"\x19"], [b"\x00"]):
        with pytest.raises(BadFooter):
            merged(some, [0] * len(some))
    with pytest.raises(BadFooter, match=r"none\.parquet is no plain Parquet file"):
        cut_footer(tmp_path / "none.parquet")


@given(cut=st.integers(0, 400), byte=st.integers(0, 255))
@settings(max_examples=200, deadline=None)
def test_a_broken_footer_is_found_or_read_and_never_hangs(tmp_path_factory, cut, byte):
    path = tmp_path_factory.mktemp("broken") / "a.parquet"
    pq.write_table(pa.table({"a": [1, 2]}), path)
    footer = bytearray(cut_footer(path))
    footer[cut % len(footer)] = byte

    with suppress(BadFooter):
        merged([bytes(footer)], [0])


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
