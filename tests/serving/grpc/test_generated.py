"""The generated files are what the definition says, and get along with others' copies."""

import subprocess
import sys

import pytest

from serving.grpc import generate
from serving.grpc.generated import inference_pb2 as pb


def test_they_are_what_make_proto_makes(tmp_path):
    generate.generate(tmp_path)

    made = {path.name: path.read_text() for path in tmp_path.iterdir()}
    kept = {
        path.name: path.read_text()
        for path in (generate.HERE / "generated").iterdir()
        if path.is_file() and path.name != "__init__.py"
    }
    assert made == kept


def test_a_compiler_that_writes_something_else_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setitem(generate.RIGHTED, "inference_pb2.py", ("not there", ""))
    with pytest.raises(SystemExit, match="look at it anew"):
        generate.generate(tmp_path)


OURS = "import serving.grpc.generated.inference_pb2 as ours"
THEIRS = "import tritonclient.grpc.service_pb2 as theirs"


@pytest.mark.parametrize("imports", [(OURS, THEIRS), (THEIRS, OURS)])
def test_a_process_may_hold_another_copy_of_the_protocol(imports):
    """A user's pipeline.py may ask another server."""
    subprocess.run([sys.executable, "-c", "\n".join(imports)], check=True, timeout=60)


def test_every_field_has_the_number_that_clients_send():
    theirs = pytest.importorskip("tritonclient.grpc.service_pb2")

    def fields(message):
        return {field.name: (field.number, field.type) for field in message.fields}

    def compare(our, their):
        for name, field in fields(our).items():
            # Not in Triton's copy, but in the protocol's own.
            if (our.name, name) != ("ModelMetadataResponse", "properties"):
                assert fields(their)[name] == field, f"{our.full_name}.{name}"
        for nested in our.nested_types:
            if nested.name != "PropertiesEntry":
                compare(nested, their.nested_types_by_name[nested.name])

    for name, our in pb.DESCRIPTOR.message_types_by_name.items():
        compare(our, theirs.DESCRIPTOR.message_types_by_name[name])
