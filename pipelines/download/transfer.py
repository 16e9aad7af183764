"""One URL to one file, over whatever the network does: resumed, never spliced, and named only once it is known whole.

Flows in: a `Source`, an HTTP client and a folder. Flows out: the file, its checksum verified; or one error that says
what the server did, with the bytes so far kept for the next run.

What is asked for is the rest (`Range`) of the same file (`If-Range`). An answer is appended only if it says that it
starts where the part ends, and is of the same size, ETag and date; anything else is started over. A body that ends
early is gone on with. A wrong checksum costs one more fetch from the start.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx

from pipelines.download.partial_file import Part
from pipelines.download.responses import AgainError, Terms, open_answer, terms_of
from pipelines.download.sources import Source
from pipelines.errors import InputError, ServiceError

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there, and how many there will be, if that is known."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds: pauses are drawn between 0 and the first, doubled with every try, up to the longest."""

LONGEST_WAIT = 900.0
"""Seconds: a server that asks for more patience than this is not waited for."""

_KEPT = "What is there is kept: run the same again to go on."


@dataclass(frozen=True)
class Fetched:
    """A file that is there. `verified`: its checksum is the expected one; `fetched`: it was not there before."""

    path: Path
    bytes: int
    checksum: str
    verified: bool
    fetched: bool

    def as_dict(self) -> dict[str, str | int | bool]:
        """For a report."""
        return asdict(self) | {"path": str(self.path)}


@dataclass(frozen=True)
class Patience:
    """How often and how long to try; the clockwork is passed in.

    `tries`: in a row that bring nothing new. `sleep`: waits so many seconds. `now`: seconds since 1970. `draw`: a
    number from [0, 1). `tell`: called with a phrase whenever something went wrong that is tried again.
    """

    tries: int = 8
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.time
    draw: Callable[[], float] = random.random
    tell: Callable[[str], None] = lambda _: None


def fetch(
    source: Source,
    folder: Path,
    client: httpx.Client,
    patience: Patience = Patience(),
    progress: Progress = lambda *_: None,
) -> Fetched:
    """Fetch one file into a folder. Whoever calls this sees to it that no other process does meanwhile.

    Args:
        source: what to fetch; `bytes`, where known, must be what the server says.
        folder: must be there.
        client: must not follow redirects by itself.
        patience: how to try again.
        progress: told of every chunk, and while hashing what an earlier run left.

    Raises:
        NotFoundError, InputError: the server has no such file, or does not give it to everybody.
        InputError: another file has that name already.
        ServiceError: the server brought nothing new so many times, something else than it stated, or the wrong bytes.
        StorageError: no room. What is there is kept.
    """
    path = folder / source.name
    if path.exists():
        return _already_there(path, source, progress)
    with Part(path, source.algorithm) as part:
        part.load(source.shown, progress)
        for first in (True, False):
            _fill(part, source, client, patience, progress)
            if source.checksum in ("", part.checksum):
                part.finish()
                return Fetched(path, part.size, part.checksum, bool(source.checksum), True)
            found = part.checksum
            part.discard()
            if first:
                patience.tell(f"{source.name} came with the wrong checksum; fetching it once more")
    raise ServiceError(
        f"checksum is {found}, expected {source.checksum}",
        where=source.shown,
        hint="It was fetched twice. The server has another file than this, or the checksum is another file's.",
    )


def _already_there(path: Path, source: Source, progress: Progress) -> Fetched:
    if not path.is_file():
        raise InputError("is in the way: it is no file", where=str(path), hint="Choose another folder.")
    total = path.stat().st_size
    digest, done = hashlib.new(source.algorithm, usedforsecurity=False), 0
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
            done += len(block)
            progress(done, total)
    checksum = f"{source.algorithm}:{digest.hexdigest()}"
    if source.checksum not in ("", checksum):
        raise InputError(
            f"is there already, but its checksum is {checksum}, expected {source.checksum}",
            where=str(path),
            hint="Move it away, or choose another folder.",
        )
    return Fetched(path, total, checksum, bool(source.checksum), False)


def _fill(part: Part, source: Source, client: httpx.Client, patience: Patience, progress: Progress) -> None:
    """Try until the part is whole."""
    failures, most = 0, part.size
    while not (part.stamp and part.stamp.size == part.size):
        try:
            _try_once(part, source, client, patience, progress)
        except AgainError as trouble:
            failures = 0 if part.size > most else failures + 1
            most = max(most, part.size)
            _pause(trouble, failures, source, patience)
        else:
            return


def _pause(trouble: AgainError, failures: int, source: Source, patience: Patience) -> None:
    if failures >= patience.tries:
        raise ServiceError(
            f"{trouble}; that was try {failures} without anything new", where=source.shown, hint=_KEPT
        ) from None
    if trouble.wait > LONGEST_WAIT:
        minutes = f"{trouble.wait / 60:,.0f} minutes"
        raise ServiceError(f"{trouble}; the server asks to wait {minutes}", where=source.shown, hint=_KEPT) from None
    pause = max(trouble.wait, patience.draw() * min(LONGEST_PAUSE, FIRST_PAUSE * 2**failures))
    patience.tell(f"{source.name}: {trouble}; trying again in {pause:.0f} s")
    patience.sleep(pause)


def _try_once(part: Part, source: Source, client: httpx.Client, patience: Patience, progress: Progress) -> None:
    """One request, and all of its answer.

    Raises:
        AgainError: it did not bring the part to its end.
    """
    part.make_room(source.bytes)
    with open_answer(client, source.url, _headers(part, source), patience.now) as answer:
        terms = terms_of(answer, source)
        _take_up(part, terms, patience)
        total = terms.stamp.size if part.stamp is None or part.stamp.size is None else part.stamp.size
        part.make_room(total)
        if total is None and not (terms.framed or source.checksum):
            raise ServiceError(
                "the server does not say how long the file is, so that a file cut off could not be told",
                where=source.shown,
                hint="Give its --checksum.",
            )
        _read_body(answer, part, source, total, progress)


def _headers(part: Part, source: Source) -> dict[str, str]:
    """Ask for the rest, if another file's answer could be told: by a validator now, or by the checksum later."""
    if not (part.size and part.stamp and (part.stamp.validator or source.checksum)):
        return {}
    validator = part.stamp.validator
    return {"Range": f"bytes={part.size}-"} | ({"If-Range": validator} if validator else {})


def _take_up(part: Part, terms: Terms, patience: Patience) -> None:
    """Go on with the part, or begin it, as the answer's terms allow."""
    if terms.start == 0:
        if part.size:
            patience.tell(f"{part.path.name}: the server sends the whole file, not the rest; starting over")
        part.begin(terms.stamp)
    elif terms.start != part.size or part.stamp is None or not part.stamp.agrees(terms.stamp):
        part.discard()
        raise AgainError("the server did not send the rest of the same file; starting over")


def _read_body(answer: httpx.Response, part: Part, source: Source, total: int | None, progress: Progress) -> None:
    try:
        for chunk in answer.iter_raw():
            if total is not None and part.size + len(chunk) > total:
                part.discard()
                raise ServiceError(f"the server sends more than the {total:,} bytes it stated", where=source.shown)
            part.append(chunk)
            progress(part.size, total)
    except httpx.TransportError as error:
        raise AgainError.after(error) from None
    if total is not None and part.size < total:
        raise AgainError(f"cut off after {part.size:,} of {total:,} bytes")
