"""What can be run, and running it. No HTTP, no queues.

`find_models` finds, `load` loads, the Registry keeps the book of what is there.
"""

from .allocator import give_back_memory
from .config import ModelConfig
from .errors import (
    BadModel,
    InvalidInput,
    ModelError,
    ModelNotFound,
    ModelNotReady,
    PipelineFailed,
)
from .machine import divide_cores, usable_cores
from .pipeline import Pipeline, Prepared
from .profile import Profile
from .proof import Proof
from .registry import Entry, Model, ModelState, Registry, load
from .repository import ZOO, ModelSource, find_model, find_models, places
from .runtime import Runtime
from .signature import Array, Checked, Signature, Tensors, TensorSpec

__all__ = [
    "ZOO",
    "Array",
    "BadModel",
    "Checked",
    "Entry",
    "InvalidInput",
    "Model",
    "ModelConfig",
    "ModelError",
    "ModelNotFound",
    "ModelNotReady",
    "ModelSource",
    "ModelState",
    "Pipeline",
    "PipelineFailed",
    "Prepared",
    "Profile",
    "Proof",
    "Registry",
    "Runtime",
    "Signature",
    "TensorSpec",
    "Tensors",
    "divide_cores",
    "find_model",
    "find_models",
    "give_back_memory",
    "load",
    "places",
    "usable_cores",
]
