"""Unpacking: whole or not at all, inside its folder, and going on where it was interrupted."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

import pytest
import zstandard

from pipelines.errors import ArchiveError, InputError, StorageError
from pipelines.tar.unpack import unpack
from tests.small_disk import grow, small_disk

ROOT = Path(__file__).parents[3]


def write_tar(path: Path, files: dict[str, bytes], *, more: bytes = b"") -> Path:
    out = BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, BytesIO(data))
    path.write_bytes(zstandard.compress(out.getvalue() + more))
    return path


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


NOISE = random.Random(0).randbytes(300_000)
FILES = {f"Images/{n % 3}/{n}.tif": NOISE[1000 * n :][:1000] for n in range(300)} | {"note.txt": b"about", "empty": b""}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return write_tar(tmp_path / "images.tar.zst", FILES)


def test_files_are_written_under_their_names_alone(archive: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    assert unpack(archive, tmp_path / "out", lambda done, total: seen.append((done, total))) == len(FILES)
    assert tree(tmp_path / "out") == FILES
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["Images", "empty", "note.txt"]
    assert len(seen) == 2 and seen[-1] == (archive.stat().st_size,) * 2


def test_unpacking_again_writes_nothing(archive: Path, tmp_path: Path) -> None:
    unpack(archive, tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    assert unpack(archive, tmp_path / "out") == len(FILES)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before


def test_refused_archive_leaves_nothing(tmp_path: Path) -> None:
    wrong = write_tar(tmp_path / "wrong.tar.zst", FILES | {"../outside": b"1"})
    cut = tmp_path / "cut.tar.zst"
    cut.write_bytes(write_tar(tmp_path / "sound.tar.zst", FILES).read_bytes()[:-1])
    for path in (wrong, cut, write_tar(tmp_path / "more.tar.zst", FILES, more=b"more")):
        with pytest.raises(ArchiveError):
            unpack(path, tmp_path / "out")
        assert list((tmp_path / "out").iterdir()) == []
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize("last", ["Images/0", "Images/0/0.tif/inside", "x" * 300, ".unpacking-other/file"])
def test_name_that_cannot_be_a_file_is_refused(tmp_path: Path, last: str) -> None:
    with pytest.raises(ArchiveError, match='member "'):
        unpack(write_tar(tmp_path / "a.tar.zst", FILES | {last: b"1"}), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_what_is_there_already_is_kept_and_completed(archive: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "Images" / "1").mkdir(parents=True)
    (out / "Images" / "1" / "1.tif").write_bytes(FILES["Images/1/1.tif"])
    (out / "Images" / "mine.txt").write_bytes(b"mine")
    unpack(archive, out)
    assert tree(out) == FILES | {"Images/mine.txt": b"mine"}


def test_other_content_is_never_overwritten(archive: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "elsewhere").write_bytes(FILES["note.txt"])
    for number, make in enumerate(
        (
            lambda path: path.write_bytes(b"mine!"),  # of the same length
            lambda path: path.mkdir(),
            lambda path: path.symlink_to(tmp_path / "elsewhere"),
            lambda path: os.mkfifo(path),
        )
    ):
        make(out / "note.txt")
        with pytest.raises(InputError, match="is there already"):
            unpack(archive, out)
        (out / "note.txt").rename(tmp_path / f"kept-{number}")
    unpack(archive, out)
    assert tree(out) == FILES


def test_links_in_the_folder_are_not_written_through(archive: Path, tmp_path: Path) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    out.mkdir()
    elsewhere.mkdir()
    (out / "Images").symlink_to(elsewhere)
    with pytest.raises(InputError, match="in the archive's way"):
        unpack(archive, out)
    assert list(elsewhere.iterdir()) == []


def test_interrupted_run_goes_on_and_shows_nothing_before_its_end(archive: Path, tmp_path: Path) -> None:
    """kill -9 in the middle; a file cut off by it is written again, one that was whole is not."""
    out = tmp_path / "out"
    halting = (
        "import sys; from pathlib import Path; from pipelines.tar.unpack import unpack; "
        "unpack(Path(sys.argv[1]), Path(sys.argv[2]), lambda *_: (print('halfway', flush=True), input()))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", halting, archive, out], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"halfway\n"
        process.kill()
    assert 255 <= len(list(out.rglob("*.tif"))) < 300
    (aside,) = out.iterdir()
    assert aside.name.startswith(".unpacking-")
    whole, cut = aside / "Images" / "0" / "0.tif", aside / "Images" / "1" / "1.tif"
    written = whole.stat().st_mtime_ns
    cut.write_bytes(cut.read_bytes()[:500])
    unpack(archive, out)
    assert tree(out) == FILES
    assert (out / "Images" / "0" / "0.tif").stat().st_mtime_ns == written


def test_leftovers_of_another_archive_of_that_name_are_not_mixed_in(tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = write_tar(tmp_path / "a.tar.zst", {"old": b"1"})
    state = first.stat()
    aside = out / f".unpacking-a.tar.zst-{state.st_size:x}-{state.st_mtime_ns:x}"
    aside.mkdir(parents=True)
    (aside / "old").write_bytes(b"1")
    unpack(write_tar(tmp_path / "a.tar.zst", {"new": b"22"}), out)
    assert tree(out) == {"new": b"22"}


def test_full_disk_keeps_what_was_written_and_goes_on_with_room(archive: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path) as disk:
        with pytest.raises(StorageError, match=r"disk is full before all of images\.tar\.zst"):
            unpack(archive, disk)
        assert [path.name[:11] for path in disk.iterdir()] == [".unpacking-"]
        grow(disk)
        unpack(archive, disk)
        assert tree(disk) == FILES
