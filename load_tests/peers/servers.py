"""The servers that are compared: how each is started, asked, and understood.

All get the same 256 numbers as JSON, and run the same file in the same session (shared/).
Two speak the protocol's binary tensors too; MLServer does only on the client's side.
"""

import json
import sys
from collections.abc import Callable, Mapping
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
    label: str
    """As people write it."""
    packages: tuple[str, ...]
    """Whose versions are recorded, and with what they need, how large they are."""
    command: tuple[str, ...]
    path: str
    body: Callable[[list[str]], str] = protocol_body
    row: Callable[[dict[str, Any]], list[float]] = protocol_row
    settings: dict[str, str] = field(default_factory=dict)
    """Environment variables."""
    in_time: Mapping[str, str] = field(default_factory=dict)
    """Where callers want to be answered within 100 ms and do not wait for each other: what says
    so to it, in the best way that it has. Added to `settings`, as variables; what begins with --
    is an option. {waiting} is how many may wait so that the last is in time, at the rate that
    was measured just before: a number that somebody who knows the server would find by hand.
    Empty where what it has makes it worse."""
    folder: Path | None = None
    """Where it is started, if that matters."""
    warm_up_s: int = 2
    """How long it is kept busy before it is measured for the first time."""
    binary: bool = False
    """Whether it takes tensors as bytes."""

    @property
    def python(self) -> Path:
        """Of its environment."""
        return Path(self.command[0]).parent / "python"

    def start(self, *, in_time: bool) -> tuple[list[str], dict[str, str]]:
        """The command and its variables, with what is to be replaced."""
        said = self.in_time if in_time else {}
        options = {name: value for name, value in said.items() if name.startswith("--")}
        variables = {name: value for name, value in said.items() if name not in options}
        command = [*self.command]
        for name, value in options.items():
            if name in command:
                command[command.index(name) + 1] = value
            else:
                command += [name, value]
        return command, {**self.settings, **variables}

    @property
    def installed(self) -> bool:
        """Whether its environment was made to the end."""
        return self.name == "jitney" or (self.python.parents[1] / ".installed").exists()


def _peer(name: str, label: str, *command: str, program: str = "python", **rest: Any) -> Server:
    program = str(ENVIRONMENTS / name / "bin" / program)
    return Server(name, label, command=(program, *command), **rest)


SERVERS = (
    Server(
        "jitney",
        "Jitney",
        ("jitney", "onnxruntime"),
        (str(Path(sys.executable).parent / "jitney"), "serve", "{model}", "--port", "{port}"),
        "/v2/models/perceptron/infer",
        in_time={"--slo-ms": "100"},
        binary=True,
    ),
    _peer(
        "mosec",
        "mosec",
        *(str(HERE / "mosec/serve.py"), "--address", "127.0.0.1", "--port", "{port}"),
        *("--log-level", "warning", "--timeout", "60000"),
        packages=("mosec", "onnxruntime", "orjson"),
        in_time={"--capacity": "{waiting}"},
        path="/inference",
        row=lambda reply: reply["y"],
    ),
    _peer(
        "pytriton",
        "Triton",
        *(str(HERE / "pytriton/serve.py"), "{port}"),
        packages=("nvidia-pytriton", "onnxruntime"),
        path="/v2/models/perceptron/infer",
        binary=True,
    ),
    _peer(
        "litserve",
        "LitServe",
        *(str(HERE / "litserve/serve.py"), "{port}"),
        packages=("litserve", "onnxruntime", "fastapi", "uvicorn"),
        path="/predict",
        row=lambda reply: reply["y"],
    ),
    _peer(
        "mlserver",
        "MLServer",
        *("start", str(HERE / "mlserver")),
        program="mlserver",
        packages=("mlserver", "onnxruntime", "fastapi", "uvicorn"),
        path="/v2/models/perceptron/infer",
        settings={"MLSERVER_HTTP_PORT": "{port}", "MLSERVER_GRPC_PORT": "{port2}"},
    ),
    _peer(
        "bentoml",
        "BentoML",
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
        "Ray Serve",
        *(str(HERE / "ray/serve.py"), "{port}"),
        packages=("ray[serve]", "onnxruntime", "uvicorn", "orjson"),
        # Its own start goes on in the background.
        warm_up_s=10,
        path="/",
        row=lambda reply: reply["y"],
    ),
)
