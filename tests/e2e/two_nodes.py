"""A cluster of two machines on one: each node in a network namespace of its own, with a cable between the two.

Nothing outside sees either, no address of this machine is used, and both are gone with the processes that hold them.
What the nodes share is the disk, as machines do that mount the same one.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.sockets import processes_below
from tests.ray_head import RAY, end, started

HEAD, WORKER = "10.77.0.1", "10.77.0.2"

_ROOT = Path(__file__).parents[2]
_OWN = [] if os.geteuid() == 0 else ["--user"]
"""Who is not root may have namespaces too, inside one where they are."""


@dataclass(frozen=True)
class Node:
    """A machine: the process that holds its network, and the environment of what runs on it."""

    holder: int
    environment: dict[str, str]

    def inside(self, *command: str) -> list[str]:
        """The command line that runs a command on this machine."""
        preserve = ["--preserve-credentials"] if _OWN else []
        return ["nsenter", *_OWN, *preserve, "--net", "--target", str(self.holder), *command]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command on this machine to its end."""
        return subprocess.run(self.inside(*command), env=self.environment, cwd=_ROOT, capture_output=True, text=True)


@dataclass(frozen=True)
class Cluster:
    """Two nodes, the second of which may die: `ray` is its process."""

    head: Node
    ray: subprocess.Popen[bytes]

    def busy(self) -> list[str]:
        """What Ray's workers of the second node are at; its own agents are called as they are."""
        names = [_name(pid) for pid in processes_below(self.ray.pid)]
        return [name for name in names if name.startswith("ray::") and not name.endswith(("IDLE", "Agent"))]

    def kill_worker(self) -> None:
        """The second node loses its power."""
        end(self.ray)


@contextmanager
def two_nodes(folder: Path, num_cpus: int = 1) -> Iterator[Cluster]:
    """Yields a cluster of two nodes once both are there, each with so many CPUs. It asks for a token.

    Args:
        folder: for what Ray keeps; with a short name, as sockets lie in it.
    """
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    plain = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    plain |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), "RAY_USAGE_STATS_ENABLED": "0"}
    plain |= {"RAY_ADDRESS": f"{HEAD}:6379", "PYTHONPATH": str(_ROOT)}
    with ExitStack() as stack:
        first = Node(stack.enter_context(_holder([])), plain | {"RAY_TMPDIR": str(folder / "a")})
        second = Node(stack.enter_context(_holder(first.inside())), plain | {"RAY_TMPDIR": str(folder / "b")})
        _cable(first, second)
        of_head = ["--head", f"--node-ip-address={HEAD}", "--port=6379", "--include-dashboard=false"]
        stack.enter_context(_ray(first, num_cpus, *of_head))
        other = stack.enter_context(_ray(second, num_cpus, f"--address={HEAD}:6379", f"--node-ip-address={WORKER}"))
        assert first.run(RAY, "status").stdout.count(" node_") == 2
        yield Cluster(first, other)


@contextmanager
def _holder(inside: list[str]) -> Iterator[int]:
    """A process that keeps a new network for as long as it lives; those who may have none are told so."""
    own = [] if inside else [*_OWN, *(["--map-root-user"] if _OWN else [])]
    command = [*inside, "unshare", *own, "--net", "sleep", "infinity"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        while _name(process.pid) != "sleep infinity":
            if process.poll() is not None:
                pytest.skip(f"this machine gives no network namespaces: {process.communicate()[1].strip()}")
            time.sleep(0.05)
        yield process.pid
    finally:
        process.kill()
        process.communicate()


def _cable(first: Node, second: Node) -> None:
    steps = [(first, f"link add eth0 type veth peer name eth0 netns {second.holder}")]
    for node, address in ((first, HEAD), (second, WORKER)):
        steps += [(node, "link set lo up"), (node, f"address add {address}/24 dev eth0"), (node, "link set eth0 up")]
        # Ray asks for the way to a public address to learn its own; no packet is sent.
        steps += [(node, "route add default dev eth0")]
    for node, step in steps:
        done = node.run("ip", *step.split())
        assert done.returncode == 0, f"ip {step}: {done.stderr}"


def _ray(node: Node, num_cpus: int, *flags: str) -> AbstractContextManager[subprocess.Popen[bytes]]:
    folder = Path(node.environment["RAY_TMPDIR"])
    folder.mkdir()
    environment = {key: value for key, value in node.environment.items() if key != "RAY_ADDRESS"}
    sizes = [f"--num-cpus={num_cpus}", "--object-store-memory=150000000"]
    return started(node.inside(RAY, "start", "--block", *sizes, *flags), folder / "log", environment)


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
