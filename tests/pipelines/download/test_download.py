"""The download against a real server that cuts, lies, stalls and changes; against kill -9, and against full disks."""

from __future__ import annotations

import email.utils
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import time
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import httpx
import pytest
import zstandard

from pipelines.download.download import LOCK, download, next_command, unpack_archives
from pipelines.download.sources import SOURCES, Source, shown, source_of
from pipelines.download.transfer import Fetched, Patience, fetch
from pipelines.errors import (
    BusyError,
    InputError,
    LandsweepError,
    NotFoundError,
    ServiceError,
    SettingsError,
    StorageError,
)
from pipelines.files import exclusive
from pipelines.settings import DownloadSettings
from tests.pipelines.download.faulty_server import Fault, Server, serving
from tests.small_disk import grow, small_disk

ROOT = Path(__file__).parents[3]
CONTENT = random.Random(0).randbytes(300_000)
OTHER = random.Random(1).randbytes(300_000)
MD5 = "md5:" + hashlib.md5(CONTENT).hexdigest()
SHA256 = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


NOW = 1_700_000_000.0
"""What the clock says, in seconds since 1970."""


def run(
    server: Server, out: Path, checksum: str = MD5, *, tries: int = 3, waits: list[float] | None = None, **more: object
) -> Fetched:
    """Download the server's file without waiting between tries; what would have been waited is put into `waits`."""
    settings = DownloadSettings.parse({"out": out, "url": server.url, "checksum": checksum, **more})
    waited: list[float] = [] if waits is None else waits
    clockwork = Patience(tries=tries, sleep=waited.append, now=lambda: NOW, draw=lambda: 0.5)
    (found,) = download(settings, patience=clockwork)
    return found


def refused(kind: type[LandsweepError], server: Server, out: Path, checksum: str = MD5, **more: object) -> str:
    with pytest.raises(kind) as caught:
        run(server, out, checksum, **more)  # type: ignore[arg-type]  # `more` is `tries` or settings
    assert not (out / "file.bin").exists()
    return str(caught.value)


def broken() -> list[Fault]:
    """What leaves a part of 100,000 bytes, and ends a download of one try."""
    return [Fault(cut=100_000), Fault(status=500)]


def part_of(out: Path) -> bytes:
    return (out / "file.bin.part").read_bytes()


@pytest.mark.parametrize("checksum", [MD5, SHA256, ""])
def test_file_arrives_whole_under_its_name_alone(tmp_path: Path, checksum: str) -> None:
    with serving(CONTENT) as server:
        found = run(server, tmp_path, checksum)
    assert found == Fetched(tmp_path / "file.bin", len(CONTENT), checksum or SHA256, bool(checksum), True)
    assert found.path.read_bytes() == CONTENT
    assert {path.name for path in tmp_path.iterdir()} == {"file.bin", LOCK}


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_cut_connection_is_gone_on_with_where_it_was_cut(tmp_path: Path, framing: str) -> None:
    faults = [Fault(cut=100_000, framing=framing), Fault(cut=50_000), Fault(cut=0)]
    with serving(CONTENT, faults) as server:
        assert run(server, tmp_path).path.read_bytes() == CONTENT
    assert server.ranges == ["", "bytes=100000-", "bytes=150000-", "bytes=150000-"]
    assert [headers.get("if-range") for headers in server.asked] == [None, '"one"', '"one"', '"one"']


def test_silent_server_is_not_waited_for(tmp_path: Path) -> None:
    """It says nothing more as long as it is there: whoever waited for it would wait for ever."""
    with serving(CONTENT, [Fault(cut=100_000, stall=True)]) as server:
        assert run(server, tmp_path, timeout=1, tries=20).path.read_bytes() == CONTENT
    assert len(server.asked) > 1


def test_server_without_ranges_is_asked_for_everything_again(tmp_path: Path) -> None:
    with serving(CONTENT, [Fault(cut=100_000), Fault(ignore_range=True)]) as server:
        assert run(server, tmp_path, "").path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    "lie",
    [
        Fault(shift=-10, range_start=99_990),
        Fault(shift=10, range_start=100_010),
        Fault(range_size=300_001),
        Fault(range_size=200_000),
        Fault(stated=10, cut=10),
        Fault(headers={"Content-Range": "bytes=100000-299999"}, range_start=5, range_size="x"),
        Fault(headers={"ETag": '"two"'}),
    ],
)
def test_wrong_range_is_never_spliced(tmp_path: Path, lie: Fault) -> None:
    """Without a checksum, so that only the headers can tell."""
    with serving(CONTENT, [Fault(cut=100_000), lie]) as server:
        assert run(server, tmp_path, "").path.read_bytes() == CONTENT
    assert server.ranges == ["", "bytes=100000-", ""]


def test_range_of_unknown_size_is_taken_only_on_a_checksum(tmp_path: Path) -> None:
    faults = [Fault(cut=100_000, framing="chunked"), Fault(range_size="*", framing="chunked")]
    with serving(CONTENT, list(faults)) as server:
        assert run(server, tmp_path / "a").path.read_bytes() == CONTENT
        server.faults = list(faults)
        assert "--checksum" in refused(ServiceError, server, tmp_path / "b", "")


@pytest.mark.parametrize("fault", [Fault(), Fault(ignore_if_range=True)])
def test_file_that_changed_in_between_is_started_over(tmp_path: Path, fault: Fault) -> None:
    """Whether the server heeds If-Range or not, and also if only the date tells."""
    for etag, changed in (('"one"', '"two"'), ("", "")):
        with serving(OTHER, broken()) as server:
            server.etag, server.modified = etag, "Mon, 01 Jan 2024 00:00:00 GMT"
            refused(ServiceError, server, tmp_path, "", tries=1)
            server.content, server.etag, server.modified = CONTENT, changed, "Tue, 02 Jan 2024 00:00:00 GMT"
            server.faults = [fault]
            assert run(server, tmp_path, "").path.read_bytes() == CONTENT
        (tmp_path / "file.bin").unlink()


def test_part_without_a_validator_is_gone_on_with_only_on_a_checksum(tmp_path: Path) -> None:
    for checksum, second in ((MD5, "bytes=100000-"), ("", "")):
        with serving(CONTENT, [Fault(cut=100_000)]) as server:
            server.etag = 'W/"weak"'
            out = tmp_path / checksum.replace(":", "-")
            assert run(server, out, checksum).path.read_bytes() == CONTENT
            assert server.ranges == ["", second]
            assert "if-range" not in server.asked[1]


@pytest.mark.parametrize("left", [100_000, 300_000, 300_001])
def test_part_of_another_url_is_not_used(tmp_path: Path, left: int) -> None:
    with serving(OTHER, broken()) as server:
        refused(ServiceError, server, tmp_path, tries=1)
    (tmp_path / "file.bin.part").write_bytes((OTHER + b"1")[:left])
    with serving(CONTENT) as server:  # another port is another URL
        assert run(server, tmp_path, "").path.read_bytes() == CONTENT
        assert server.ranges == [""]


@pytest.mark.parametrize("note", [None, b"", b"{}", b'{"url": 1}'])
def test_part_without_a_sound_note_is_not_used(tmp_path: Path, note: bytes | None) -> None:
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:100_000])
    if note is not None:
        (tmp_path / "file.bin.part.json").write_bytes(note)
    with serving(CONTENT) as server:
        assert run(server, tmp_path).path.read_bytes() == CONTENT
        assert server.ranges == [""]


def test_part_that_is_too_long_is_started_over(tmp_path: Path) -> None:
    with serving(CONTENT, broken()) as server:
        refused(ServiceError, server, tmp_path, tries=1)
        (tmp_path / "file.bin.part").write_bytes(CONTENT + b"1")
        assert run(server, tmp_path, "").path.read_bytes() == CONTENT


def test_wrong_checksum_is_fetched_once_more_and_then_refused(tmp_path: Path) -> None:
    spoiled = bytes(reversed(CONTENT))
    with serving(spoiled) as server:
        message = refused(ServiceError, server, tmp_path)
        assert server.ranges == ["", ""]
    assert MD5 in message
    assert hashlib.md5(spoiled).hexdigest() in message
    assert {path.name for path in tmp_path.iterdir()} == {LOCK}


def test_wrong_checksum_that_was_an_accident_is_mended(tmp_path: Path) -> None:
    with serving(CONTENT, broken()) as server:
        refused(ServiceError, server, tmp_path, tries=1)
        part = tmp_path / "file.bin.part"
        part.write_bytes(bytes(1000) + part.read_bytes()[1000:])
        assert run(server, tmp_path).path.read_bytes() == CONTENT
        assert server.ranges == ["", "bytes=100000-", "bytes=100000-", ""]


def test_whole_part_needs_no_server(tmp_path: Path) -> None:
    """As after a kill between the last byte and the renaming."""
    with serving(CONTENT, broken()) as server:
        refused(ServiceError, server, tmp_path, tries=1)
        (tmp_path / "file.bin.part").write_bytes(CONTENT)
        assert run(server, tmp_path).path.read_bytes() == CONTENT
        assert len(server.asked) == 2


def test_finished_file_is_verified_and_not_fetched_again(tmp_path: Path) -> None:
    with serving(CONTENT) as server:
        run(server, tmp_path)
        again = run(server, tmp_path)
        assert (again.fetched, again.verified, len(server.asked)) == (False, True, 1)
        (tmp_path / "file.bin").write_bytes(OTHER)
        with pytest.raises(InputError, match="is there already, but its checksum is"):
            run(server, tmp_path)
    assert (tmp_path / "file.bin").read_bytes() == OTHER, "somebody's file was overwritten"


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_passing_trouble_is_waited_out(tmp_path: Path, status: int) -> None:
    waits: list[float] = []
    with serving(CONTENT, [Fault(status=status, headers={"Retry-After": "7"}), Fault(status=status)]) as server:
        assert run(server, tmp_path, waits=waits).path.read_bytes() == CONTENT
    assert waits == [7.0, 2.0]


def test_date_to_come_back_is_honoured(tmp_path: Path) -> None:
    waits: list[float] = []
    when = email.utils.formatdate(NOW + 100, usegmt=True)
    with serving(CONTENT, [Fault(status=429, headers={"Retry-After": when})]) as server:
        run(server, tmp_path, waits=waits)
    assert waits == [100]


def test_server_that_asks_for_an_hour_is_not_waited_for(tmp_path: Path) -> None:
    with serving(CONTENT, [Fault(cut=100_000), Fault(status=429, headers={"Retry-After": "3600"})]) as server:
        assert "60 minutes" in refused(ServiceError, server, tmp_path)
    assert part_of(tmp_path) == CONTENT[:100_000]


def test_pauses_grow_and_tries_end(tmp_path: Path) -> None:
    waits: list[float] = []
    with serving(CONTENT, [Fault(cut=100_000)] + [Fault(status=503)] * 20) as server:
        message = refused(ServiceError, server, tmp_path, tries=9, waits=waits)
        assert len(server.asked) == 10
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert "503" in message and "try 9" in message
    assert part_of(tmp_path) == CONTENT[:100_000]


def test_no_server_at_all_is_an_error_after_some_tries(tmp_path: Path) -> None:
    with serving(CONTENT) as server:
        pass
    assert "no connection" in refused(ServiceError, server, tmp_path)


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [
        (404, NotFoundError, "no such file"),
        (410, NotFoundError, "no such file"),
        (401, InputError, "not allowed"),
        (403, InputError, "not allowed"),
        (400, ServiceError, "answered 400"),
    ],
)
def test_refusal_is_told_at_once(tmp_path: Path, status: int, kind: type[LandsweepError], said: str) -> None:
    with serving(CONTENT, [Fault(status=status)]) as server:
        assert said in refused(kind, server, tmp_path)
        assert len(server.asked) == 1


def test_length_that_is_not_told_is_made_up_for_by_the_checksum(tmp_path: Path) -> None:
    with serving(CONTENT, [Fault(framing="none"), Fault(framing="none"), Fault(framing="chunked")]) as server:
        assert run(server, tmp_path / "a").path.read_bytes() == CONTENT
        assert "does not say how long" in refused(ServiceError, server, tmp_path / "b", "")
        assert run(server, tmp_path / "c", "").path.read_bytes() == CONTENT


def test_more_bytes_than_stated_are_refused(tmp_path: Path) -> None:
    with serving(CONTENT, [Fault(cut=100_000), Fault(surplus=b"more", framing="chunked")]) as server:
        assert "more than the 300,000 bytes" in refused(ServiceError, server, tmp_path)
    assert not (tmp_path / "file.bin.part").exists()


def test_bytes_behind_the_stated_length_are_not_of_the_file(tmp_path: Path) -> None:
    with serving(CONTENT, [Fault(surplus=b"more", stated=len(CONTENT))]) as server:
        assert run(server, tmp_path, "").path.read_bytes() == CONTENT


def test_known_size_tells_a_cut_from_the_end_and_another_file_from_this(tmp_path: Path) -> None:
    with serving(CONTENT, [Fault(framing="none", cut=100_000)]) as server, httpx.Client() as client:
        source = Source("file.bin", server.url, MD5, len(CONTENT))
        patience = Patience(sleep=lambda _: None)
        assert fetch(source, tmp_path, client, patience).path.read_bytes() == CONTENT
        assert server.ranges == ["", "bytes=100000-"]
        other = replace(source, name="other.bin", bytes=len(CONTENT) + 1)
        with pytest.raises(ServiceError, match="a file of 300,000 bytes, expected 300,001"):
            fetch(other, tmp_path, client, patience)
        assert len(server.asked) == 3


def test_answer_compressed_for_the_way_is_refused(tmp_path: Path) -> None:
    with serving(CONTENT, [Fault(headers={"Content-Encoding": "gzip"})]) as server:
        assert server.asked == []
        assert "sent the file as gzip" in refused(ServiceError, server, tmp_path)
        assert server.asked[0]["accept-encoding"] == "identity"
    with serving(CONTENT, [Fault(headers={"Content-Encoding": "x-gzip"})], name="file.tar.gz") as server:
        assert run(server, tmp_path).path.read_bytes() == CONTENT, "servers call a .gz so, and send it as it is"


def test_redirects_are_followed_to_http_only(tmp_path: Path) -> None:
    with serving(CONTENT) as server, serving(b"", []) as first:
        first.faults = [Fault(status=302, headers={"Location": server.url}), Fault(cut=10)]
        assert run(first, tmp_path / "a").path.read_bytes() == CONTENT
        for there in ("file:///etc/passwd", "ftp://127.0.0.1/file.bin"):
            first.faults = [Fault(status=301, headers={"Location": there})]
            assert "not followed" in refused(ServiceError, first, tmp_path / "b")
        first.faults = [Fault(status=302, headers={"Location": first.url})] * 50
        assert "redirects" in refused(ServiceError, first, tmp_path / "b")


def test_redirect_does_not_give_up_https(tmp_path: Path) -> None:
    answers = httpx.MockTransport(lambda _: httpx.Response(302, headers={"Location": "http://example.org/file.bin"}))
    with pytest.raises(ServiceError, match="from https to http"):
        download(DownloadSettings(out=tmp_path, url="https://example.org/file.bin"), transport=answers)


def test_secrets_of_the_url_are_in_no_message_and_no_file(tmp_path: Path) -> None:
    with serving(CONTENT, broken()) as server:
        server.url = server.url.replace("127", "user:hunter2@127") + "?token=hunter3#hunter4"
        message = refused(ServiceError, server, tmp_path, tries=1)
        server.faults = [Fault(status=404)]
        message += refused(NotFoundError, server, tmp_path)
        assert server.asked[0]["authorization"].startswith("Basic ")
    assert "hunter" not in message + (tmp_path / "file.bin.part.json").read_text()
    assert shown("https://a:b@example.org:8443/x%20y?z#w") == "https://example.org:8443/x y"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://example.org/a", '"ftp" is not fetched from'),
        ("file:///etc/passwd", '"file" is not fetched from'),
        ("example.org/a", "not a URL"),
        ("https:///a", "is not fetched from"),
        ("http://[::1", "not a URL"),
        ("http://xn--/a", "not a URL"),
        ("https://example.org/", "does not end in a file's name"),
        ("https://example.org/a/..%2f..%2fb", "does not end in a file's name"),
        ("https://example.org/a%2fb", "does not end in a file's name"),
        ("https://example.org/a%5Cb", "does not end in a file's name"),
        ("https://example.org/.bashrc", "does not end in a file's name"),
        ("https://example.org/a%0ab", "does not end in a file's name"),
    ],
)
def test_url_that_names_no_file_is_refused(tmp_path: Path, url: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        download(DownloadSettings(out=tmp_path / "out", url=url))
    assert said in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_contradicting_settings_are_refused(tmp_path: Path) -> None:
    url = "https://example.org/a.bin"
    with pytest.raises(InputError, match="not a checksum"):
        source_of(url, "md5:123")
    for values, said in (
        ({"url": url, "version": "v1"}, "exclude each other"),
        ({"checksum": MD5}, "has no --url"),
        ({"url": url, "unpack": True}, r"a\.bin is no tar"),
        ({"version": "v3"}, "'v2' or 'v1'"),
    ):
        with pytest.raises(SettingsError, match=said):
            download(DownloadSettings.parse({"out": tmp_path, **values}))


def test_second_download_is_told_who_holds_the_folder(tmp_path: Path) -> None:
    with serving(CONTENT) as server, exclusive(tmp_path / LOCK, "it"):
        assert f"process {os.getpid()}" in refused(BusyError, server, tmp_path)


def test_folder_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with serving(CONTENT) as server, pytest.raises(InputError, match="Choose another folder"):
        run(server, tmp_path / "file")


def test_progress_ends_at_the_whole(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    with serving(CONTENT, [Fault(cut=100_000)]) as server:
        settings = DownloadSettings(out=tmp_path, url=server.url)
        download(settings, lambda done, total: seen.append((done, total)), patience=Patience(sleep=lambda _: None))
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert seen == sorted(seen)


def test_file_that_cannot_fit_is_not_begun(tmp_path: Path) -> None:
    with serving(CONTENT, [Fault(stated=2**60)]) as server:  # an exabyte, which no disk has
        message = refused(StorageError, server, tmp_path)
    assert "file.bin" in message and "MiB more are needed" in message


def test_full_disk_keeps_the_part_and_goes_on_with_room(tmp_path: Path) -> None:
    """The length is not told, so that the disk is found full only in the middle."""
    with small_disk(tmp_path) as disk, serving(CONTENT, [Fault(framing="chunked")]) as server:
        message = refused(StorageError, server, disk)
        assert "file.bin" in message and "needed" in message
        kept = len(part_of(disk))
        assert kept > 100_000
        assert part_of(disk) == CONTENT[:kept]
        grow(disk)
        assert run(server, disk).path.read_bytes() == CONTENT
        assert server.ranges[1:] == [f"bytes={kept}-"]


def command(server: Server, out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "landsweep", "data", "download", str(out), "--url", server.url, *more]


def test_killed_download_goes_on_from_its_last_byte(tmp_path: Path) -> None:
    """kill -9 in the middle, where nothing more comes; what was written is asked for again by no byte."""
    part, kept = tmp_path / "file.bin.part", 100_000
    with serving(CONTENT, [Fault(cut=kept, stall=True)]) as server:
        patient = command(server, tmp_path, "--timeout", "3600")
        with subprocess.Popen(patient, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
            while process.poll() is None and not (part.exists() and part.stat().st_size == kept):
                time.sleep(0.02)
            process.send_signal(signal.SIGKILL)
        assert part.stat().st_size == kept
        assert not (tmp_path / "file.bin").exists()
        ended = subprocess.run(
            [*command(server, tmp_path), "--checksum", MD5, "--json"], cwd=ROOT, capture_output=True, text=True
        )
        assert server.ranges == ["", f"bytes={kept}-"]
    assert json.loads(ended.stdout)["files"] == [
        {
            "path": str(tmp_path / "file.bin"),
            "bytes": len(CONTENT),
            "checksum": MD5,
            "verified": True,
            "fetched": True,
        }
    ]
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_command_fails_with_one_message(tmp_path: Path) -> None:
    with serving(CONTENT, [Fault(status=404)]) as server:
        ended = subprocess.run(command(server, tmp_path), cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 2
    assert "error: " in ended.stderr and "no such file" in ended.stderr
    assert "Traceback" not in ended.stderr


def archive() -> bytes:
    out = BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in ("a", "b"):
            member = tarfile.TarInfo(f"Images/{name}.tif")
            member.size = 3
            tar.addfile(member, BytesIO(b"123"))
    return zstandard.compress(out.getvalue())


def test_archive_is_unpacked_beside_itself(tmp_path: Path) -> None:
    with serving(archive(), name="images.tar.zst") as server:
        settings = DownloadSettings(out=tmp_path, url=server.url, unpack=True)
        download(settings)
    assert unpack_archives(settings) == unpack_archives(settings) == 2
    assert (tmp_path / "Images" / "a.tif").read_bytes() == b"123"
    assert next_command(settings) == f"landsweep data ingest {tmp_path} shards"


def test_sources_are_whole_and_those_of_the_real_tables(real_data: Path) -> None:
    for sources in SOURCES.values():
        for source in sources:
            assert source == source_of(source.url, source.checksum).__class__(**vars(source))
            assert source_of(source.url).name == source.name
            assert source.bytes
    for source in SOURCES["v2"][:2]:
        data = (real_data / source.name).read_bytes()
        assert (source.checksum, source.bytes) == ("md5:" + hashlib.md5(data).hexdigest(), len(data))
