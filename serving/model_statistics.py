"""A model's statistics as the protocol spells them, from what was counted."""

from typing import Any

from .observe.statistics import StatisticsSnapshot

DURATIONS = (
    "success",
    "fail",
    "queue",
    "compute_input",
    "compute_infer",
    "compute_output",
    "cache_hit",
    "cache_miss",
)
"""Clients expect each of them, counted or not."""


def model_statistics(name: str, version: str, counted: StatisticsSnapshot) -> dict[str, Any]:
    """One entry of `model_stats`, as JSON has it and as gRPC's message takes it.

    Durations are a count and nanoseconds; those of `batch_stats` are summed over batches,
    all others over requests.
    """
    return {
        "name": name,
        "version": version,
        # Milliseconds since 1970; 0 where there was none.
        "last_inference": counted.last_inference_ms,
        # Rows, and runs of the model: their quotient is the mean batch.
        "inference_count": counted.inference_count,
        "execution_count": counted.execution_count,
        "inference_stats": {key: getattr(counted, key)._asdict() for key in DURATIONS},
        "response_stats": {},
        "batch_stats": [
            {
                "batch_size": size.batch_size,
                "compute_input": size.compute_input._asdict(),
                "compute_infer": size.compute_infer._asdict(),
                "compute_output": size.compute_output._asdict(),
            }
            for size in counted.batch_stats
        ],
        "memory_usage": [],
    }
