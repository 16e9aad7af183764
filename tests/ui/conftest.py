"""A served page over a served stand-in endpoint, both on free ports of this machine's loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ui.stand_in import make_study, make_tiff, served_endpoint
from ui.app import launch
from ui.server import Page
from ui.settings import UiSettings


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    """URL of a stand-in endpoint that serves two models."""
    with served_endpoint() as url:
        yield url


@pytest.fixture(scope="session")
def experiments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of one study with a trial in every state."""
    folder = tmp_path_factory.mktemp("experiments")
    make_study(folder)
    return folder


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of one patch with a hostile name, and of things that are no examples."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "<img src=x>.tif").write_bytes(make_tiff(seed=3))
    (folder / "broken.tif").write_bytes(b"II*\0 and no more")
    (folder / "notes.txt").write_text("not offered", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def page(endpoint: str, experiments: Path, examples: Path) -> Iterator[Page]:
    """The page, served."""
    settings = UiSettings(port=0, url=endpoint, experiments=experiments, examples=examples)
    served = launch(settings)
    yield served
    served.close()
