"""Tars of every kind that is read, and every way in which one is refused."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import random
import struct
import subprocess
import tarfile
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import ArchiveError
from pipelines.tar.members import Limits, Member, members

FORMATS = {"pax": tarfile.PAX_FORMAT, "gnu": tarfile.GNU_FORMAT, "ustar": tarfile.USTAR_FORMAT}
PACKED: dict[str, Callable[[bytes], bytes]] = {
    "tar": bytes,
    "gz": gzip.compress,
    "zst": zstandard.compress,
}
LETTERS = st.characters(codec="utf-8", exclude_characters="/\\:", categories=("L", "N", "P", "S"))
PARTS = st.text(LETTERS, min_size=1, max_size=60).filter(lambda part: part not in (".", "..") and part.isprintable())
NAMES = st.lists(PARTS, min_size=1, max_size=6).map("/".join)
FILES = st.dictionaries(NAMES, st.binary(max_size=2000), min_size=1, max_size=6)


def tar_of(*files: tuple[str, bytes], form: int = tarfile.GNU_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form, encoding="utf-8") as tar:
        for name, data in files:
            add(tar, name, data)
    return out.getvalue()


def add(tar: tarfile.TarFile, name: str, data: bytes = b"", **fields: object) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    for field, value in fields.items():
        setattr(member, field, value)
    tar.addfile(member, io.BytesIO(data))


def tar_with(name: str = "wrong", data: bytes = b"", **fields: object) -> bytes:
    """Two members, the second with a header of one's choice."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        add(tar, "sound", b"123")
        add(tar, name, data, **fields)
    return out.getvalue()


def read(data: bytes, limits: Limits = Limits()) -> list[Member]:  # noqa: B008  frozen
    return list(members(io.BytesIO(data), limits))


def refused(data: bytes, limits: Limits = Limits()) -> str:  # noqa: B008  frozen
    with pytest.raises(ArchiveError) as caught:
        read(data, limits)
    return str(caught.value)


@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize("form", ["pax", "gnu"])
@given(files=FILES)
def test_round_trip(form: str, packed: str, files: dict[str, bytes]) -> None:
    data = PACKED[packed](tar_of(*files.items(), form=FORMATS[form]))
    assert read(data) == [Member(*file) for file in files.items()]


@given(
    sizes=st.lists(st.integers(0, 3000), min_size=1, max_size=3), packed=st.sampled_from(sorted(PACKED)), data=st.data()
)
def test_nothing_but_the_whole_archive_is_taken(sizes: list[int], packed: str, data: st.DataObject) -> None:
    """Any truncation, of any compression. Blocks of zeros behind the end of a plain tar are nothing to lose."""
    files = [(str(at), bytes(size)) for at, size in enumerate(sizes)]
    whole = PACKED[packed](tar_of(*files))
    cut = data.draw(st.integers(0, len(whole) - 1))
    end = sum(512 + -(-size // 512) * 512 for size in sizes) + 2 * 512
    if packed == "tar" and cut >= end and cut % 512 == 0:
        assert read(whole[:cut]) == [Member(*file) for file in files]
    else:
        refused(whole[:cut])


@given(st.binary(max_size=600), st.sampled_from([b"", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18"]))
def test_garbage_is_refused(garbage: bytes, magic: bytes) -> None:
    refused(magic + garbage)


@given(st.integers(0, 10**9), st.integers(1, 255), st.sampled_from(["gz", "zst"]))
def test_flipped_bits_under_a_checksum_are_refused_or_change_nothing(at: int, flip: int, packed: str) -> None:
    files = [("a", random.Random(0).randbytes(2000)), ("b", b"1" * 700)]
    compressor = zstandard.ZstdCompressor(write_checksum=True)
    data = bytearray(compressor.compress(tar_of(*files)) if packed == "zst" else gzip.compress(tar_of(*files)))
    data[at % len(data)] ^= flip
    with contextlib.suppress(ArchiveError):
        assert read(bytes(data)) == [Member(*file) for file in files]


@pytest.mark.parametrize("form", FORMATS)
def test_long_names_are_read_in_every_format(form: str) -> None:
    files = [(f"{'f' * 60}/{'g' * 60}/{n}{'h' * 60}.tif", bytes([n])) for n in range(3)]
    assert read(tar_of(*files, form=FORMATS[form])) == [Member(*file) for file in files]


def test_tar_of_the_system_is_read(tmp_path: Path) -> None:
    """GNU tar's own, with folders, in every format that it writes."""
    folder = tmp_path / "Images" / ("long" * 20)
    folder.mkdir(parents=True)
    for n in range(3):
        (folder / f"{'name' * 20}{n}.tif").write_bytes(bytes([n]) * 1000)
    folder.chmod(0o2775)
    expected = {f"Images/{'long' * 20}/{'name' * 20}{n}.tif": bytes([n]) * 1000 for n in range(3)}
    for form in ("gnu", "oldgnu", "pax", "ustar"):
        for what, more in (("Images", []), (".", []), ("Images", ["-b", "1"])):
            made = subprocess.run(
                ["tar", "-c", "-H", form, *more, "-C", tmp_path, what], check=True, capture_output=True
            )
            assert dict(read(made.stdout)) == expected


def test_real_patches_pass_unchanged(real_data: Path, tmp_path: Path) -> None:
    images = real_data / "bigearthnet-v2" / "BigEarthNet-S2"
    files = [(str(path.relative_to(images.parent)), path.read_bytes()) for path in sorted(images.rglob("*.tif"))]
    path = tmp_path / "images.tar.zst"
    path.write_bytes(zstandard.compress(tar_of(*files)))
    assert list(members(path)) == [Member(*file) for file in files]


def test_names_are_tidied() -> None:
    out = tar_of(("./a", b"1"), ("b//c", b"2"), ("d/./e", b"3"))
    assert [member.name for member in read(out)] == ["a", "b/c", "d/e"]


def test_several_frames_and_skippable_ones_are_one_file() -> None:
    tar = tar_of(("a", bytes(5000)), ("b", b"12"))
    skippable = struct.pack("<II", 0x184D2A5E, 7) + b"comment"
    half = len(tar) // 2
    parts = [tar[:half], tar[half:]]
    assert [each.name for each in read(skippable + b"".join(map(zstandard.compress, parts)) + skippable)] == ["a", "b"]
    assert [each.name for each in read(b"".join(map(gzip.compress, parts)) + bytes(100))] == ["a", "b"]


@pytest.mark.parametrize("packed", PACKED)
def test_what_follows_the_end_is_refused(packed: str) -> None:
    tar = tar_of(("a", b"1"))
    refused(PACKED[packed](tar + b"1"))
    refused(PACKED[packed](tar + tar))
    refused(PACKED[packed](tar) + b"1")
    refused(PACKED[packed](tar) + tar)


def test_tar_without_its_end_is_refused() -> None:
    tar = tar_of(("a", b"1"), ("b", b"2"))
    for blocks in (1, 2, 3, 4, 5):
        assert "cut off" in refused(tar[: 512 * blocks])
    assert [member.name for member in read(tar[: 512 * 6])] == ["a", "b"]
    assert "no file in it" in refused(bytes(1024))
    assert "wiped out" in refused(tar[:1024] + bytes(512) + tar[1536:])


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": "../wrong"}, "points outside"),
        ({"name": "a/../../wrong"}, "points outside"),
        ({"name": "a/.."}, "points outside"),
        ({"name": ".."}, "points outside"),
        ({"name": "/wrong"}, "absolute"),
        ({"name": "//wrong"}, "absolute"),
        ({"name": "C:/wrong"}, "absolute"),
        ({"name": "c:wrong"}, "absolute"),
        ({"name": "C:\\wrong"}, "absolute"),
        ({"name": "\\\\server\\wrong"}, "absolute"),
        ({"name": "a\\..\\wrong"}, "not taken"),
        ({"name": "a\nwrong"}, "not taken"),
        ({"name": "a\x1b[31mwrong"}, "not taken"),
        ({"name": "a\udcffwrong"}, "not taken"),
        ({"name": "w" * 5000}, "not taken"),
        ({"name": "../wrong", "type": tarfile.DIRTYPE}, "points outside"),
        ({"name": "/wrong", "type": tarfile.DIRTYPE}, "absolute"),
        ({"type": tarfile.SYMTYPE, "linkname": "sound"}, "symbolic link"),
        ({"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "symbolic link"),
        ({"type": tarfile.SYMTYPE, "linkname": "../" * 60}, "symbolic link"),
        ({"type": tarfile.LNKTYPE, "linkname": "sound"}, "hard link"),
        ({"type": tarfile.LNKTYPE, "linkname": "../../etc/passwd"}, "hard link"),
        ({"type": tarfile.CHRTYPE}, "device"),
        ({"type": tarfile.BLKTYPE}, "device"),
        ({"type": tarfile.FIFOTYPE}, "pipe"),
        ({"type": tarfile.GNUTYPE_SPARSE}, "sparse"),
        ({"type": b"Z"}, "kind that is not read"),
        ({"mode": 0o4755}, "another user"),
        ({"mode": 0o2755}, "another user"),
        ({"name": "sound"}, "comes twice"),
        ({"name": "./sound"}, "comes twice"),
        ({"name": "wrong/", "type": tarfile.REGTYPE}, "folder's name"),
        ({"name": ".", "type": tarfile.REGTYPE}, "folder's name"),
        ({"data": b"1", "type": tarfile.DIRTYPE}, "bytes of its own"),
        ({"data": bytes(11)}, "has 11 bytes, more than 10"),
    ],
)
@pytest.mark.parametrize("packed", PACKED)
def test_member_is_refused_by_name(fields: dict[str, object], said: str, packed: str) -> None:
    message = refused(PACKED[packed](tar_with(**fields)), Limits(member=10))  # type: ignore[arg-type]  # each as it is
    assert said in message
    name = str(fields.get("name", "wrong"))
    assert f'member "{name[:20].rstrip("/")}' in message or not name.isprintable() or "comes twice" in said
    assert message.isprintable()


def test_members_before_the_wrong_one_are_given() -> None:
    stream = members(io.BytesIO(tar_with(name="../wrong")))
    assert next(stream) == Member("sound", b"123")
    with pytest.raises(ArchiveError):
        next(stream)


@pytest.mark.parametrize("records", [{"path": "../wrong"}, {"path": "/wrong"}, {"GNU.sparse.realsize": "99"}])
def test_extended_headers_cannot_smuggle(records: dict[str, str]) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        add(tar, "fine", b"1", pax_headers=records)
    assert "wrong" in refused(out.getvalue()) or "sparse" in refused(out.getvalue())


def test_global_header_may_comment_but_not_rename() -> None:
    for records, fine in (({"comment": "of git"}, True), ({"path": "other"}, False), ({"size": "9"}, False)):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, pax_headers=records) as tar:
            add(tar, "a", b"1")
        if fine:
            assert read(out.getvalue()) == [Member("a", b"1")]
        else:
            assert "renames" in refused(out.getvalue())


@pytest.mark.parametrize(
    "record", [b"\0", b"9 a=b", b"99 path=a\n", b"x path=a\n", b"0 path=a\n", b"7 size\n", b"11 size=-1\n"]
)
def test_damaged_extended_header_is_refused(record: bytes) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        add(tar, "x", record, type=tarfile.XHDTYPE)
        add(tar, "a", b"1")
    assert "extended header" in refused(out.getvalue())


def test_extended_header_without_its_member_is_refused() -> None:
    assert "no member" in refused(tar_with(name="x", data=b"10 path=a\n", type=tarfile.XHDTYPE))
    assert "no member" in refused(tar_with(name="././@LongLink", data=b"long", type=tarfile.GNUTYPE_LONGNAME))


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_extended_header_of_many_bytes_is_refused(kind: bytes) -> None:
    assert "header of 2,097,152 bytes" in refused(tar_with(data=bytes(2**21), type=kind))


def test_folders_of_the_old_form_are_folders() -> None:
    assert read(tar_with(name="wrong/", type=tarfile.AREGTYPE)) == [Member("sound", b"123")]


def test_size_that_is_no_size_is_refused() -> None:
    tar = bytearray(tar_of(("a", b"1")))
    for size in (b"-0000000001\0", b"99999999999\0", b"\xff" * 12, b"0x1        \0"):
        tar[124:136] = size
        tar[148:156] = b" " * 8
        tar[148:156] = b"%06o\0 " % sum(tar[:512])
        assert "not a tar" in refused(bytes(tar))


def test_size_of_a_petabyte_is_refused_before_it_is_read() -> None:
    tar = bytearray(tar_of(("a", b"1")))
    tar[124:136] = b"\x80" + (2**50).to_bytes(11, "big")
    tar[148:156] = b" " * 8
    tar[148:156] = b"%06o\0 " % sum(tar[:512])
    assert "has 1,125,899,906,842,624 bytes" in refused(bytes(tar))


def test_too_many_members_are_refused() -> None:
    tar = tar_of(*((str(n), b"") for n in range(4)))
    assert len(read(tar, Limits(members=4))) == 4
    assert "more than 3 files" in refused(tar, Limits(members=3))


def test_many_names_are_told_apart_and_found_again() -> None:
    """Enough for the table of names to grow several times."""
    names = [f"{n % 7}/{n}" for n in range(3000)]
    assert [member.name for member in read(tar_of(*((name, b"") for name in names)))] == names
    for twice in (names[0], names[1500], names[-1]):
        assert f'"{twice}" comes twice' in refused(tar_of(*((name, b"") for name in [*names, twice])))


@pytest.mark.parametrize("packed", ["gz", "zst"])
def test_expansion_beyond_measure_is_refused(packed: str) -> None:
    bomb = PACKED[packed](tar_of(("bomb", bytes(2**22))))
    assert "expand to over" in refused(bomb, Limits(slack=2**20))
    assert len(read(bomb)) == 1
    padded = PACKED[packed](tar_of(("a", b"")) + bytes(2**22))  # zeros behind the end count too
    assert "expand to over" in refused(padded, Limits(slack=2**20))


def test_bomb_takes_no_memory() -> None:
    bomb = zstandard.compress(tar_of(("a", b"1")) + bytes(2**28))
    tracemalloc.start()
    refused(bomb, Limits(slack=2**26))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**24


def test_more_than_the_frame_states_is_refused() -> None:
    tar = tar_of(("a", bytes(5000)))
    frame = bytearray(zstandard.compress(tar))
    assert zstandard.frame_content_size(bytes(frame)) == len(tar) == struct.unpack("<H", frame[5:7])[0] + 256
    for lie in (len(tar) - 512, len(tar) + 512):
        frame[5:7] = struct.pack("<H", lie - 256)
        assert "damaged" in refused(bytes(frame))


@pytest.mark.parametrize("log", [27, 28, 31])
def test_huge_window_is_refused_before_it_is_allocated(log: int) -> None:
    tar = tar_of(("a", b"1"))
    parameters = zstandard.ZstdCompressionParameters(window_log=log, compression_level=1, enable_ldm=False)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()  # of unknown size: no shrinking
    frame = compressor.compress(tar) + compressor.flush()
    assert zstandard.get_frame_parameters(frame).window_size == 2**log
    if log == 27:
        assert len(read(frame)) == 1
    else:
        assert f"window of {2**log // 2**20:,} MiB" in refused(frame)


def test_frame_in_one_segment_of_a_petabyte_is_refused() -> None:
    head = b"\x28\xb5\x2f\xfd" + bytes([0b11100000]) + (2**50).to_bytes(8, "little")
    assert "window" in refused(head + bytes(100))


def test_dictionary_is_refused() -> None:
    trained = zstandard.ZstdCompressionDict(b"x" * 1000, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    frame = bytearray(zstandard.ZstdCompressor(dict_data=trained).compress(tar_of(("a", b"1"))))
    frame[4] |= 1
    frame[5:5] = b"\x07"
    assert "dictionary" in refused(bytes(frame))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a tar"),
        (b"a text", "not a tar"),
        (b"PK\x03\x04" + bytes(600), "not a tar"),
        (gzip.compress(b"a text" * 200, mtime=0), "not a tar"),
        (zstandard.compress(b"a text" * 200), "not a tar"),
        (zstandard.compress(b""), "not a tar"),
    ],
)
def test_what_is_no_tar_is_called_so(content: bytes, said: str) -> None:
    assert said in refused(content) or "cut off" in refused(content)


def test_missing_archive_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"absent\.tar: no such file"):
        next(members(tmp_path / "absent.tar"))
    with pytest.raises(ArchiveError, match="is a directory"):
        next(members(tmp_path))


def test_memory_stays_flat_over_many_members() -> None:
    """Eight times as many members take no more than the 24 bytes of each more name."""

    def peak(count: int) -> int:
        tracemalloc.start()
        assert sum(1 for _ in members(io.BufferedReader(_Endless(count)))) == count
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert peak(8_000) - peak(1_000) < 8_000 * 24


class _Endless(io.RawIOBase):
    """A tar of empty files, made while it is read."""

    def __init__(self, count: int) -> None:
        self._blocks: Iterator[bytes] = self._make(count)
        self._left = b""

    def _make(self, count: int) -> Iterator[bytes]:
        for n in range(count):
            yield tarfile.TarInfo(f"folder/{n}").tobuf(tarfile.USTAR_FORMAT)
        yield bytes(1024)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # what BufferedReader passes
        self._left = self._left or next(self._blocks, b"")
        size = min(len(self._left), len(buffer))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size


def test_pipe_is_read_as_well(tmp_path: Path) -> None:
    """A stream that cannot seek, and gives less than it is asked for."""
    path = tmp_path / "a.tar.zst"
    path.write_bytes(zstandard.compress(tar_of(("a", os.urandom(200_000)))))
    with subprocess.Popen(["cat", path], stdout=subprocess.PIPE, bufsize=0) as cat:
        assert cat.stdout is not None
        assert [len(member.data) for member in members(cat.stdout)] == [200_000]
