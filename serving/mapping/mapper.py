"""A block of rows through a model: the part of a run that needs no other rows, and no files.

    block ─► decode ─► before ─► cut ─► run, batch by batch ─► after ─► columns
             columns    the       what    onnxruntime,           the       kept ones
             → tensors  model's   costs   many threads           model's   and new ones
                        pipeline  least                          pipeline

`map` does all of it for one block, and is all that is needed by an engine that spreads blocks
over machines. The engine in `local.py` does the steps of several blocks at one time.

A row that fails anywhere is set aside with its reason, and the others never hear of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import overload

import numpy as np
import pyarrow as pa

from batching import RunFailed
from batching.isolate import run_isolated
from batching.tensors import WrongRows, split
from models import Array, InvalidInput, Model, ModelError, PipelineFailed, Runtime, Tensors
from models.pipeline import TextPipeline
from models.text import MASK

from .blocks import Block, Rejected
from .columns import Filled, row_axis
from .cutting import Places, by_key, by_length, in_order
from .decoding import decode
from .feed import Feed, OneByOne, Padded, Stacked, one_row
from .plan import Plan
from .results import Output, Rows

MAX_REASON = 300
"""Characters of what an engine says of a row."""


@dataclass(frozen=True)
class Mapped:
    """What came of a block."""

    block: Block
    table: pa.Table
    """The kept columns and the model's, of the rows that went well, in their order."""
    rejected: list[Rejected]


@dataclass
class Work:
    """A block on its way. Its batches may run at one time, in any order."""

    block: Block
    feed: Feed | None
    """The rows that fit; None if there are none."""
    rows: Places
    """Where each row of the feed is in the block's table."""
    bad: dict[int, str]
    """Why a row is set aside, by its place in the block's table."""
    batches: list[Places]
    """Places in the feed."""
    parts: list[tuple[Places, Tensors]] = field(default_factory=list)
    """What came of batches, of those rows that did not fail."""


@dataclass(frozen=True)
class Recipe:
    """What a Mapper is made of beside its model: plain values, that another process can have."""

    plan: Plan
    inputs: tuple[Filled, ...]
    kept: tuple[str, ...]
    outputs: tuple[Output, ...]

    def mapper(self, model: Model) -> "Mapper":
        return Mapper(model, self.plan, inputs=self.inputs, kept=self.kept, outputs=self.outputs)


class Mapper:
    """A model, the columns that it takes and those that it gives."""

    def __init__(
        self,
        model: Model,
        plan: Plan,
        *,
        inputs: Sequence[Filled],
        kept: Sequence[str],
        outputs: Sequence[Output],
    ) -> None:
        self.model = model
        self.recipe = Recipe(plan, tuple(inputs), tuple(kept), tuple(outputs))
        self._runtime: Runtime = model.runtime
        self._pipeline = model.pipeline
        self._row_axis = row_axis(model.signature)
        self._plan, self._cost = plan, plan.cost
        self._inputs, self._kept, self._outputs = inputs, list(kept), outputs
        self._padded = {
            spec.name for spec in self._runtime.signature.inputs if spec.pad is not None
        }

    def schema(self, read: pa.Schema) -> pa.Schema:
        """Of the tables that come out, for tables that are read with this one."""
        kept = [read.field(name) for name in self._kept]
        return pa.schema([*kept, *(field for output in self._outputs for field in output.fields)])

    def map(self, block: Block) -> Mapped:
        """All steps, one after the other."""
        work = self.prepare(block)
        for batch in work.batches:
            self.run(work, batch)
        return self.finish(work)

    def prepare(self, block: Block) -> Work:
        """Everything before the first run. Needs the interpreter, at times."""
        decoded = decode(block.table, self._inputs)
        work = Work(block, None, decoded.places, decoded.bad, [])
        if not len(decoded.places):
            return work
        if isinstance(self._pipeline, TextPipeline):
            self._tokenize(self._pipeline, decoded.tensors, work)
        elif self._pipeline or any(isinstance(rows, list) for rows in decoded.tensors.values()):
            self._one_by_one(decoded.tensors, work)
        else:
            tensors = {name: np.asarray(rows) for name, rows in decoded.tensors.items()}
            work.feed = Stacked(tensors, row_axis=self._row_axis)
        if work.feed is not None and len(work.feed):
            work.batches = self._cut(work.feed)
        return work

    def _cut(self, feed: Feed) -> list[Places]:
        size = self._plan.batch_rows
        if isinstance(feed, Padded) and size > 1:
            return by_length(feed.lengths.tolist(), self._cost, size)
        if isinstance(feed, OneByOne):
            return by_key(feed.keys, size)
        return in_order(len(feed), size)

    def run(self, work: Work, batch: Places) -> None:
        """One batch. Blocks, and releases the interpreter."""
        feed = work.feed
        assert feed is not None
        report = run_isolated(lambda places: self._run(feed, np.asarray(places)), batch.tolist())
        if isinstance(report.results, _Together):
            work.parts.append((batch, report.results.outputs))
            return
        for place, result in zip(batch, report.results, strict=True):
            if isinstance(result, RunFailed):
                work.bad[int(work.rows[place])] = f"the model failed on it: {_reason(result)}"
            else:
                work.parts.append((np.array([place]), result))

    def _run(self, feed: Feed, places: Places) -> "_Together":
        outputs = self._runtime.run(feed.take(places))
        if not self._row_axis:
            outputs = {name: output[np.newaxis] for name, output in outputs.items()}
        sizes = feed.sizes(places) or [1] * len(places)
        total = sum(sizes)
        for name, output in outputs.items():
            if output.ndim == 0 or len(output) != total:
                raise WrongRows(name=name, rows=total, shape=output.shape)
        return _Together(outputs, sizes)

    def finish(self, work: Work) -> Mapped:
        """Everything behind the last run: results in the order of the rows, as columns."""
        if self._pipeline and self._pipeline.has_after:
            self._after(work)
        places, columns = self._columns(work)
        table = work.block.table
        rows = work.rows[places]
        kept = table.select(self._kept)
        if len(rows) < table.num_rows:
            kept = kept.take(rows)
        arrays = [*kept.columns, *columns]
        return Mapped(
            work.block,
            pa.Table.from_arrays(arrays, schema=self.schema(table.schema)),
            sorted([*work.block.rejected, *_rejected(work)], key=lambda one: one.row),
        )

    # --- before

    def _tokenize(
        self, pipeline: TextPipeline, tensors: dict[str, Array | list[Array]], work: Work
    ) -> None:
        given = {name: np.asarray(rows) for name, rows in tensors.items()}
        try:
            prepared = pipeline.before(given)
        except InvalidInput:
            good = []
            for place in range(len(work.rows)):
                try:
                    pipeline.before({name: rows[[place]] for name, rows in given.items()})
                    good.append(place)
                except InvalidInput as error:
                    work.bad[int(work.rows[place])] = str(error)
            work.rows = work.rows[good]
            if not good:
                return
            prepared = pipeline.before({name: rows[good] for name, rows in given.items()})
        if self._padded:
            lengths = np.maximum(1, np.asarray(prepared.tensors[MASK]).sum(axis=1, dtype=np.int64))
            work.feed = Padded(prepared.tensors, lengths, self._padded)
        else:
            work.feed = Stacked(prepared.tensors)

    def _one_by_one(self, tensors: dict[str, Array | list[Array]], work: Work) -> None:
        good, rows, counts, keys = [], [], [], []
        for place in range(len(work.rows)):
            row: Tensors = {
                name: one_row(values, place, row_axis=self._row_axis)
                for name, values in tensors.items()
            }
            try:
                if self._pipeline:
                    row = self._pipeline.before(row).tensors
                checked = self._runtime.signature.check(row)
            except ModelError as error:
                work.bad[int(work.rows[place])] = _reason(error)
                continue
            good.append(place)
            rows.append(row)
            counts.append(checked.rows)
            keys.append(checked.key)
        work.rows = work.rows[good]
        work.feed = OneByOne(rows, counts, keys)

    # --- after

    def _after(self, work: Work) -> None:
        """What the model's own code makes of each row's outputs."""
        assert self._pipeline is not None
        parts: list[tuple[Places, Tensors]] = []
        for places, outputs in work.parts:
            for place, own in self._apart(work, places, outputs):
                try:
                    parts.append((np.array([place]), self._pipeline.after(own)))
                except ModelError as error:
                    work.bad[int(work.rows[place])] = _reason(error)
        work.parts = parts

    def _columns(self, work: Work) -> tuple[Places, list[pa.Array]]:
        """The places in the feed that have results, and the results as columns."""
        parts = list(self._as_promised(work))
        if not parts:
            return np.empty(0, np.int64), [
                pa.array([], column.type) for output in self._outputs for column in output.fields
            ]
        places = np.concatenate([part[0] for part in parts])
        order = np.argsort(places)
        columns = []
        for output in self._outputs:
            pieces = [outputs[output.spec.name] for _, outputs in parts]
            columns += output.arrays(_ordered(pieces, order))
        return places[order], columns

    def _as_promised(self, work: Work) -> Iterator[tuple[Places, Tensors]]:
        """The parts that are what the signature says. Rows that are not are set aside."""
        for places, outputs in work.parts:
            if self._why_not(outputs, len(places)) is None:
                yield places, outputs
                continue
            for place, own in self._apart(work, places, outputs):
                if why := self._why_not(own, 1):
                    work.bad[int(work.rows[place])] = why
                else:
                    yield np.array([place]), own

    def _why_not(self, outputs: Tensors, rows: int) -> str | None:
        found = (output.why_not(outputs[output.spec.name], rows) for output in self._outputs)
        return next(filter(None, found), None)

    @staticmethod
    def _apart(work: Work, places: Places, outputs: Tensors) -> Iterator[tuple[int, Tensors]]:
        """What each row of a batch gave."""
        assert work.feed is not None
        if len(places) == 1:
            yield int(places[0]), outputs
            return
        sizes = work.feed.sizes(places) or [1] * len(places)
        yield from zip(places.tolist(), split(outputs, sizes), strict=True)


class _Together(Sequence[Tensors]):
    """A batch's outputs as one result a row, which nobody splits who need not."""

    def __init__(self, outputs: Tensors, sizes: Sequence[int]) -> None:
        self.outputs, self._sizes = outputs, sizes

    def __len__(self) -> int:
        return len(self._sizes)

    @overload
    def __getitem__(self, at: int) -> Tensors: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Tensors]: ...
    def __getitem__(self, at: int | slice) -> Tensors | Sequence[Tensors]:
        return split(self.outputs, self._sizes)[at]

    def __iter__(self) -> Iterator[Tensors]:
        return iter(split(self.outputs, self._sizes))


def _ordered(pieces: list[Array], order: Places) -> Rows:
    """All rows of an output by their places; in one array, if they are of one shape."""
    if len({piece.shape[1:] for piece in pieces}) == 1:
        together = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
        return together if np.all(order[1:] > order[:-1]) else together[order]
    rows = [row for piece in pieces for row in piece]
    return [rows[place] for place in order]


def _rejected(work: Work) -> Iterator[Rejected]:
    for place, why in work.bad.items():
        (values,) = work.block.table.slice(place, 1).to_pylist()
        yield Rejected(int(work.block.rows[place]), why, values)


def _reason(error: Exception) -> str:
    """What went wrong with a row, in one short line."""
    cause = error.__cause__ if isinstance(error, (RunFailed, PipelineFailed)) else None
    if isinstance(error, PipelineFailed):
        text = f"the model's pipeline failed on it: {cause}"
    else:
        text = str(cause or error)
    text = " ".join(text.split())
    return text if len(text) <= MAX_REASON else text[:MAX_REASON] + "…"
