"""Who is there and listens where, read from /proc: the processes of one session and the addresses they listen on."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

LISTEN = "0A"


def still_there(pids: set[int], seconds: float = 60) -> set[int]:
    """Which of these processes have not gone after so long."""
    deadline = time.monotonic() + seconds
    while (left := {pid for pid in pids if Path(f"/proc/{pid}/cmdline").exists()}) and time.monotonic() < deadline:
        time.sleep(0.2)
    return left


def processes_below(root: int) -> set[int]:
    """A process and all its descendants, and whatever shares its session (Ray's daemons leave their parent)."""
    parents: dict[int, int] = {}
    sessions: dict[int, int] = {}
    for path in Path("/proc").iterdir():
        if path.name.isdecimal():
            try:
                fields = (path / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(path.name)], sessions[int(path.name)] = int(fields[1]), int(fields[3])
    found = {root} | {pid for pid, session in sessions.items() if session == root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def listening(pids: set[int]) -> dict[str, int]:
    """`address:port` of every TCP socket on which these processes listen, to the process."""
    owners: dict[str, int] = {}
    for pid in pids:
        try:
            for link in os.scandir(f"/proc/{pid}/fd"):
                owners[str(Path(link.path).readlink())] = pid
        except OSError:
            continue
    found = {}
    for table, family in (("/proc/net/tcp", socket.AF_INET), ("/proc/net/tcp6", socket.AF_INET6)):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            owner = owners.get(f"socket:[{fields[9]}]")
            if fields[3] == LISTEN and owner is not None:
                address, port = fields[1].split(":")
                found[f"{_readable(address, family)}:{int(port, 16)}"] = owner
    return found


def _readable(address: str, family: socket.AddressFamily) -> str:
    words = bytes.fromhex(address)
    packed = b"".join(words[i : i + 4][::-1] for i in range(0, len(words), 4))
    return socket.inet_ntop(family, packed)
