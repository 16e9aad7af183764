"""How the Trials page lies on a wide and on a narrow screen, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page as Tab
from playwright.sync_api import expect

from tests.e2e.browser import open_tab
from ui.server import Page

# Gradio 6.31 counts its events with an option that pandas 3 will drop.
pytestmark = pytest.mark.filterwarnings("ignore:'future.no_silent_downcasting'")


@pytest.fixture(scope="module")
def tab(chromium: Path, page: Page) -> Iterator[Tab]:
    with open_tab(chromium) as opened:
        opened.goto(f"{page.url}trials")
        expect(opened.locator(".ls-table")).to_be_visible(timeout=60_000)
        yield opened


def test_refresh_is_as_high_as_the_choices_beside_it(tab: Tab) -> None:
    tab.set_viewport_size({"width": 1280, "height": 1000})
    choice, button = tab.locator(".ls-choices .wrap:has(input)").first, tab.get_by_role("button", name="Refresh")
    edges = [(box["y"], box["height"]) for box in (choice.bounding_box(), button.bounding_box()) if box]
    assert edges[0] == pytest.approx(edges[1], abs=1)


def test_a_table_that_is_cut_says_that_it_scrolls(tab: Tab) -> None:
    told = tab.get_by_text("Scroll sideways")
    tab.set_viewport_size({"width": 390, "height": 844})
    expect(told).to_be_visible()
    assert tab.evaluate(
        "() => { const e = document.querySelector('.ls-table'); return e.scrollWidth > e.clientWidth; }"
    )
    tab.set_viewport_size({"width": 1280, "height": 1000})
    expect(told).to_be_hidden()
