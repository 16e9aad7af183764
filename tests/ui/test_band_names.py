"""The field for what a file's bands are, in a real browser: found by its label, small, and of use where a file is not
understood."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, expect
from playwright.sync_api import Page as Tab

from pipelines.bands import ALL_BANDS
from tests.e2e.browser import PATIENCE, open_tab
from tests.fakes import stack
from ui.classify import BAND_NAMES
from ui.server import Page

# Gradio 6.31 counts its events with an option that pandas 3 will drop.
pytestmark = pytest.mark.filterwarnings("ignore:'future.no_silent_downcasting'")

THIRTEEN = (*ALL_BANDS[:10], "B10", *ALL_BANDS[10:])


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    with open_tab(chromium) as first:
        assert first.context.browser
        yield first.context.browser


def opened(browser: Browser, page: Page) -> Tab:
    tab = browser.new_page(viewport={"width": 1280, "height": 1000})
    tab.set_default_timeout(PATIENCE)
    tab.goto(page.url)
    expect(tab.get_by_text("Nothing classified yet")).to_be_visible()
    return tab


@pytest.fixture
def tab(browser: Browser, page: Page) -> Iterator[Tab]:
    yield (tab := opened(browser, page))
    tab.close()


@pytest.fixture(scope="module")
def untouched(browser: Browser, page: Page) -> Tab:
    """For tests after which the page is as it was."""
    return opened(browser, page)


def field(tab: Tab) -> Locator:
    return tab.get_by_label(BAND_NAMES)


def choose(tab: Tab, path: Path, data: bytes) -> None:
    path.write_bytes(data)
    tab.locator("input[type=file]").first.set_input_files(path)


@pytest.mark.parametrize("how", ["Enter", "Apply"])
def test_bands_that_a_file_does_not_name_are_named_on_the_page(tab: Tab, tmp_path: Path, how: str) -> None:
    panel = tab.locator("#ls-result")
    choose(tab, tmp_path / "thirteen.tif", stack(THIRTEEN, named=False))
    expect(panel.get_by_role("alert")).to_contain_text(f"Name all 13 in file order in “{BAND_NAMES}”")
    field(tab).fill(" b1, blue, " + ", ".join(THIRTEEN[2:]))
    if how == "Enter":
        field(tab).press("Enter")
    else:
        tab.get_by_role("button", name="Apply").click()
    expect(panel.get_by_text("Predicted").first).to_be_visible()
    expect(panel.get_by_text("bands B10 were not used")).to_be_visible()
    expect(panel.get_by_role("alert")).to_have_count(0)
    expect(panel.get_by_text("True colour").first).to_be_visible()


def test_names_hold_for_the_next_file_and_not_for_an_example(tab: Tab, tmp_path: Path) -> None:
    field(tab).fill(",".join(THIRTEEN))
    choose(tab, tmp_path / "thirteen.tif", stack(THIRTEEN, named=False))
    panel = tab.locator("#ls-result")
    expect(panel.get_by_text("bands B10 were not used")).to_be_visible()
    tab.locator('[data-key="model:landnet-swir"]').click()
    expect(panel.get_by_text("B08").first).to_be_visible()
    expect(panel.get_by_text("bands B10 were not used")).to_be_hidden()
    expect(field(tab)).to_have_value("")


@pytest.mark.parametrize("width", [1280, 390])
def test_the_field_is_small_and_in_sight(untouched: Tab, width: int) -> None:
    tab = untouched
    tab.set_viewport_size({"width": width, "height": 1000})
    expect(field(tab)).to_be_visible()
    box = field(tab).bounding_box()
    assert box and box["height"] < 60 and box["x"] >= 0 and box["x"] + box["width"] <= width
    assert tab.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")


def test_apply_without_a_file_changes_nothing(untouched: Tab) -> None:
    tab = untouched
    field(tab).fill("B04")
    field(tab).press("Enter")
    expect(tab.get_by_text("Nothing classified yet")).to_be_visible()
