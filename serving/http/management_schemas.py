"""The JSON of configuration, statistics and repository, for the documentation."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class TensorConfig(BaseModel):
    """What inputs and outputs have in common."""

    name: str
    data_type: str = Field(description="TYPE_FP32 and so on; TYPE_STRING for BYTES")
    dims: list[int] = Field(description="Without the batch axis, if max_batch_size is above 0")
    is_shape_tensor: bool


class InputConfig(TensorConfig):
    """An input."""

    format: str
    allow_ragged_batch: bool = Field(description="Rows of different lengths ride together")
    optional: bool


class OutputConfig(TensorConfig):
    """An output."""

    label_filename: str


class LatestVersions(BaseModel):
    """The newest."""

    num_versions: int


class SpecificVersions(BaseModel):
    """By number."""

    versions: list[int]


class VersionPolicy(BaseModel):
    """Which versions are served; one of these."""

    latest: LatestVersions | None = None
    all: dict[str, Any] | None = None
    specific: SpecificVersions | None = None


class InstanceGroup(BaseModel):
    """Runs at one time."""

    name: str
    kind: str
    count: int
    gpus: list[int]


class QueuePolicy(BaseModel):
    """How long, and how many rows, may wait."""

    timeout_action: str
    default_timeout_microseconds: int
    allow_timeout_override: bool
    max_queue_size: int = Field(description="In rows")


class DynamicBatching(BaseModel):
    """Requests ride together; chosen by what batches cost, so there is little to set."""

    preferred_batch_size: list[int]
    max_queue_delay_microseconds: int
    preserve_ordering: bool
    priority_levels: int
    default_priority_level: int
    default_queue_policy: QueuePolicy


class TransactionPolicy(BaseModel):
    """One answer a request."""

    decoupled: bool


class ResponseCache(BaseModel):
    """Whether answers are kept."""

    enable: bool


class ConfigParameter(BaseModel):
    """What else was found out."""

    string_value: str


class ModelConfig(BaseModel):
    """How a model is served, in the protocol's words."""

    name: str
    platform: str
    backend: str
    version_policy: VersionPolicy
    max_batch_size: int = Field(description="Rows of the largest batch; 0 if nothing is batched")
    input: list[InputConfig]
    output: list[OutputConfig]
    instance_group: list[InstanceGroup]
    default_model_filename: str
    model_transaction_policy: TransactionPolicy
    response_cache: ResponseCache
    parameters: dict[str, ConfigParameter]
    dynamic_batching: DynamicBatching | None = Field(
        default=None, description="Not there if nothing is batched"
    )


class Duration(BaseModel):
    """How often, and nanoseconds in all."""

    count: int
    ns: int


class InferenceStatistics(BaseModel):
    """Summed over requests."""

    success: Duration
    fail: Duration
    queue: Duration
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration
    cache_hit: Duration
    cache_miss: Duration


class BatchStatistics(BaseModel):
    """Summed over the batches of one size."""

    batch_size: int
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration


class ModelStatistics(BaseModel):
    """What a model has done since it was loaded."""

    name: str
    version: str
    last_inference: int = Field(description="Milliseconds since 1970; 0 if there was none")
    inference_count: int = Field(description="Rows")
    execution_count: int = Field(description="Runs of the model")
    inference_stats: InferenceStatistics
    response_stats: dict[str, Any]
    batch_stats: list[BatchStatistics]
    memory_usage: list[Any]


class Statistics(BaseModel):
    """One entry for each version of each model that was asked about."""

    model_stats: list[ModelStatistics]


class ModelIndex(BaseModel):
    """One version of one model; only its name, if it was never loaded."""

    name: str
    version: str | None = None
    state: Literal["READY", "UNAVAILABLE", "LOADING", "UNLOADING"] | None = None
    reason: str | None = None


class IndexBody(BaseModel):
    """Which to list."""

    ready: bool = Field(default=False, description="Only what answers")


class LoadParameters(BaseModel):
    """None is taken: what is loaded is in the server's own repository."""

    model_config = ConfigDict(extra="forbid")


class LoadBody(BaseModel):
    """May be left out."""

    parameters: LoadParameters = Field(default_factory=LoadParameters)


class UnloadParameters(BaseModel):
    """What the protocol knows."""

    model_config = ConfigDict(extra="forbid")

    unload_dependents: bool = Field(default=False, description="No model has any")


class UnloadBody(BaseModel):
    """May be left out."""

    parameters: UnloadParameters = Field(default_factory=UnloadParameters)


class Loaded(BaseModel):
    """The model answers."""

    name: str
    load: bool


class Unloaded(BaseModel):
    """The model answers no more."""

    name: str
    unload: bool
