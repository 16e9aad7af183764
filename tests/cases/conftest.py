"""The cases that people brought: scripts beside the checkout, each of which makes its input and says what is right."""

from __future__ import annotations

import contextlib
import io
import re
import runpy
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

CASES = Path(__file__).parents[3] / "shared" / "cases"

Make = Callable[..., Path]


@pytest.fixture(scope="session")
def cases() -> Path:
    """The folder of the scripts."""
    if not CASES.is_dir():
        pytest.skip("the cases lie beside the checkout, in ../shared/cases, and are not there")
    return CASES


@pytest.fixture
def make(cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes a case's input, once a test, and returns the folder that it says to ingest, else its own."""

    def made(case: str) -> Path:
        (script,) = cases.glob(f"{case}_*.py")
        monkeypatch.setattr(sys, "argv", [str(script), str(tmp_path)])
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of files without a place
            runpy.run_path(str(script))
        source = re.search(r"data ingest (\S+)", printed.getvalue())
        return Path(source[1]) if source else tmp_path / script.stem

    return made
