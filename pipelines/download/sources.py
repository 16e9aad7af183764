"""What can be downloaded by name, as one frozen table; and a source made from a URL that somebody gives.

Flows in: a version's name, or a URL. Flows out: a `Source` a file: its name, address, checksum and size.

BigEarthNet v2 is Zenodo's record 10891137, v1 its record 12687186; both under CDLA-Permissive-1.0. Zenodo publishes an
MD5 and a size of each file. Where they were read: for v2's archive in several repositories that quote the record or
check downloads against it, and its size in the Content-Range of an answer; for v2's tables likewise, and computed from
the files themselves. v1's MD5 is the one that torchgeo checks downloads against, and that a user of it computed
(torchgeo, pull request 550); its size is in TensorFlow Datasets' checksums, and was seen in Zenodo's Content-Length.
"""

from __future__ import annotations

import re
import urllib.parse
from dataclasses import dataclass
from types import MappingProxyType

import httpx

from pipelines.errors import InputError

_CHECKSUM = re.compile(r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}")
_V2 = "https://zenodo.org/records/10891137/files"
_V1 = "https://zenodo.org/records/12687186/files"


@dataclass(frozen=True)
class Source:
    """A file to fetch: `checksum` is `md5:…` or `sha256:…`, or empty if unknown; `bytes` is None if unknown."""

    name: str
    url: str
    checksum: str = ""
    bytes: int | None = None

    @property
    def algorithm(self) -> str:
        """What to hash the file with: md5, or sha256, also where no checksum is known."""
        return self.checksum.partition(":")[0] or "sha256"

    @property
    def is_tar(self) -> bool:
        """Whether its name says that it holds files."""
        return self.name.endswith((".tar", ".tar.gz", ".tgz", ".tar.zst"))

    @property
    def shown(self) -> str:
        """The URL as messages may show it."""
        return shown(self.url)


SOURCES: MappingProxyType[str, tuple[Source, ...]] = MappingProxyType(
    {
        "v2": (
            Source(
                "metadata.parquet",
                f"{_V2}/metadata.parquet",
                "md5:55687065e77b6d0b0f1ff604a6e7b49c",
                3_616_349,
            ),
            Source(
                "metadata_for_patches_with_snow_cloud_or_shadow.parquet",
                f"{_V2}/metadata_for_patches_with_snow_cloud_or_shadow.parquet",
                "md5:fe31856f4986d446c9468b59d6387c91",
                710_162,
            ),
            Source(
                "BigEarthNet-S2.tar.zst",
                f"{_V2}/BigEarthNet-S2.tar.zst",
                "md5:2245ed2d1a93f6ce637d839bc856396e",
                63_251_710_377,
            ),
        ),
        "v1": (
            Source(
                "BigEarthNet-S2-v1.0.tar.gz",
                f"{_V1}/BigEarthNet-S2-v1.0.tar.gz",
                "md5:5a64e9ce38deb036a435a7b59494924c",
                70_032_164_579,
            ),
        ),
    }
)
"""By version, the small files first: what is wrong with the way to the server shows before 60 GB are under way."""


def source_of(url: str, checksum: str = "") -> Source:
    """The file behind a URL, under the last part of its path.

    Raises:
        InputError: not an http(s) URL, it names no file, or the checksum has another form than it should.
    """
    try:
        parsed = httpx.URL(url)
        host = parsed.host
    except (httpx.InvalidURL, TypeError, UnicodeError):  # the last: a host that is no international name
        raise InputError("not a URL", where="--url", hint="Such as https://example.org/archive.tar.zst.") from None
    if parsed.scheme not in ("http", "https") or not host:
        raise InputError(
            f'"{parsed.scheme}" is not fetched from' if parsed.scheme else "not a URL",
            where="--url",
            hint="Give one that starts with https:// or http://.",
        )
    name = urllib.parse.unquote(parsed.raw_path.decode("ascii").partition("?")[0].rpartition("/")[2])
    if not name or name.startswith(".") or not name.isprintable() or set(name) & set("/\\") or len(name) > 200:
        raise InputError("does not end in a file's name", where=shown(url), hint="Give the URL of one file.")
    if checksum and not _CHECKSUM.fullmatch(checksum.lower()):
        raise InputError(
            "not a checksum", where="--checksum", hint="Such as md5: and 32, or sha256: and 64 hex digits."
        )
    return Source(name, url, checksum.lower())


def shown(url: str | httpx.URL) -> str:
    """A URL without what may be secret in it: user, password, query and fragment."""
    parsed = httpx.URL(url)
    port = f":{parsed.port}" if parsed.port else ""
    return f"{parsed.scheme}://{parsed.host}{port}{parsed.path}"
