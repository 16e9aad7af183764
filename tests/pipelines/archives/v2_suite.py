"""What archives of every kind must do alike, for those of BigEarthNet v2, whose patches lie in folders."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.archives.bigearthnet_v2 import IMAGES, METADATA
from tests.pipelines.archives.archive_suite import ArchiveSuite, Content, Kind, Made, Sizes


class FolderSuite(ArchiveSuite):
    kind = Kind(
        "BigEarthNet v2",
        without_row="no metadata row",
        without_files="missing folder",
        alone={"table": "the archive has no patch folders", "files": f"no archive here: {METADATA} is missing"},
        images=IMAGES,
        in_circles={"no metadata row": [IMAGES, "up"]},
    )

    @classmethod
    def table(cls, patches: Sequence[Made]) -> Content:
        rows = [{"patch_id": p.name, "labels": p.labels, "split": p.split, "country": p.country} for p in patches]
        target = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows), target)
        return {METADATA: target.getvalue()}

    @classmethod
    def files(cls, patch: Made) -> dict[str, Sizes]:
        place = f"{IMAGES}/{patch.name.split('_')[0]}/{patch.name}/{patch.name}"
        return {f"{place}_{band}.tif": {band: size} for band, size in cls.kind.sizes.items()}
