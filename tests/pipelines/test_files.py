"""Files appear whole or not at all, and one at a time holds a lock."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from pipelines.errors import BusyError, SettingsError, StorageError
from pipelines.files import check_out, exclusive, sha256_of, write_whole
from tests.small_disk import grow, small_disk


def test_content_is_written_and_replaced_with_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file"
    for content in (b"first", "zw\u00f6lf", b""):
        write_whole(path, content)
        assert path.read_bytes() == (content if isinstance(content, bytes) else content.encode())
    assert list(path.parent.iterdir()) == [path]
    assert sha256_of(path) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def _write_until(enough: Event, path: Path, letter: bytes) -> None:
    while not enough.is_set():
        write_whole(path, letter * 100_000)


def test_two_writers_never_show_a_reader_anything_but_one_of_theirs(tmp_path: Path) -> None:
    """However their turns come: they write until the reader has seen enough of both."""
    path = tmp_path / "file"
    write_whole(path, b"c" * 100_000)
    spawn = multiprocessing.get_context("spawn")
    enough = spawn.Event()
    writers = [spawn.Process(target=_write_until, args=(enough, path, letter)) for letter in (b"a", b"b")]
    for writer in writers:
        writer.start()
    seen: Counter[bytes] = Counter()
    while min(seen[b"a"], seen[b"b"]) < 50 and all(writer.is_alive() for writer in writers):
        data = path.read_bytes()
        assert len(data) == 100_000
        assert len(set(data)) == 1
        seen[data[:1]] += 1
    enough.set()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert set(seen) - {b"c"} == {b"a", b"b"}
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_keeps_what_was_there(tmp_path: Path) -> None:
    with small_disk(tmp_path) as disk:
        write_whole(disk / "file", b"old")
        with pytest.raises(StorageError, match=r"disk/file: disk is full: 1\.0 MiB more are needed"):
            write_whole(disk / "file", bytes(2**20))
        assert [(path.name, path.read_bytes()) for path in disk.iterdir()] == [("file", b"old")]
        grow(disk)
        write_whole(disk / "file", bytes(2**20))
        assert (disk / "file").stat().st_size == 2**20


@contextmanager
def held_elsewhere(path: Path) -> Iterator[subprocess.Popen[str]]:
    """The lock in the hands of another process until it is told, by a line, to remove the lock's folder and end."""
    program = (
        "import pathlib, shutil, sys; from pipelines.files import exclusive\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "with exclusive(path, 'it'): print('held', flush=True); input(); shutil.rmtree(path.parent)"
    )
    command = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(
        command, cwd=Path(__file__).parents[2], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_second_is_told_who_holds_it_until_that_one_dies(tmp_path: Path) -> None:
    lock = tmp_path / "records" / "lock"
    with held_elsewhere(lock) as process:
        with pytest.raises(BusyError, match=rf"it is already running \(process {process.pid}\)"), exclusive(lock, "it"):
            pass
        process.kill()
        process.wait()
        with exclusive(lock, "it"), pytest.raises(BusyError), exclusive(lock, "it"):
            pass
    with exclusive(lock, "it"):
        pass


def test_a_lock_that_its_holder_removes_is_taken_anew(tmp_path: Path) -> None:
    """Whoever gets it then holds the lock that everybody sees, not one that is no longer in any folder."""
    lock = tmp_path / "records" / "lock"
    with held_elsewhere(lock) as process:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        while True:
            try:
                with exclusive(lock, "it"), pytest.raises(BusyError), exclusive(lock, "it"):
                    assert lock.exists()
                break
            except BusyError:
                continue
        process.wait()


def test_a_folder_that_goes_while_the_lock_is_opened_is_made_anew(tmp_path: Path) -> None:
    lock = tmp_path / "records" / "lock"
    done = threading.Event()

    def remove_whenever_empty() -> None:
        while not done.wait(1e-5):
            with suppress(OSError):
                lock.parent.rmdir()

    with ThreadPoolExecutor(1) as pool:
        remover = pool.submit(remove_whenever_empty)
        try:
            for _ in range(300):
                with exclusive(lock, "it"):
                    lock.unlink()
        finally:
            done.set()
        remover.result()


def test_a_lock_in_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "records").symlink_to(tmp_path / "gone" / "too")
    with pytest.raises(OSError, match="records"), exclusive(tmp_path / "records" / "lock", "it"):
        pass


def test_out_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(SettingsError, match="not a folder"):
            check_out(out)
