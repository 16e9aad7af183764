"""A PostgreSQL of one's own: made in a temporary folder, on loopback, behind a password, and gone afterwards."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import free_port

USER, DATABASE = "landsweep", "postgres"


@dataclass(frozen=True)
class Server:
    """Where it listens, and what it asks for."""

    port: int
    password: str

    def url(self, password: str | None = None) -> str:
        """What SQLAlchemy is told; without a password, libpq looks into its password file."""
        account = f"{USER}:{password}" if password else USER
        return f"postgresql+psycopg://{account}@127.0.0.1:{self.port}/{DATABASE}"

    @property
    def pass_file(self) -> str:
        """A line of libpq's password file."""
        return f"127.0.0.1:{self.port}:{DATABASE}:{USER}:{self.password}\n"


@contextmanager
def postgres() -> Iterator[Server]:
    """Yields a server that answers. It refuses to be root's, so for root it is nobody's."""
    initdb, server, ready = (_program(name) for name in ("initdb", "postgres", "pg_isready"))
    whose: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
    found, folder = Server(free_port(), secrets.token_hex(16)), Path(tempfile.mkdtemp(prefix="postgres-"))
    try:
        (folder / "password").write_text(found.password)
        if whose:
            for path in (folder, folder / "password"):
                shutil.chown(path, whose["user"], whose["group"])
        account = [f"--username={USER}", f"--pwfile={folder / 'password'}", "--auth=scram-sha-256"]
        made = [initdb, "--no-sync", "--encoding=UTF8", "--locale=C", *account, f"--pgdata={folder / 'data'}"]
        subprocess.run(made, check=True, capture_output=True, cwd=folder, **whose)
        flags = ["-D", str(folder / "data"), "-h", "127.0.0.1", "-p", str(found.port), "-k", str(folder)]
        with open(folder / "log", "w") as log:
            process = subprocess.Popen([server, *flags, "-F"], stdout=log, stderr=log, cwd=folder, **whose)
        try:
            while subprocess.run([ready, "-q", "-h", "127.0.0.1", "-p", str(found.port)]).returncode:
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.1)
            yield found
        finally:
            process.send_signal(signal.SIGINT)  # a fast end: it cuts off who is still connected
            process.wait(timeout=60)
    finally:
        shutil.rmtree(folder)


def _program(name: str) -> str:
    """Debian keeps the server's programs off the path, a folder a version."""
    there = sorted(map(str, Path("/usr/lib/postgresql").glob(f"*/bin/{name}")))
    path = there[-1] if there else shutil.which(name)
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("no PostgreSQL under CI: `.ci/run` should have installed it")
        pytest.skip("no PostgreSQL here; on Debian: apt install postgresql")
    return path
