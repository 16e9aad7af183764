"""A Ray cluster apart from the tests' own, as `ray start --head` makes one: for drivers that may die, and for jobs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipelines.cluster import LOOPBACK_ENV
from tests.e2e.sockets import processes_below
from tests.fakes import free_port

RAY = str(Path(sys.executable).with_name("ray"))
PORTS = ("port", "dashboard-port", "ray-client-server-port", "dashboard-agent-listen-port")


@contextmanager
def ray_head(folder: Path, num_cpus: int, *, jobs: bool = False, **more: str) -> Iterator[dict[str, str]]:
    """Yields the environment of a process that joins it once it answers, or with `jobs` of one that submits some;
    `more` is what it has in its own too."""
    ports = {name: free_port() for name in PORTS}
    plain = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    environment = plain | LOOPBACK_ENV | {"RAY_TMPDIR": str(folder)} | more
    flags = [f"--{name}={port}" for name, port in ports.items()]
    flags += [f"--num-cpus={num_cpus}", "--dashboard-host=127.0.0.1", f"--include-dashboard={str(jobs).lower()}"]
    with started([RAY, "start", "--head", "--block", *flags], folder / "log", environment) as process:
        joined = environment | {"RAY_ADDRESS": f"127.0.0.1:{ports['port']}"}
        if jobs:
            joined = environment | {"RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{ports['dashboard-port']}"}
        answers = [RAY, *(("job", "list") if jobs else ("status",))]
        while subprocess.run(answers, env=joined, capture_output=True).returncode:
            assert process.poll() is None, (folder / "log").read_text()
            time.sleep(0.2)
        yield joined


@contextmanager
def started(command: list[str], log: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A `ray start --block` that says it has started. A node gives its own agents 15 s to come up, which may be too
    little where cores are busy, and ends: so it is told again."""
    for _ in range(5):
        with open(log, "w") as said:
            process = subprocess.Popen(
                command, env=environment, stdout=said, stderr=subprocess.STDOUT, start_new_session=True
            )
        while process.poll() is None and "Ray runtime started" not in log.read_text():
            time.sleep(0.2)
        if process.poll() is None or "imed out" not in log.read_text():
            break
        end(process)
    try:
        assert process.poll() is None, log.read_text()
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill it and all that it started: told to end, it would wait half a minute for its drivers."""
    for pid in processes_below(process.pid):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait(timeout=60)
