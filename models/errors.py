"""What can be wrong with a model, its files or what it is sent.

ModelError
├── BadModel          the file, its folder or its settings cannot be used; says what to do
├── ModelNotFound     no model of that name, or no such version
├── ModelNotReady     it is known, and loading, unloading or failed
├── InvalidInput      the tensors are not what the model's signature asks for
└── PipelineFailed    the model's own code before or after it failed, or gave what does not fit
"""


class ModelError(Exception):
    """Whatever this package has to say."""


class BadModel(ModelError):
    """A model cannot be used. The message is for whoever starts the server."""


class ModelNotFound(ModelError):
    """There is no such model or version."""

    def __init__(self, name: str, version: str | None = None) -> None:
        which = f"version {version!r} of model {name!r}" if version else f"model {name!r}"
        super().__init__(f"{which} is not found")
        self.name, self.version = name, version


class ModelNotReady(ModelError):
    """The model is known but cannot answer now."""

    def __init__(self, name: str, state: str) -> None:
        super().__init__(f"model {name!r} is not ready: {state}")
        self.name, self.state = name, state


class InvalidInput(ModelError):
    """The caller's tensors do not fit the model."""


class PipelineFailed(ModelError):
    """A model's pipeline.py broke; no fault of the caller. What happened is in the log."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the pipeline of model {name!r} failed; the server's log says why")
        self.name = name
