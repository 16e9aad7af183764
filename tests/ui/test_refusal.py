"""Files that the page does not take, in a real browser: the panel says why, and goes on saying it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page as Tab
from playwright.sync_api import expect

from tests.e2e.browser import open_tab
from tests.ui.stand_in import make_tiff
from ui.refusal import MAX_MEGABYTES, refuse
from ui.server import Page

# Gradio 6.31 counts its events with an option that pandas 3 will drop.
pytestmark = pytest.mark.filterwarnings("ignore:'future.no_silent_downcasting'")

DROP = """([name, size]) => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(size)], name));
  const zone = document.querySelector('input[type=file]').closest('button');
  zone.dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true}));
}"""


@pytest.fixture(scope="module")
def tab(chromium: Path, page: Page) -> Iterator[Tab]:
    with open_tab(chromium) as opened:
        opened.goto(page.url)
        expect(opened.get_by_text("Nothing classified yet")).to_be_visible(timeout=60_000)
        yield opened


def choose(tab: Tab, path: Path) -> None:
    tab.locator("input[type=file]").first.set_input_files(path)


def test_a_wrong_type_and_a_file_too_large_are_said_in_the_panel(tab: Tab, tmp_path: Path) -> None:
    (tmp_path / "holiday.png").write_bytes(b"\x89PNG")
    (tmp_path / "scene.tif").write_bytes(bytes((MAX_MEGABYTES + 4) * 2**20))
    panel = tab.locator("#ls-result")
    for name, told in (
        ("holiday.png", '"holiday.png" is no GeoTIFF by its name.'),
        ("scene.tif", f'"scene.tif" has 20 MiB, the page takes {MAX_MEGABYTES} MiB.'),
    ):
        choose(tab, tmp_path / name)
        expect(panel.get_by_role("alert")).to_contain_text(told, timeout=30_000)
        expect(panel.get_by_text("Nothing classified yet")).to_be_hidden()
        expect(tab.locator(".toast-wrap .toast-body")).to_have_count(0)
    tab.evaluate(DROP, ["notes.txt", 10])
    expect(panel.get_by_role("alert")).to_contain_text("notes.txt", timeout=30_000)


def test_the_next_right_file_is_classified(tab: Tab, tmp_path: Path) -> None:
    (tmp_path / "x.tif").write_bytes(make_tiff())
    choose(tab, tmp_path / "x.tif")
    expect(tab.get_by_text("Predicted").first).to_be_visible(timeout=30_000)
    expect(tab.locator("#ls-result").get_by_role("alert")).to_have_count(0)


def test_a_long_name_is_cut_and_still_known_by_its_end() -> None:
    assert "40 MiB" in refuse("x" * 300 + ".TIFF", 40 * 2**20)


@pytest.mark.parametrize("name", ["<img src=x>.tif", "x" * 9999, None, ["a"], "a.tif"])
@pytest.mark.parametrize("size", [2**30, None, "<b>", -1])
def test_the_browsers_word_is_not_trusted(name: object, size: object) -> None:
    told = refuse(name, size)
    assert told.count('role="alert"') == 1 and "<img" not in told and "<b>x" not in told
    assert len(told) < 400
