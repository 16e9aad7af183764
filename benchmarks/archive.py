"""An archive of any size for benchmarks, in BigEarthNet v2's layout, from real patches copied again and again.

    python -m benchmarks.archive ../shared/data OUT --patches 2000

Flows in: folders of real patches (v2's and v1's, 84 in all). Flows out: an archive of real bytes; every patch has
its own files, so that page cache and disk are asked for as much as by the real one. Copies follow each other in
turn, and a row group holds fewer rows than there are different patches, so that none compresses its twin.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer

from pipelines.labels import LABEL_NAMES


def write_archive(real: Path, out: Path, patches: int) -> Path:
    """Copy real patches until there are `patches`; labels are drawn, half of the patches are for training."""
    folders = sorted(real.glob("bigearthnet-v2/BigEarthNet-S2/*/*")) + sorted(real.glob("bigearthnet-v1/*/*"))
    kinds = [{path.name.rsplit("_", 1)[1]: path.read_bytes() for path in folder.glob("*.tif")} for folder in folders]
    rng = np.random.default_rng(0)
    rows = []
    for number in range(patches):
        tile = f"S2A_MSIL2A_20170613T101031_N9999_R022_T33U{number // 8100:02d}"
        patch_id = f"{tile}_{number % 8100 // 90:02d}_{number % 90:02d}"
        folder = out / "BigEarthNet-S2" / tile / patch_id
        folder.mkdir(parents=True)
        for band, data in kinds[number % len(kinds)].items():
            (folder / f"{patch_id}_{band}").write_bytes(data)
        labels = [name for name, on in zip(LABEL_NAMES, rng.random(len(LABEL_NAMES)) < 0.15, strict=True) if on]
        rows.append({"patch_id": patch_id, "labels": labels or [LABEL_NAMES[number % 19]], "country": "Austria"})
    splits = np.array(["train", "train", "validation", "test"])[np.arange(patches) % 4]
    table = pa.Table.from_pylist(rows).append_column("split", pa.array(splits))
    pq.write_table(table, out / "metadata.parquet")
    return out


def main(real: Path, out: Path, patches: Annotated[int, typer.Option()] = 2000) -> None:
    """Write the archive."""
    write_archive(real, out, patches)


if __name__ == "__main__":
    typer.run(main)
