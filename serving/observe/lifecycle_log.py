"""What becomes of a model, in the log: in the words that `jitney inspect` has for it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models import Model, ModelSource, Profile

    from ..deployment import Deployment

logger = logging.getLogger("serving.models")


def threads_in_words(profile: Profile) -> str:
    """How many cores a run takes, and how many run at one time."""
    threads, slots = profile.threads, profile.slots
    runs = f"{slots} run{'s' if slots > 1 else ''} at one time"
    return f"{threads} thread{'s' if threads > 1 else ''} a run, {runs}"


def decided(model: Model) -> list[str]:
    """What was found out about a model, and what follows from it: a sentence each."""
    from ..curve import Curve

    profile = model.profile
    return [profile.proof.says, Curve(profile).words(), threads_in_words(profile)]


def log_loading(source: ModelSource) -> None:
    """It is being loaded."""
    logger.info(
        "%s (version %s): loading",
        source.name,
        source.version,
        extra={"event": "loading", "model": source.name, "version": source.version},
    )


def log_ready(deployment: Deployment) -> None:
    """It answers from now on."""
    profile, cost = deployment.model.profile, deployment.cost
    says = decided(deployment.model)
    logger.info(
        "%s (version %s): ready; %s",
        deployment.name,
        deployment.version,
        "; ".join(says),
        extra={
            "event": "ready",
            "model": deployment.name,
            "version": deployment.version,
            "batches": deployment.batching,
            "max_rows": deployment.max_rows,
            "cheapest_rows": {
                length: cost.cheapest_rows(deployment.max_rows, length)
                for length in sorted({length for _, length, _ in profile.samples})
            },
            "threads": profile.threads,
            "slots": profile.slots,
            "because": says,
        },
    )


def log_failed(source: ModelSource, why: str) -> None:
    """It cannot be loaded."""
    logger.error(
        "%s (version %s): cannot be loaded: %s",
        source.name,
        source.version,
        why,
        extra={"event": "failed", "model": source.name, "version": source.version},
    )


def log_unloaded(name: str, version: str) -> None:
    """It does not answer any more, and its memory is free."""
    logger.info(
        "%s (version %s): unloaded",
        name,
        version,
        extra={"event": "unloaded", "model": name, "version": version},
    )
