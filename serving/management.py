"""What the protocol lets callers ask and do beside inference, for every door the same.

Answers are plain dictionaries: JSON as they are, and what gRPC's messages are made of.
"""

from collections.abc import Mapping
from typing import Any

from .engine import Engine
from .example import model_example
from .metadata import model_metadata, server_metadata
from .model_config import model_config
from .model_statistics import model_statistics
from .observe.report import Reports
from .observe.statistics import StatisticsSnapshot, snapshot_of
from .observe.totals import Totals
from .protocol import InvalidRequest

READY = "READY"
INDEX = ("name", "version", "state", "reason")


class Management:
    """Everything about an engine's models but running them.

    What names a model raises ModelNotFound, and ModelNotReady if it does not answer now.
    """

    def __init__(self, engine: Engine, reports: Reports | None = None) -> None:
        """reports: what all processes say that serve together, if this is not the only one."""
        self._engine, self._reports = engine, reports

    def server(self) -> dict[str, Any]:
        """What this server is."""
        return server_metadata()

    def models(self) -> list[str]:
        """The name of every model, ready or not."""
        return list(self._engine.models())

    def metadata(self, name: str, version: str | None) -> dict[str, Any]:
        """What a model takes and gives."""
        model = self._engine.model(name, version)
        return model_metadata(model, self._engine.versions(name))

    def example(self, name: str, version: str | None) -> dict[str, Any]:
        """A request that a model answers."""
        return model_example(self._engine.model(name, version))

    def config(self, name: str, version: str | None) -> dict[str, Any]:
        """A model's ModelConfig."""
        deployment = self._engine.deployment(name, version)
        return model_config(deployment, self._engine.settings.max_queue_rows)

    async def statistics(
        self, name: str | None = None, version: str | None = None
    ) -> dict[str, Any]:
        """What has been counted, for one version, all versions of a model, or all of all.

        Raises OthersSilent if other processes count too and do not say what.
        """
        if name is None:
            asked = [(each, one) for each in self.models() for one in self._engine.versions(each)]
        elif version is None:
            self._engine.deployment(name, None)  # says what is wrong with it
            asked = [(name, one) for one in self._engine.versions(name)]
        else:
            asked = [(name, version)]
        deployments = [self._engine.deployment(*each) for each in asked]
        counted = await self._counted_by_all() if self._reports else {}
        return {
            "model_stats": [
                model_statistics(
                    each.name,
                    each.version,
                    counted.get((each.name, each.version)) or each.statistics.snapshot(),
                )
                for each in deployments
            ]
        }

    async def _counted_by_all(self) -> dict[tuple[str, str], StatisticsSnapshot]:
        """By name and version, of all processes together."""
        assert self._reports is not None
        return {
            (one["name"], one["version"]): snapshot_of(Totals.of_values(one["totals"]))
            for one in (await self._reports())["models"]
            if one["totals"] is not None
        }

    def index(self, ready: bool = False) -> list[dict[str, str]]:
        """Every version of every model with its state; only those that answer, if `ready`."""
        return [
            {key: str(value) for key in INDEX if (value := getattr(status, key))}
            for status in self._engine.index()
            if not ready or status.state == READY
        ]

    async def load(self, name: str, parameters: Mapping[str, object]) -> None:
        """Load a model, or load it anew; it answers when this returns.

        Raises InvalidRequest for any parameter; and AdminOff, BadModel.
        """
        for key in parameters:
            if key == "config" or key.startswith("file:"):
                raise InvalidRequest(
                    f"parameters.{key[:40]}: models and their settings are read from the server's "
                    "own repository only; change them there, and load without parameters"
                )
            raise InvalidRequest(f"parameters.{key[:40]}: not known; load takes no parameters")
        await self._engine.load_model(name)

    async def unload(self, name: str, parameters: Mapping[str, object]) -> None:
        """Unload a model: it takes no new requests, and those that it has are answered.

        Raises InvalidRequest for parameters that are not the protocol's; and AdminOff.
        """
        for key, value in parameters.items():
            if key != "unload_dependents":
                raise InvalidRequest(
                    f"parameters.{key[:40]}: not known; unload takes unload_dependents"
                )
            # Whatever is said is done: no model depends on another one here.
            if not isinstance(value, bool):
                raise InvalidRequest("parameters.unload_dependents: expected true or false")
        await self._engine.unload_model(name)
