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


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes a case's input, once a test, and returns the folder that it says to ingest, else its own."""

    def made(case: str) -> Path:
        found = sorted(CASES.glob(f"{case}_*.py"))
        if not found:
            pytest.skip("the cases lie beside the checkout, in ../shared/cases, and are not there")
        monkeypatch.setattr(sys, "argv", [str(found[0]), str(tmp_path)])
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of files without a place
            runpy.run_path(str(found[0]))
        source = re.search(r"data ingest (\S+)", printed.getvalue())
        return Path(source[1]) if source else tmp_path / found[0].stem

    return made
