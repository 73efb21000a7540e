"""The generated files are what the definition says, and get along with others' copies."""

import subprocess
import sys

import pytest
from tritonclient.grpc import model_config_pb2, service_pb2

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
    their_files = [model_config_pb2.DESCRIPTOR, service_pb2.DESCRIPTOR]
    messages = {name: m for file in their_files for name, m in file.message_types_by_name.items()}
    enums = {name: e for file in their_files for name, e in file.enum_types_by_name.items()}

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
        for enum in our.enum_types:
            compare_values(enum, their.enum_types_by_name[enum.name])

    def compare_values(our, their):
        theirs = {value.name: value.number for value in their.values}
        assert {value.name: value.number for value in our.values}.items() <= theirs.items()

    for name, our in pb.DESCRIPTOR.message_types_by_name.items():
        compare(our, messages[name])
    for name, our in pb.DESCRIPTOR.enum_types_by_name.items():
        compare_values(our, enums[name])


def test_every_call_is_clients_own():
    (ours,) = pb.DESCRIPTOR.services_by_name.values()
    theirs = service_pb2.DESCRIPTOR.services_by_name[ours.name]

    assert ours.full_name == theirs.full_name
    for call in ours.methods:
        their = theirs.methods_by_name[call.name]
        assert call.input_type.full_name == their.input_type.full_name
        assert call.output_type.full_name == their.output_type.full_name
        assert call.client_streaming == their.client_streaming
        assert call.server_streaming == their.server_streaming
