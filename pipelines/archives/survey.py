"""A look at some files from all over a folder, so that what is wrong with a set is said before it is packed.

Flows in: places of patches and a way to fetch their files. Flows out: what each file looked at is, and after it is
known how they are to be read, a refusal where too many cannot be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

from pipelines.archives.patch_files import Fetch, Layout, read_patch
from pipelines.errors import ArchiveError, PatchError
from pipelines.pixels.raster import read_raster
from pipelines.spellings import only_numbered

LOOKED_AT = 128
"""Files, at most."""

_SURE = 3.0
"""Standard deviations of a share that was seen in a sample."""


class Seen(NamedTuple):
    """One file: its bands, height and width, and what it calls its bands (None where it does not name all), or what
    is wrong with it."""

    file: str
    shape: tuple[int, int, int] = (0, 0, 0)
    names: tuple[str, ...] | None = None
    fault: str = ""

    @property
    def size(self) -> str:
        """`33×32 px`, width first."""
        return f"{self.shape[2]}×{self.shape[1]} px"


def some_of(names: Sequence[str]) -> list[str]:
    """At most `LOOKED_AT`, from all over the alphabet."""
    return sorted(names)[:: -(-len(names) // LOOKED_AT) or 1]


def look(files: Sequence[str], fetch: Fetch) -> list[Seen]:
    """Read files one after the other, as far as they can be.

    Raises:
        ServiceError: the object store does not answer.
    """
    return [_look(file, fetch) for file in files]


def _look(file: str, fetch: Fetch) -> Seen:
    try:
        raster = read_raster(fetch(file))
    except PatchError as error:
        return Seen(file, fault=error.what)
    except OSError as error:
        return Seen(file, fault=(error.strerror or "cannot be read").lower())
    bands, height, width = raster.pixels.shape
    named = raster.names and not only_numbered(raster.names)
    return Seen(file, (bands, height, width), raster.names if named else None)


def refuse_bad(
    layout: Layout, places: Sequence[str], fetch: Fetch, seen: Sequence[Seen], total: int, max_bad: float
) -> list[str]:
    """Read some patches as they will be read, and refuse the set if too many cannot be.

    Args:
        layout: how they are read.
        places: of the patches that were looked at.
        fetch: reads a file.
        seen: what is known of these files.
        total: patches there are.
        max_bad: `IngestSettings.max_bad`.

    Returns:
        What is to be told of those that cannot be read, where these are few enough.

    Raises:
        ArchiveError: more than `max_bad` of all cannot be read, or it is sure to be so from those looked at.
    """
    bad: dict[str, list[str]] = {}
    for place in places:
        try:
            read_patch(layout, place, fetch)
        except PatchError as error:
            bad.setdefault(f"{error.what}: {error.where}" if error.where else error.what, []).append(place)
    number = sum(map(len, bad.values()))
    if not number:
        return []
    sizes = {each.file: each.size for each in seen if not each.fault}
    told = "; ".join(f"{reason}: {len(files)}, such as {_shown(files[0], sizes)}" for reason, files in bad.items())
    of = f"of {total}" if len(places) == total else f"of {len(places)} looked at"
    if number < len(places) and not too_many(number, len(places), total, max_bad):
        return [f"{number} patches {of} cannot be read and will be left out: {told}"]
    raise ArchiveError(
        f"{number} patches {of} cannot be read ({told}){_most_are(sizes)}",
        hint=f"Mend or remove them, or bring all to one form; --max-bad {max_bad:g} is the share that may be left out.",
    )


def too_many(bad: int, looked_at: int, total: int, max_bad: float) -> bool:
    """Whether more than a share of all are bad: for certain, or as good as that from those looked at."""
    share = bad / looked_at
    surely = share - _SURE * sqrt(share * (1 - share) / looked_at)
    return bad > max_bad * total or (looked_at < total and surely > max_bad)


def _shown(file: str, sizes: dict[str, str]) -> str:
    return f"{file} ({sizes[file]})" if file in sizes else file


def _most_are(sizes: dict[str, str]) -> str:
    counts = Counter(sizes.values()).most_common()
    return "; sizes are " + ", ".join(f"{size} ({number})" for size, number in counts) if len(counts) > 1 else ""
