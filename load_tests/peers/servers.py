"""The servers that are compared: how each is started, asked, and understood.

All get the same 256 numbers as JSON, and run the same file in the same session (shared/).
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ENVIRONMENTS = HERE.parents[1] / ".venv-peers"


def protocol_body(numbers: list[str]) -> str:
    """A request of the Open Inference Protocol. numbers: as JSON writes them."""
    tensor = f'"name":"x","shape":[1,{len(numbers)}],"datatype":"FP32"'
    return f'{{"inputs":[{{{tensor},"data":[{",".join(numbers)}]}}]}}'


def protocol_row(reply: dict[str, Any]) -> list[float]:
    """The numbers of an answer of the protocol."""
    row: list[float] = reply["outputs"][0]["data"]
    return row


@dataclass(frozen=True)
class Server:
    """A server of the perceptron. {port}, {model}, {port2} and {port3} are replaced."""

    name: str
    packages: tuple[str, ...]
    """Whose versions are recorded."""
    command: tuple[str, ...]
    path: str
    body: Callable[[list[str]], str] = protocol_body
    row: Callable[[dict[str, Any]], list[float]] = protocol_row
    settings: dict[str, str] = field(default_factory=dict)
    """Environment variables."""
    folder: Path | None = None
    """Where it is started, if that matters."""
    warm_up_s: int = 2
    """How long it is kept busy before it is measured."""

    @property
    def python(self) -> Path:
        """Of its environment."""
        return Path(self.command[0]).parent / "python"

    @property
    def installed(self) -> bool:
        """Whether its environment was made to the end."""
        return self.name == "jitney" or (self.python.parents[1] / ".installed").exists()


def _peer(name: str, *command: str, program: str = "python", **rest: Any) -> Server:
    return Server(name, command=(str(ENVIRONMENTS / name / "bin" / program), *command), **rest)


SERVERS = (
    Server(
        "jitney",
        ("jitney", "onnxruntime"),
        (str(Path(sys.executable).parent / "jitney"), "serve", "{model}", "--port", "{port}"),
        "/v2/models/perceptron/infer",
    ),
    _peer(
        "mosec",
        *(str(HERE / "mosec/serve.py"), "--address", "127.0.0.1", "--port", "{port}"),
        *("--log-level", "warning", "--timeout", "60000"),
        packages=("mosec", "onnxruntime", "orjson"),
        path="/inference",
        row=lambda reply: reply["y"],
    ),
    _peer(
        "pytriton",
        *(str(HERE / "pytriton/serve.py"), "{port}"),
        packages=("nvidia-pytriton", "onnxruntime"),
        path="/v2/models/perceptron/infer",
    ),
    _peer(
        "litserve",
        *(str(HERE / "litserve/serve.py"), "{port}"),
        packages=("litserve", "onnxruntime", "fastapi", "uvicorn"),
        path="/predict",
        row=lambda reply: reply["y"],
    ),
    _peer(
        "mlserver",
        *("start", str(HERE / "mlserver")),
        program="mlserver",
        packages=("mlserver", "onnxruntime", "fastapi", "uvicorn"),
        path="/v2/models/perceptron/infer",
        settings={"MLSERVER_HTTP_PORT": "{port}", "MLSERVER_GRPC_PORT": "{port2}"},
    ),
    _peer(
        "bentoml",
        *("serve", "serve:Runner", "--host", "127.0.0.1", "--port", "{port}"),
        program="bentoml",
        packages=("bentoml", "onnxruntime", "starlette", "uvicorn"),
        path="/infer",
        body=lambda numbers: f'{{"x":[[{",".join(numbers)}]]}}',
        row=lambda reply: json.loads(reply) if isinstance(reply, str) else reply[0],
        folder=HERE / "bentoml",
    ),
    _peer(
        "ray",
        *(str(HERE / "ray/serve.py"), "{port}"),
        packages=("ray", "onnxruntime", "uvicorn", "orjson"),
        # Its own start goes on in the background.
        warm_up_s=10,
        path="/",
        row=lambda reply: reply["y"],
    ),
)
