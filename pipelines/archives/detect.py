"""An archive of any kind to a catalogue: told apart by what lies in it, split and thinned as the settings say.

Flows in: `IngestSettings`. Flows out: a `Catalogue` whose rows are in the order in which they will be packed: drawn by
lot within each split, so that any run of rows in a shard is a fair sample.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from pipelines.archives.bigearthnet_v1 import is_v1, read_v1
from pipelines.archives.bigearthnet_v2 import is_v2, read_v2
from pipelines.archives.catalogue import SPLITS, Catalogue
from pipelines.archives.labelled import TABLE, read_labelled
from pipelines.archives.patch_files import Layout, Told
from pipelines.archives.split import deal_splits
from pipelines.archives.subset import draw_subset, parse_subset
from pipelines.bands import SENTINEL2, parse_bands
from pipelines.dataset.manifest import BandColumn
from pipelines.errors import ArchiveError, SettingsError
from pipelines.location import Location, locate, reach
from pipelines.pixels.meaning import REFLECTANCE
from pipelines.settings import IngestSettings


def read_archive(settings: IngestSettings) -> Catalogue:
    """Find out what an archive is, and what of it is to be packed.

    Raises:
        ArchiveError: no archive there, or its tables are damaged or contradict themselves.
        BandError: a band is not in it.
        SettingsError: there is no such subset or split.
        ServiceError: the object store does not answer.
    """
    source = locate(settings.source)
    reach(source)
    if not source.is_dir():
        what = "not a folder" if source.is_file() else "no such folder"
        raise ArchiveError(what, where=str(source), hint="Give the archive's folder.")
    read = _read(source, settings)
    # By name first: what is drawn below must not hang on the order of the archive's table.
    by_name = read.take(np.argsort(read.rows["patch_id"].to_numpy(dtype=object), kind="stable"))
    catalogue = _subset(_split(by_name, settings), settings)
    return catalogue.take(np.random.default_rng([settings.seed, 1]).permutation(len(catalogue)))


def _read(source: Location, settings: IngestSettings) -> Catalogue:
    if (source / TABLE).is_file():
        return read_labelled(source, settings.bands, _list(settings.names), told_by(settings))
    if settings.names:
        raise SettingsError("BigEarthNet's bands have names", where="names", hint="Leave it out.")
    bands = parse_bands(settings.bands)
    columns = [BandColumn(name=band, size=SENTINEL2[band].size, numbers=REFLECTANCE) for band in bands]
    layout = Layout(kind="files", bands=columns)
    if is_v2(source):
        return read_v2(source, layout)
    if is_v1(source):
        return read_v1(source, layout)
    raise ArchiveError(
        "no archive here",
        where=str(source),
        hint=f"It must hold BigEarthNet v2 or v1, or GeoTIFFs and {TABLE}; see docs/data.md.",
    )


def _split(catalogue: Catalogue, settings: IngestSettings) -> Catalogue:
    """The archive's own split, or one that is dealt where it has none or another was asked for."""
    own = bool((catalogue.rows["split"] != "").all())
    if settings.split == "official" and not own:
        raise SettingsError("the archive has no split of its own", where="split", hint="Use --split balanced.")
    if own and settings.split != "balanced":
        return catalogue
    return catalogue.with_splits(deal_splits(catalogue.labels, settings.seed))


def _subset(catalogue: Catalogue, settings: IngestSettings) -> Catalogue:
    size = parse_subset(settings.subset).size_of(len(catalogue))
    if size == len(catalogue):
        return catalogue
    splits = catalogue.rows["split"].map({name: code for code, name in enumerate(SPLITS)}).to_numpy(np.int64)
    countries = pd.factorize(catalogue.rows["country"])[0]
    drawn = draw_subset(catalogue.labels, splits, size, settings.seed, within=countries)
    return replace(catalogue.take(drawn), others=frozenset(catalogue.rows["patch_id"].drop(drawn)))


def told_by(settings: IngestSettings) -> Told:
    """What the settings say of the files' numbers."""
    return Told(scale=settings.scale, offset=settings.offset, nodata=settings.nodata, unit=settings.unit)


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
