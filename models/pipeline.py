"""What goes before and after a model, so that callers send what they have and get what they want.

    caller's tensors ─► before ─► queue ─► run ─► scatter ─► after ─► caller's tensors

Both are done for one request at a time, off the event loop. What there is to be
done is found beside the model: a pipeline.py of the user's own, or a tokenizer.json.
"""

from typing import Protocol

from .errors import BadModel
from .prepared import Prepared
from .repository import CONFIG_FILE, PIPELINE_FILE, TOKENIZER_FILE, ModelSource
from .runtime import Runtime
from .signature import Signature, Tensors
from .text import TextPipeline, TextRuntime
from .user_pipeline import UserPipeline

__all__ = [
    "Pipeline",
    "Prepared",
    "TextPipeline",
    "TextRuntime",
    "UserPipeline",
    "find_pipeline",
]


class Pipeline(Protocol):
    """Both steps may be called from several threads at one time, and block."""

    @property
    def signature(self) -> Signature:
        """What callers send and get."""
        ...

    def before(self, inputs: Tensors) -> Prepared:
        """What the runtime takes. Raises InvalidInput, or PipelineFailed if it is our fault."""
        ...

    @property
    def has_after(self) -> bool:
        """Whether `after` does anything; if not, nobody need call it."""
        ...

    def after(self, outputs: Tensors) -> Tensors:
        """What the caller gets for one request's rows of the outputs. Raises as `before` does."""
        ...


def find_pipeline(source: ModelSource, runtime: Runtime) -> tuple[Runtime, Pipeline | None]:
    """The model's pipeline, if it has one, and the runtime to be used with it.

    Raises BadModel if what is beside the model does not go with it or with its settings.
    """
    code, tokenizer = source.beside(PIPELINE_FILE), source.beside(TOKENIZER_FILE)
    config = source.config
    if code is None and (config.inputs or config.outputs):
        key = "inputs" if config.inputs else "outputs"
        raise BadModel(
            f"{source.path}: its {CONFIG_FILE} has [[{key}]], "
            f"but there is no {PIPELINE_FILE} that would make them; add it, or remove them."
        )
    if config.text is not None and (code is not None or tokenizer is None):
        why = f"no {TOKENIZER_FILE}" if code is None else f"a {PIPELINE_FILE}, which does it all"
        raise BadModel(f"{source.path}: its {CONFIG_FILE} has [text], but there is {why}.")
    if code is not None:
        return runtime, UserPipeline(source, code, runtime.signature)
    if tokenizer is not None:
        text = TextPipeline(source, tokenizer, runtime.signature)
        return TextRuntime(source, runtime, text.padding), text
    return runtime, None
