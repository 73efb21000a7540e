"""Makes `generated/` from `inference.proto`: what `make proto` runs.

Two lines of what the compiler writes are put right: its import is made relative, and its
messages get a pool of their own. In the pool that all of a process share they would clash
with another copy of the same protocol, as tritonclient has one, in a user's pipeline.py.
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
PROTO = HERE / "inference.proto"

RIGHTED = {
    "inference_pb2.py": ("_descriptor_pool.Default()", "_descriptor_pool.DescriptorPool()"),
    "inference_pb2_grpc.py": ("\nimport inference_pb2", "\nfrom . import inference_pb2"),
}


def generate(folder: Path) -> None:
    """Write the generated files into a folder."""
    from grpc_tools import protoc

    outputs = [f"--{kind}_out={folder}" for kind in ("python", "pyi", "grpc_python")]
    if protoc.main(["protoc", f"-I{PROTO.parent}", *outputs, PROTO.name]):
        raise SystemExit(f"{PROTO} could not be compiled")
    for name, (wrong, right) in RIGHTED.items():
        text = (folder / name).read_text()
        if text.count(wrong) != 1:
            raise SystemExit(f"{name}: the compiler no longer writes {wrong!r}; look at it anew")
        (folder / name).write_text(text.replace(wrong, right))


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "generated")
