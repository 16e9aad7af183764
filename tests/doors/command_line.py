"""The whole program in this process; and `landsweep predict` as a door, which is given all bad uploads at once, for it
tells of each on its own.
"""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Iterable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from unittest.mock import patch

import pytest

from landsweep import main
from tests.doors.uploads import UPLOADS, AskedDoorTests, Door, Question, Upload, check_free_of_requests


@dataclass(frozen=True)
class Ended:
    """How the program ended, and what it wrote."""

    code: int
    out: str
    err: str


def landsweep(*arguments: object) -> Ended:
    """Run the program as its entry point does, on packages that are loaded already."""
    out, err = io.StringIO(), io.StringIO()
    argv = ["landsweep", *map(str, arguments)]
    with (
        patch.object(sys, "argv", argv),
        redirect_stdout(out),
        redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    return Ended(int(ended.value.code or 0), out.getvalue(), err.getvalue())


def predict(url: str, *arguments: object) -> Ended:
    return landsweep("predict", *arguments, "--url", url)


@cache
def told_of_all(url: str) -> dict[str, str]:
    """What is told of each bad upload, by its name in the table."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"{number}.tif") for number, _ in enumerate(UPLOADS)]
        for path, upload in zip(paths, UPLOADS.values(), strict=True):
            path.write_bytes(upload.data)
        ended = predict(url, *paths)
    assert (ended.code, ended.out) == (2, "")
    return dict(zip(UPLOADS, _told_of(paths, ended), strict=True))


def _told_of(paths: Iterable[Path], ended: Ended) -> Iterable[str]:
    """The one line that is told of each file, without the file's name."""
    for path, line in zip(paths, ended.err.splitlines(), strict=True):
        assert line.startswith(f"error: {path}: ")
        yield line.removeprefix(f"error: {path}: ")


class CommandLineTests(AskedDoorTests):
    """What the command line promises; the fixture `url` is an endpoint's."""

    @pytest.fixture
    def door(self, url: str, tmp_path: Path) -> Door:
        def ask(upload: Upload | Question) -> str:
            if isinstance(upload, Upload):
                told = told_of_all(url)[next(name for name, each in UPLOADS.items() if each is upload)]
            else:
                (tmp_path / "x.tif").write_bytes(upload.data)
                given = {"--model": upload.model, "--bands": upload.bands}
                words = [word for key, value in given.items() if value is not None for word in (key, value)]
                ended = predict(url, tmp_path / "x.tif", *words)
                assert (ended.code, ended.out) == (2, "")
                (told,) = _told_of([tmp_path / "x.tif"], ended)
            check_free_of_requests(told)
            return told

        return ask
