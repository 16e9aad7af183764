"""An archive whose patches lie in a tar does what one of folders does. It is read and packed by two tasks of Ray."""

from __future__ import annotations

import io
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.archives.bigearthnet_v2 import IMAGES
from pipelines.errors import ArchiveError
from pipelines.packing.ingest import ingest
from tests.pipelines.archives.archive_suite import PATCHES, Content
from tests.pipelines.archives.v2_suite import FolderSuite


@pytest.mark.usefixtures("ray_session")
class TestTar(FolderSuite):
    kind = replace(FolderSuite.kind, alone=FolderSuite.kind.alone | {"table": f"no archive here: {IMAGES}/ is missing"})

    @classmethod
    def lay(cls, content: Content, folder: Path) -> Path:
        folder.mkdir(parents=True)
        tar = io.BytesIO()
        with tarfile.open(fileobj=tar, mode="w") as members:
            for name, data in content.items():
                if name.startswith(IMAGES):
                    member = tarfile.TarInfo(name)
                    member.size = len(data)
                    members.addfile(member, io.BytesIO(data))
                else:
                    (folder / name).write_bytes(data)
        if len(content) > 1:
            (folder / f"{IMAGES}.tar").write_bytes(tar.getvalue())
        return folder

    def test_links_that_run_in_circles_are_not_followed(self, source: Path, tmp_path: Path) -> None:
        """In a tar there may be none."""
        archive = self.lay(self.table(PATCHES) | self.pixels(PATCHES), tmp_path / "archive")
        with tarfile.open(archive / f"{IMAGES}.tar", "a") as members:
            up = tarfile.TarInfo(f"{IMAGES}/up")
            up.type, up.linkname = tarfile.SYMTYPE, "."
            members.addfile(up)
        with pytest.raises(ArchiveError, match=r"up\" is a symbolic link"):
            ingest(self.settings(archive, tmp_path / "out"))
