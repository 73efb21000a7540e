"""What travels to another machine, taken apart and put together on this one."""

import pickle
from itertools import chain

import numpy as np
import pyarrow as pa
import pytest

from models import ZOO, find_model, find_models, load
from serving.mapping import Mapper
from serving.mapping.blocks import whole
from serving.mapping.columns import fill
from serving.mapping.luggage import packed, read, unpacked, written
from serving.mapping.plan import plan_for
from serving.mapping.results import outputs_of
from tests.support import onnx_models, text_models

NUMBERS = pa.table({"x": [[1.0, 2, 3, 4], None, [5, 6, 7, 8]], "label": ["a", "b", "c"]})
TEXTS = pa.table({"text": ["the red bus", "", "late late late"]})


def mapper(source, table) -> Mapper:
    model = load(source, cores=1, budget_s=0.1)
    given = outputs_of(model.signature)
    first = whole(0, table)
    return Mapper(
        model,
        plan_for(model, first, given),
        inputs=fill(model.signature, table.schema, (), guessed=False),
        kept=table.column_names,
        outputs=given,
    )


def moved(here: Mapper, folder) -> Mapper:
    """The same, as if it had been to another machine."""
    return unpacked(pickle.loads(pickle.dumps(packed(here))), folder)


@pytest.fixture(params=["file", "folder", "text"])
def model(request, tmp_path):
    at = tmp_path / "m"
    if request.param == "file":
        onnx_models.doubler(tmp_path / "m.onnx")
        return find_models([tmp_path / "m.onnx"])[0], NUMBERS
    if request.param == "folder":
        onnx_models.doubler(at / "1" / "model.onnx")
        (at / "pipeline.py").write_text("def after(outputs):\n    return {'y': outputs['y'] + 1}\n")
        return find_models([at])[0], NUMBERS
    text_models.encoder(at / "1" / "model.onnx")
    text_models.tokenizer(at / "tokenizer.json")
    return find_models([at])[0], TEXTS


def test_it_does_the_same_there_without_the_files_here(model, tmp_path):
    source, table = model
    here = mapper(source, table)
    expected = here.map(whole(10, table))
    there = moved(here, tmp_path / "there")

    found = there.map(whole(10, table))

    assert found.table.equals(expected.table)
    assert found.rejected == expected.rejected
    assert there.model.source.path.is_relative_to(tmp_path / "there")


def test_every_shipped_model_can_travel(tmp_path):
    for name in ("digits", "iris"):
        source = find_model([ZOO], name)[-1]
        model = load(source, cores=1, budget_s=0.1)
        row = {spec.name: np.zeros(4 if name == "iris" else 64).tolist() for spec in
               model.signature.inputs}  # fmt: skip
        here = mapper(source, pa.Table.from_pylist([row]))

        there = moved(here, tmp_path / name)

        assert there.model.signature == here.model.signature
        assert there.model.source.config == here.model.source.config


def test_part_of_a_table_travels_as_that_part():
    table = pa.table({"x": list(range(100_000))})
    part = table.slice(500, 10)

    content = written(part)

    assert read(content).equals(part)
    assert len(content) < 1000


def test_weights_beside_a_lone_file_travel_too(tmp_path):
    source = find_models([onnx_models.doubler(tmp_path / "m.onnx")])[0]
    (tmp_path / "m.onnx.data").write_bytes(b"weights")
    (tmp_path / "other.onnx").write_bytes(b"no part of it")

    files = packed(mapper(source, NUMBERS)).files

    assert sorted(chain(files)) == ["m.onnx", "m.onnx.data"]
