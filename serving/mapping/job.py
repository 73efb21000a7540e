"""A whole run: a table, a model, and where the answers go.

source ─► columns ─► plan ─► engine ─► output
files     inputs     what    blocks    parts, sealed as they come;
          and kept   fits    in order  one file or a folder at the end
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pyarrow as pa

from models import ZOO, Model, ModelNotFound, ModelSource, find_model, find_models, load

from ..wire_form import model_outputs
from . import columns, results
from .blocks import Block, rechunked
from .casting import shown
from .columns import Filled
from .errors import CannotMap, TooManyRejected
from .local import Engine, LocalEngine
from .mapper import Mapped, Mapper
from .parts import Output
from .plan import Plan, plan_for
from .progress import Progress
from .sources import KINDS, Source
from .tuning import reopened, tuned, worth_tuning
from .writers import writable

HOPELESS_ROWS = 100
"""If none of so many first rows can be used, it is not the rows that are wrong."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is asked for."""

    model: str
    """An .onnx file, a folder, or the name of a shipped model."""
    input: Path
    output: Path
    inputs: Sequence[str] = ()
    """NAME=COLUMN[,COLUMN…] for inputs that are not named as a column is."""
    keep: str | None = None
    """Columns to keep, by commas, with `*` and `?`; None: all."""
    named: Sequence[str] = ()
    """OUTPUT=COLUMN for outputs that are to be called otherwise."""
    top: int = 0
    max_rejected: int | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.top < 0:
            raise ValueError(f"top must be at least 0, got {self.top!r}")
        if self.max_rejected is not None and self.max_rejected < 0:
            raise ValueError(f"max_rejected must be at least 0, got {self.max_rejected!r}")


@dataclass(frozen=True)
class Outcome:
    """How a run went."""

    rows: int
    """Rows in the output, with those of earlier runs that this one went on with."""
    rejected: int
    here: int
    """Rows that this run did itself."""
    seconds: float
    output: Output


EngineOf = Callable[[Mapper, Plan, int], Engine]
"""Makes an engine of the mapper, the plan and the usable cores."""


def local(mapper: Mapper, plan: Plan, cores: int) -> Engine:
    return LocalEngine(mapper, slots=plan.slots, cores=cores)


def run(
    job: Job,
    *,
    cores: int,
    budget_s: float = 2.0,
    engine_of: EngineOf = local,
    tell: Callable[[str], None] = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Do it, or go on with it. Blocks.

    budget_s: see models.load. tell: told now and then how far it is, to be overwritten by
    the next; say: told once what matters, to stay. Raises MappingError and BadModel.
    """
    began = clock()
    source = Source(job.input)
    output = output_of(job, source)
    model = load(_found(job.model), cores=cores, budget_s=budget_s, progress=tell)
    try:
        filled = columns.fill(
            model.signature, source.schema, job.inputs, guessed=source.kind == "csv"
        )
        kept = columns.kept(source.schema, job.keep)
        given = results.outputs_of(
            model.signature,
            named=_pairs(job.named),
            top=job.top,
            labels=model_outputs(model).labels,
        )
        schema = _read_schema(source, filled, kept)
        writable(output.kind, _written(schema, kept, given))
        say(f"{model.source.name}: {'; '.join(map(str, filled))}")
        if not output.open(
            _identity(job, model, source, output, filled, kept, given), overwrite=job.overwrite
        ):
            return Outcome(output.rows, output.rejected, 0, clock() - began, output)
        with closing(output):
            if output.next_row:
                say(f"going on behind the {output.next_row:,} rows that are done")
            model, mapper, plan = _ready(model, source, output, schema, filled, kept, given, cores)
            say(str(plan))
            engine = engine_of(mapper, plan, cores)
            here = _work(job, source, schema, output, engine, plan, tell, clock)
            output.finish(mapper.schema(schema))
            return Outcome(output.rows, output.rejected, here, clock() - began, output)
    finally:
        model.runtime.close()


def output_of(job: Job, source: Source) -> Output:
    """Where the answers go, of the kind that the name says; a folder is of the input's kind."""
    if job.output.suffix and not job.output.is_dir():
        kind = KINDS.get(job.output.suffix.lower())
        if kind is None:
            raise CannotMap(
                f"{job.output} should end in {', '.join(KINDS)}; without any, it becomes a folder."
            )
        if job.output.resolve() in [file.resolve() for file in source.files]:
            raise CannotMap(f"{job.output} is the input; write elsewhere.")
        return Output(job.output, kind, folder=False)
    if job.output.resolve() == source.path.resolve():
        raise CannotMap(f"{job.output} is the input; write elsewhere.")
    return Output(job.output, source.kind, folder=True)


def _work(
    job: Job,
    source: Source,
    schema: pa.Schema,
    output: Output,
    engine: Engine,
    plan: Plan,
    tell: Callable[[str], None],
    clock: Callable[[], float],
) -> int:
    """All blocks that are not done yet; how many rows those were."""
    began, start = clock(), output.next_row
    done, rejected = start, output.rejected
    progress = Progress(began, start)
    first_reason = "in an earlier run"
    _check_rejected(job, rejected, first_reason)
    blocks = rechunked(source.blocks(schema, start), plan.chunk_rows, start)
    mapped_blocks = engine.map(blocks)
    try:
        for mapped in mapped_blocks:
            if mapped.rejected and not rejected:
                first_reason = _in_words(mapped)
            rejected += len(mapped.rejected)
            if not done and not mapped.table.num_rows and mapped.block.count >= HOPELESS_ROWS:
                raise CannotMap(
                    f"none of the first {mapped.block.count} rows can be used; {_in_words(mapped)}."
                )
            output.write(mapped, clock(), began)
            _check_rejected(job, rejected, first_reason)
            done = mapped.block.end
            progress.step(clock(), done=done, rejected=rejected)
            tell(progress.line(source.rows))
    finally:
        mapped_blocks.close()
        # What is done is kept, also when this ends early.
        if done:
            output.seal()
    return done - start


def _check_rejected(job: Job, rejected: int, first: str) -> None:
    if job.max_rejected is not None and rejected > job.max_rejected:
        raise TooManyRejected(rejected=rejected, limit=job.max_rejected, first=first)


def _in_words(mapped: Mapped) -> str:
    one = mapped.rejected[0]
    return f"row {one.row}: {one.reason}"


def _ready(
    model: Model,
    source: Source,
    output: Output,
    schema: pa.Schema,
    filled: Sequence[Filled],
    kept: Sequence[str],
    given: Sequence[results.Output],
    cores: int,
) -> tuple[Model, Mapper, Plan]:
    """The model as the plan wants it: the plan of the run that this goes on with, or a new one."""

    def mapper(model: Model, plan: Plan) -> Mapper:
        return Mapper(model, plan, inputs=filled, kept=kept, outputs=given)

    if output.plan is not None:
        plan = output.plan
        if plan.threads != model.profile.threads:
            old, model = model, reopened(model, plan.threads)
            old.runtime.close()
        return model, mapper(model, plan), plan
    first = source.first_block(schema)
    plan = plan_for(model, first, tuple(given))
    if first is not None and worth_tuning(plan, source.rows or 0):
        chosen = mapper(model, plan)
        block: Block = next(iter(rechunked([first], plan.chunk_rows, first.first)))
        model, plan = tuned(model, plan, chosen, chosen.prepare(block), cores)
    output.begin(plan)
    return model, mapper(model, plan), plan


def _found(model: str) -> ModelSource:
    """The one model at a path, or of a name among those that are shipped; its newest version."""
    path = Path(model)
    if not path.exists() and not path.suffix and path.name == model:
        try:
            return find_model([ZOO], model)[-1]
        except ModelNotFound:
            pass
    found = find_models([path])
    if len(names := {one.name for one in found}) > 1:
        raise CannotMap(
            f"{path} holds several models: give the folder of one, {', '.join(sorted(names))}."
        )
    return found[-1]


def _read_schema(source: Source, filled: Sequence[Filled], kept: Sequence[str]) -> pa.Schema:
    """The columns that are read: those that are used, in the table's order."""
    used = {*kept, *chain.from_iterable(one.columns for one in filled)}
    schema = pa.schema([field for field in source.schema if field.name in used])
    if source.kind == "parquet":
        return schema
    kinds = {field.name: field.type for field in schema}
    for one in filled:
        for name in one.columns:
            # JSON says itself what is a number and what a text.
            if source.kind == "csv" or not columns.is_text(kinds[name]):
                kinds[name] = columns.read_as(one, kinds[name])
    return pa.schema(list(kinds.items()))


def _written(schema: pa.Schema, kept: Sequence[str], given: Sequence[results.Output]) -> pa.Schema:
    return pa.schema(
        [*(schema.field(name) for name in kept), *chain.from_iterable(one.fields for one in given)]
    )


def _pairs(named: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for pair in named:
        name, sign, column = pair.partition("=")
        if not sign or not column:
            raise CannotMap(f"--as takes OUTPUT=COLUMN, got {shown(pair)}.")
        pairs[name] = column
    return pairs


def _identity(
    job: Job,
    model: Model,
    source: Source,
    output: Output,
    filled: Sequence[Filled],
    kept: Sequence[str],
    given: Sequence[results.Output],
) -> dict[str, object]:
    """What makes a run this run: if any of it changes, its parts do not go together."""
    return {
        "model": {"name": model.source.name, "sha256": model_hash(model.source)},
        "input": source.fingerprint(),
        "columns": {one.spec.name: list(one.columns) for one in filled},
        "keep": list(kept),
        "outputs": [[one.spec.name, one.column, one.top, list(one.labels)] for one in given],
        "kind": [output.kind, output.folder],
    }


def files_of(source: ModelSource) -> list[Path]:
    """The model's file, and all that lies beside it: its weights and its pipeline."""
    files = [source.path]
    if source.folder is not None:
        beside = [*source.path.parent.iterdir(), *source.folder.iterdir()]
        files += sorted(file for file in beside if file.is_file() and file != source.path)
    return files


def model_hash(source: ModelSource) -> str:
    """Of the model's file and of all that lies beside it, for its weights and its pipeline."""
    total = hashlib.sha256()
    for file in files_of(source):
        with file.open("rb") as content:
            total.update(file.name.encode() + hashlib.file_digest(content, "sha256").digest())
    return total.hexdigest()
