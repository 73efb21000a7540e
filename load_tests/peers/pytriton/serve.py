"""The perceptron behind Triton: the tritonserver that the wheel of nvidia-pytriton holds.

    MODEL=model.onnx .venv-peers/pytriton/bin/python load_tests/peers/pytriton/serve.py PORT

pytriton itself is left out: it would put a process and a socket of its own between Triton
and the model. Triton's Python backend runs the model in a process (its stub) that shares
memory with the server. One instance, dynamic batching of up to 64 without a delay, HTTP
only. The wheel holds stubs for several Pythons and expects the right one beside the backend.

Its queue has no bound. With max_queue_size, for callers who come when they like and want to be
answered within 100 ms, refusing left so little of the one core to the model that 3,500 a second
were the most that it answered in time, rather than 4,100.
"""

import os
import shutil
import sys
from pathlib import Path

import pytriton

HERE = Path(__file__).parent


def main(port: str) -> None:
    """Lay out what Triton wants, and become it."""
    triton = Path(pytriton.__file__).parent / "tritonserver"
    packages = triton.parents[1]
    # Beside the wheel's files and not in them, so that the installation stays as it was.
    made = HERE.parents[1] / "out" / "peers" / "triton"
    shutil.rmtree(made, ignore_errors=True)
    shutil.copytree(triton / "backends", made / "backends")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = "triton_python_backend_stub"
    shutil.copy2(triton / "python_backend_stubs" / version / stub, made / "backends/python")
    model = made / "models" / "perceptron"
    (model / "1").mkdir(parents=True)
    shutil.copyfile(HERE / "config.pbtxt", model / "config.pbtxt")
    # Its Python finds the packages by the PATH, and ignores PYTHONPATH.
    for source in (HERE / "model.py", HERE.parent / "shared" / "perceptron.py"):
        shutil.copyfile(source, model / "1" / source.name)
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    os.environ["LD_LIBRARY_PATH"] = str(packages / "nvidia_pytriton.libs")
    os.execv(
        triton / "bin" / "tritonserver",
        [
            "tritonserver",
            f"--model-repository={made / 'models'}",
            f"--backend-directory={made / 'backends'}",
            "--disable-auto-complete-config",
            "--http-address=127.0.0.1",
            f"--http-port={port}",
            "--allow-grpc=false",
            "--allow-metrics=false",
            "--log-info=false",
        ],
    )


if __name__ == "__main__":
    main(sys.argv[1])
