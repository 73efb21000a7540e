"""What another machine needs to do the same with a block, as plain values. Knows no Ray.

A mapper holds a session, which stays where it is. What travels is what it is made of: the
model's files, its measurements and the plan; and of each block the table and its rows' numbers.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from models import Model, ModelSource, Profile
from models.onnx_runtime import OnnxRuntime
from models.pipeline import find_pipeline

from .job import files_of
from .mapper import Mapper, Recipe


@dataclass(frozen=True)
class Luggage:
    """All that it takes to make the same mapper."""

    source: ModelSource
    """With paths under a folder that is yet to be made."""
    profile: Profile
    recipe: Recipe
    files: dict[str, bytes]
    """By their paths under that folder."""


def packed(mapper: Mapper) -> Luggage:
    """What makes this mapper."""
    source = mapper.model.source
    base = source.folder or source.path.parent
    paths = files_of(source)
    if source.folder is None:
        # A lone file may have its weights beside it: model.onnx.data, as exporters name them.
        paths += [path for path in base.glob(f"{source.path.stem}*") if path.is_file()]
    files = {str(path.relative_to(base)): path.read_bytes() for path in paths}
    away = replace(
        source, path=source.path.relative_to(base), folder=Path() if source.folder else None
    )
    return Luggage(away, mapper.model.profile, mapper.recipe, files)


def unpacked(luggage: Luggage, base: Path) -> Mapper:
    """The same mapper, of files that are put into this folder. Raises BadModel."""
    for name, content in luggage.files.items():
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_bytes(content)
    source = luggage.source
    source = replace(source, path=base / source.path, folder=source.folder and base)
    engine = OnnxRuntime(source.path, threads=luggage.recipe.plan.threads)
    runtime, pipeline = find_pipeline(source, engine)
    return luggage.recipe.mapper(Model(source, runtime, pipeline, luggage.profile))


# Arrow's own form: of a part of a table it takes that part, where pickle takes the whole.


def written(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def read(content: bytes) -> pa.Table:
    with pa.ipc.open_stream(content) as reader:
        return reader.read_all()
