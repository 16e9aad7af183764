"""The download: an archive's files from where they are published to a folder, verified; and unpacked, if wanted.

Flows in: `DownloadSettings`. Flows out: the files under their names in the folder, each with its checksum.

    OUT/metadata.parquet, OUT/metadata_for_patches_…, OUT/BigEarthNet-S2.tar.zst     v2
    OUT/BigEarthNet-S2-v1.0.tar.gz                                                   v1
    OUT/BigEarthNet-S2/ or OUT/BigEarthNet-v1.0/                                     with `--unpack`
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx

from pipelines.download.sources import SOURCES, Source, source_of
from pipelines.download.transfer import Fetched, Patience, fetch
from pipelines.errors import InputError, SettingsError
from pipelines.files import exclusive
from pipelines.settings import DownloadSettings
from pipelines.tar.unpack import unpack

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in all; 0 in all means that nobody knows."""

LOCK = ".download.lock"

_THIS_MACHINE = ("127.0.0.1", "localhost", "::1")


def download(
    settings: DownloadSettings,
    progress: Progress | None = None,
    *,
    patience: Patience | None = None,
    transport: httpx.BaseTransport | None = None,
) -> list[Fetched]:
    """Fetch what the settings name. What is there already and right is not fetched again.

    Args:
        settings: unpacking is `unpack_archives`'.
        progress: told of the bytes of all files together.
        patience: clock, sleep and chance; by default the real ones, with the settings' `tries`.
        transport: what carries the requests, in place of the network.

    Raises:
        SettingsError, InputError: the settings contradict each other, or name nothing that can be fetched.
        BusyError: another process downloads into this folder.
        ServiceError, StorageError: see `fetch`.
    """
    sources = _sources(settings)
    patience = patience or Patience(tries=settings.tries)
    shares = _shares(sources, progress)
    with _locked(settings.out), _client(settings, sources, transport) as client:
        return [
            fetch(source, settings.out, client, patience, share) for source, share in zip(sources, shares, strict=True)
        ]


def unpack_archives(settings: DownloadSettings, progress: Progress | None = None) -> int:
    """Unpack the archives among what `download` has fetched, into the same folder; returns how many files they hold.

    Raises:
        ArchiveError, InputError, StorageError: see `unpack`.
        BusyError: another process downloads into this folder.
    """
    archives = [settings.out / source.name for source in _sources(settings) if source.is_tar]
    with _locked(settings.out):
        return sum(unpack(archive, settings.out, progress) for archive in archives)


def next_command(settings: DownloadSettings) -> str:
    """What to type next; empty where that depends on what the URL's file is."""
    out = shlex.quote(str(settings.out))
    if settings.unpack or (settings.version == "v2" and not settings.url):  # v2 is ingested from its tar
        return f"landsweep data ingest {out} shards"
    return "" if settings.url else f"landsweep data download {out} --version {settings.version} --unpack"


def _sources(settings: DownloadSettings) -> tuple[Source, ...]:
    if not settings.url:
        if settings.checksum:
            raise SettingsError("has no --url", where="--checksum", hint="Checksums of the versions are known.")
        return SOURCES[settings.version]
    if "version" in settings.model_fields_set:
        raise SettingsError("--version and --url exclude each other", where="command line", hint="Give one of them.")
    source = source_of(settings.url, settings.checksum)
    if settings.unpack and not source.is_tar:
        raise SettingsError(f"{source.name} is no tar", where="--unpack", hint="Leave it out.")
    return (source,)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = exclusive(folder / LOCK, f"a download into {folder}")
        with lock:
            yield
    except (FileExistsError, NotADirectoryError, PermissionError) as error:
        reason = (error.strerror or "cannot be written").lower()
        raise InputError(reason, where=str(error.filename or folder), hint="Choose another folder.") from None


def _client(
    settings: DownloadSettings, sources: tuple[Source, ...], transport: httpx.BaseTransport | None
) -> httpx.Client:
    # A server on this machine is not reached through a proxy, whatever the environment says.
    through_proxy = any(httpx.URL(source.url).host not in _THIS_MACHINE for source in sources)
    # The bytes of the file are wanted, and nothing compressed for the way.
    headers = {"User-Agent": "landsweep", "Accept-Encoding": "identity"}
    return httpx.Client(timeout=settings.timeout, headers=headers, transport=transport, trust_env=through_proxy)


def _shares(sources: tuple[Source, ...], progress: Progress | None) -> list[Callable[[int, int | None], None]]:
    """What the progress of each file is reported to, so that `progress` gets that of all."""
    done = [0] * len(sources)
    totals = [source.bytes for source in sources]

    def report(at: int, here: int, total: int | None) -> None:
        done[at], totals[at] = here, total if totals[at] is None else totals[at]
        if progress:
            known = [each for each in totals if each is not None]
            progress(sum(done), sum(known) if len(known) == len(totals) else 0)

    return [partial(report, at) for at in range(len(sources))]
