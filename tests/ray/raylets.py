"""A Ray cluster of several raylets on this machine, led over stdin and stdout.

    python -m tests.ray.raylets '{"machines": 2, "dashboard": false}'

Says where it is, in a line of JSON; then answers each line with one. It ends, and all of it,
when stdin does: so when whoever started it dies, too. Each raylet has an address of its own,
127.0.0.2 and so on, as if it were a machine.
"""

import contextlib
import json
import logging
import sys
from typing import Any

import ray
from ray import serve
from ray.cluster_utils import Cluster

from tests.support.server import free_port

STORE = 80 * 2**20


class Machines:
    """A head that works nothing, and some machines of one CPU each."""

    def __init__(self, machines: int, *, dashboard: bool) -> None:
        head: dict[str, Any] = {"num_cpus": 0, "object_store_memory": STORE}
        head["node_ip_address"] = "127.0.0.2"
        head["include_dashboard"] = dashboard
        self.dashboard = ""
        if dashboard:
            port = free_port()
            head |= {"dashboard_host": "127.0.0.1", "dashboard_port": port}
            self.dashboard = f"http://127.0.0.1:{port}"
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self._nodes = [
            self._cluster.add_node(
                num_cpus=1, object_store_memory=STORE, node_ip_address=f"127.0.0.{3 + number}"
            )
            for number in range(machines)
        ]
        self.address: str = self._cluster.address
        ray.init(self.address, log_to_driver=False, logging_level=logging.ERROR)

    def running(self) -> int:
        """Replicas of all applications that answer."""
        applications = serve.status().applications.values()
        states = [one.replica_states for app in applications for one in app.deployments.values()]
        return sum(count for one in states for state, count in one.items() if state == "RUNNING")

    def settled(self) -> bool:
        """Whether every application is as it was last asked for."""
        applications = serve.status().applications.values()
        parts = [one for app in applications for one in app.deployments.values()]
        return bool(parts) and all(
            one.status.value in ("RUNNING", "HEALTHY") for one in [*applications, *parts]
        )

    def kill(self, actor: str) -> str:
        """SIGKILL the raylet of a machine that has such an actor, the head's excepted."""
        nodes = {node.node_id: node for node in self._nodes}
        for one in ray._private.state.actors().values():
            node = one["Address"]["NodeID"]
            if actor in one["ActorClassName"] and one["State"] == "ALIVE" and node in nodes:
                self._nodes.remove(nodes[node])
                self._cluster.remove_node(nodes[node], allow_graceful=False)
                return str(node)
        raise LookupError(f"no machine has a {actor}")

    def close(self) -> None:
        ray.shutdown()
        self._cluster.shutdown()


def main() -> None:
    out, sys.stdout = sys.stdout, sys.stderr
    machines = Machines(**json.loads(sys.argv[1]))
    with contextlib.closing(machines):
        print(json.dumps([machines.address, machines.dashboard]), file=out, flush=True)
        for line in sys.stdin:
            what, *arguments = json.loads(line)
            try:
                answer = {"is": getattr(machines, what)(*arguments)}
            except Exception as error:
                answer = {"error": repr(error)}
            print(json.dumps(answer), file=out, flush=True)


if __name__ == "__main__":
    main()
