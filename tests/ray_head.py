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
    command = [RAY, "start", "--head", "--block", *flags]
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        joined = environment | {"RAY_ADDRESS": f"127.0.0.1:{ports['port']}"}
        if jobs:
            joined = environment | {"RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{ports['dashboard-port']}"}
        answers = [RAY, *(("job", "list") if jobs else ("status",))]
        while subprocess.run(answers, env=joined, capture_output=True).returncode:
            assert process.poll() is None, (folder / "log").read_text()
            time.sleep(0.2)
        yield joined
    finally:
        for pid in processes_below(process.pid):  # told to end, it would wait half a minute for its drivers
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait(timeout=60)
