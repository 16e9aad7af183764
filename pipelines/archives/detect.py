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
from pipelines.archives.blocks import deal_blocks, metres
from pipelines.archives.catalogue import SPLITS, Catalogue, drop
from pipelines.archives.labelled import read_labelled
from pipelines.archives.mistaken import no_folder, not_scenes
from pipelines.archives.own_split import complete_split, deal_validation
from pipelines.archives.patch_files import Layout
from pipelines.archives.places import places_of
from pipelines.archives.split import SHARES, deal_parts
from pipelines.archives.subset import draw_subset, parse_subset
from pipelines.bands import SENTINEL2, parse_bands
from pipelines.dataset.manifest import BandColumn
from pipelines.errors import SettingsError
from pipelines.location import Location, locate, reach
from pipelines.pixels.meaning import REFLECTANCE
from pipelines.settings import IngestSettings
from pipelines.tables.csv_cells import find_table


def read_archive(settings: IngestSettings) -> Catalogue:
    """Find out what an archive is, and what of it is to be packed.

    Raises:
        ArchiveError: no archive there, its tables are damaged or contradict themselves, or too much of it is missing.
        BandError: a band is not in it.
        LabelError: its classes cannot be meant so, or are not those that were given.
        SettingsError: there is no such subset or split, or the patches cannot be dealt so.
        ServiceError: the object store does not answer.
    """
    source = locate(settings.source)
    reach(source)
    if not source.is_dir():
        raise no_folder(source)
    read = _read(source, settings)
    # By name first: what is drawn below must not hang on the order of the archive's table.
    by_name = read.take(np.argsort(read.rows["patch_id"].to_numpy(dtype=object), kind="stable"))
    catalogue = _subset(_split(by_name, settings), settings)
    return catalogue.take(np.random.default_rng([settings.seed, 1]).permutation(len(catalogue)))


def _read(source: Location, settings: IngestSettings) -> Catalogue:
    own = find_table(source) is not None
    kind = None if own else next((read for is_kind, read in _KINDS if is_kind(source)), None)
    if kind is None:
        if not own:
            not_scenes(source)
        return read_labelled(source, settings)
    if settings.names:
        raise SettingsError("BigEarthNet's bands have names", where="names", hint="Leave it out.")
    if settings.classes:
        raise SettingsError("BigEarthNet's classes are its own", where="classes", hint="Leave it out.")
    bands = parse_bands(settings.bands)
    columns = [BandColumn(name=band, size=SENTINEL2[band].size, numbers=REFLECTANCE) for band in bands]
    return kind(source, Layout(kind="files", bands=columns))


_KINDS = ((is_v2, read_v2), (is_v1, read_v1))


def _split(catalogue: Catalogue, settings: IngestSettings) -> Catalogue:
    """The archive's own split, made whole, or one that is dealt where it has none or another was asked for."""
    given = catalogue.rows["split"] != ""
    if settings.split == "official" and settings.fold:
        raise SettingsError("folds are dealt, and the archive's own split is asked for", where="fold", hint=_FOLD_HINT)
    if settings.split == "official" and not given.all():
        what = "the archive has no split of its own" if not given.any() else f"{(~given).sum()} patches have no split"
        raise SettingsError(what, where="split", hint="Use --split balanced.")
    if settings.split in ("auto", "official") and given.any() and not settings.fold:
        return deal_validation(complete_split(catalogue, settings.seed), settings.validation, settings.seed)
    dealt = _by_places(catalogue, settings) if settings.split == "places" else _at_random(catalogue, settings)
    return deal_validation(dealt, settings.validation, settings.seed)


_FOLD_HINT = "Leave --split out, or use --split places."


def _at_random(catalogue: Catalogue, settings: IngestSettings) -> Catalogue:
    """Patches dealt one by one, wherever they lie."""
    parts = deal_parts(catalogue.labels, settings.seed, _shares(settings))
    splits = np.array(SPLITS)[np.array(_roles(settings))[parts]]
    return catalogue.with_splits(splits).telling(
        "the split was dealt at random: neighbours on the map may lie in different splits, and scores come out better "
        "than on places that a model has not seen; --split places keeps them together"
    )


def _by_places(catalogue: Catalogue, settings: IngestSettings) -> Catalogue:
    """Whole blocks of the map dealt; what touches a patch of another split is left out."""
    shares, roles = _shares(settings), _roles(settings)
    dealt = deal_blocks(places_of(catalogue), catalogue.labels, settings.block, shares, settings.seed, roles)
    stays = dealt.splits >= 0
    beside = catalogue.rows["patch_id"][~stays].tolist()
    note = f"the split was dealt by {dealt.blocks:,} blocks of {metres(settings.block)}"
    if beside:
        note += (
            f"; {len(beside):,} patches that touch one of another split are left out: larger blocks (--block) keep more"
        )
    kept = catalogue.with_splits(np.array(SPLITS)[dealt.splits]).take(np.flatnonzero(stays))
    dropped = {reason: list(ids) for reason, ids in catalogue.dropped.items()}
    drop(dropped, "touches a patch of another split", beside)
    return replace(kept, dropped=dropped).telling(note)


def _shares(settings: IngestSettings) -> tuple[float, ...]:
    """Of training, validation and test; of folds, all alike."""
    folds = settings.folds
    return (1 / folds,) * folds if folds else SHARES


def _roles(settings: IngestSettings) -> list[int]:
    """The split that each part is, as its place in `SPLITS`: of folds, the one that is asked for is test, the next one
    validation, the others training."""
    if not settings.folds:
        return list(range(len(SPLITS)))
    roles, test = [0] * settings.folds, settings.fold_number - 1
    roles[test], roles[(test + 1) % settings.folds] = 2, 1
    return roles


def _subset(catalogue: Catalogue, settings: IngestSettings) -> Catalogue:
    size = parse_subset(settings.subset).size_of(len(catalogue))
    if size == len(catalogue):
        return catalogue
    splits = catalogue.rows["split"].map({name: code for code, name in enumerate(SPLITS)}).to_numpy(np.int64)
    countries = pd.factorize(catalogue.rows["country"])[0]
    drawn = draw_subset(catalogue.labels, splits, size, settings.seed, within=countries)
    return replace(catalogue.take(drawn), others=frozenset(catalogue.rows["patch_id"].drop(drawn)))
