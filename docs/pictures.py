"""Takes the README's pictures: `.venv/bin/python docs/pictures.py` while `make demo` shows the page.

Flows in: the page's address. Flows out: PNG files in docs/pictures. Without a study, `--no-trials`; on a busy machine,
more `--seconds`.
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
    seconds: Annotated[float, typer.Option(help="to wait for an answer, at most")] = 30,
    trials: Annotated[bool, typer.Option(help="take the page of trials too")] = True,
) -> None:
    """Take every picture anew."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(chromium), args=QUIET)
        for name, size in {"classify": WIDE, "classify-phone": PHONE}.items():
            _take(browser.new_page(viewport=size), f"{page}/?example=model:demo", "Predicted", name, seconds)
        if trials:
            _take(browser.new_page(viewport=WIDE), f"{page}/trials", "landnet", "trials", seconds)
        browser.close()


def _take(tab: Page, url: str, text: str, name: str, seconds: float) -> None:
    """A picture of a page, once its answer is there, and what follows it (Grad-CAM, curves)."""
    tab.set_default_timeout(seconds * 1000)
    tab.goto(url)
    tab.get_by_text(text).first.wait_for()
    tab.get_by_text("Looking for evidence").wait_for(state="hidden")
    tab.wait_for_timeout(50 * seconds)
    tab.screenshot(path=FOLDER / f"{name}.png")


if __name__ == "__main__":
    typer.run(main)
