"""Keeps a replica's internal port on loopback.

Ray Serve 2.60 opens a gRPC port in each replica for calls between deployments, on all interfaces, whatever address
Ray itself is bound to; there is no setting for it, it asks for no token, and it unpickles what it is sent. On one
machine nobody outside needs it. So in a replica of such a cluster, before that port is opened, the function that
opens it is wrapped. This is the project's only patch of another package.

Flows in: the environment of the replica. Flows out: nothing.
"""

from __future__ import annotations

import os
from typing import Any


def keep_replica_on_loopback() -> None:
    """Make this replica's internal port listen on 127.0.0.1, if Ray is on this machine alone."""
    if os.environ.get("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER") != "0":
        return
    from ray.serve._private import replica

    add_port = replica.add_port_to_grpc_server

    def add_loopback_port(server: Any, address: str, *rest: Any, **more: Any) -> Any:
        return add_port(server, address.replace("[::]", "127.0.0.1"), *rest, **more)

    replica.add_port_to_grpc_server = add_loopback_port
