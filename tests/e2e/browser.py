"""How a browser is started in tests: without a sandbox, a screen, or a word to foreign hosts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

PATIENCE = 120_000
"""Milliseconds after which what a page should show is taken for absent; its own 5 s are those of a fast machine."""

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def open_tab(chromium: Path, width: int = 1280, height: int = 1000) -> Iterator[Page]:
    """A tab of a browser of its own, for the length of a block."""
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=str(chromium), args=FLAGS, timeout=PATIENCE)
        tab = running.new_page(viewport={"width": width, "height": height})
        tab.set_default_timeout(PATIENCE)
        yield tab
        running.close()
