"""Takes the README's pictures: `.venv/bin/python docs/pictures.py` while `make demo` shows the page.

Flows in: the page's address. Flows out: PNG files in docs/pictures.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from playwright.sync_api import Page, sync_playwright

FOLDER = Path(__file__).parent / "pictures"
QUIET = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


def main(
    page: Annotated[str, typer.Option(help="address of the page")] = "http://127.0.0.1:7860",
    chromium: Annotated[Path, typer.Option(help="the browser")] = Path("/usr/bin/chromium"),
) -> None:
    """Take every picture anew."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(chromium), args=QUIET)
        for name, size in {"classify": WIDE, "classify-phone": PHONE}.items():
            tab = browser.new_page(viewport=size)
            tab.goto(f"{page}/?example=model:demo")
            _settle(tab, "Predicted")
            tab.screenshot(path=FOLDER / f"{name}.png")
        tab = browser.new_page(viewport=WIDE)
        tab.goto(f"{page}/trials")
        _settle(tab, "landnet")
        tab.screenshot(path=FOLDER / "trials.png")
        browser.close()


def _settle(tab: Page, text: str) -> None:
    """Wait for the answer, and for what follows it (Grad-CAM, curves)."""
    tab.get_by_text(text).first.wait_for(timeout=30_000)
    tab.get_by_text("Looking for evidence").wait_for(state="hidden", timeout=30_000)
    tab.wait_for_timeout(1500)


if __name__ == "__main__":
    typer.run(main)
