"""The whole demo as a user runs it: one command, then the page in a real browser.

One demo is started for all tests of this file, small; each test looks at another side of it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from serve.client import Client
from tests.e2e.browser import open_tab
from tests.e2e.sockets import listening, processes_below, still_there
from tests.fakes import free_port, png
from tune.study import open_study

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # the first of them waits for the whole demo


@dataclass(frozen=True)
class Demo:
    process: subprocess.Popen[bytes]
    folder: Path
    url: str
    page: str
    log: Path


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    folder = tmp_path_factory.mktemp("demo")
    port, page_port = free_port(), free_port()
    small = ["--patches", "120", "--trials", "2", "--epochs", "2", "--out", folder / "out"]
    command = [sys.executable, "-m", "landsweep", "demo", *small, "--port", port, "--page-port", page_port]
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(
            list(map(str, command)), cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    started = Demo(process, folder, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{page_port}", folder / "log")
    try:
        _wait_for_page(started)
        yield started
    finally:
        pids = processes_below(process.pid)
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        process.wait()


def _wait_for_page(demo: Demo) -> None:
    while " s  page " not in demo.log.read_text():
        assert demo.process.poll() is None, demo.log.read_text()
        time.sleep(0.5)
    assert httpx.get(demo.page, timeout=60).status_code == 200, "it is said to be up"


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Page]:
    with open_tab(chromium) as tab:
        yield tab


def test_every_step_is_told(demo: Demo) -> None:
    text = demo.log.read_text()
    for step in ("sample", "ingest", "search", "register", "test", "serve", "predict", "page"):
        assert f" s  {step} " in text, text
    assert "regression on band statistics" in text
    assert "Traceback" not in text
    assert "WARNING" not in text


def test_everything_listens_on_loopback_only(demo: Demo) -> None:
    """Ray, Serve, its replicas and the page: no process of the demo listens on another address."""
    pids = processes_below(demo.process.pid)
    sockets = listening(pids)
    ports = {address.rpartition(":")[2] for address in sockets}
    assert {demo.url.rpartition(":")[2], demo.page.rpartition(":")[2]} <= ports
    assert len(sockets) > 5, "Ray's own sockets were not found"
    foreign = [name for name in sockets if not name.startswith(("127.", "::1:", "::ffff:127."))]
    assert foreign == []


def test_ray_asks_for_its_token(demo: Demo) -> None:
    servers = {}
    for pid in processes_below(demo.process.pid):
        name = Path(f"/proc/{pid}/comm").read_text().strip()
        if name in ("gcs_server", "raylet"):
            servers[name] = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    assert set(servers) == {"gcs_server", "raylet"}
    assert all(b"RAY_AUTH_MODE=token" in environment for environment in servers.values())
    token = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    assert token.stat().st_mode & 0o077 == 0


def test_study_and_endpoint_agree_on_the_best_trial(demo: Demo) -> None:
    study = open_study(demo.folder / "out" / "experiments", "demo")
    with Client(demo.url) as client:
        served = client.models()[0]
    assert study.best is not None
    assert served.trial["number"] == study.best.number
    assert served.architecture == study.best.parameters["model"]


def test_predict_on_the_command_line(demo: Demo) -> None:
    with Client(demo.url) as client:
        (demo.folder / "patch.tif").write_bytes(client.example("demo"))
    command = [sys.executable, "-m", "landsweep", "predict", "patch.tif", "--url", demo.url, "--json"]
    ended = subprocess.run(
        command, cwd=demo.folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert len(json.loads(ended.stdout)["predictions"]["patch.tif"]["predictions"]) == 19


def test_page_classifies_each_real_stack(demo: Demo, browser: Page, real_data: Path, tmp_path: Path) -> None:
    requests: list[str] = []
    browser.on("request", lambda request: requests.append(request.url))
    browser.goto(demo.page)
    with Client(demo.url) as client:
        for path in sorted((real_data / "stacks").glob("*.tif")):
            browser.goto(demo.page)
            browser.locator("input[type=file]").first.set_input_files(path)
            top = client.predict(path.read_bytes()).predictions[0]
            expect(browser.get_by_text(top.label).first).to_be_visible()
            expect(browser.get_by_text("EPSG:32633").first).to_be_visible()
            expect(browser.get_by_text("Looking for evidence").first).to_be_hidden()
            browser.screenshot(path=tmp_path / f"{path.stem}.png", full_page=True)
    foreign = [url for url in requests if not url.startswith((demo.page, "data:", "blob:"))]
    assert foreign == []


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [("notes.tif", b"hello", "text file"), ("photo.tif", png(), "PNG picture"), ("empty.tif", b"", "empty")],
)
def test_page_says_what_is_wrong_with_a_file(demo: Demo, browser: Page, name: str, data: bytes, said: str) -> None:
    browser.goto(demo.page)
    browser.locator("input[type=file]").first.set_input_files({"name": name, "mimeType": "image/tiff", "buffer": data})
    expect(browser.get_by_text(said).first).to_be_visible()
    assert "Traceback" not in browser.content()


def test_page_shows_the_trials(demo: Demo, browser: Page) -> None:
    browser.goto(f"{demo.page}/trials")
    expect(browser.get_by_text("landnet").first).to_be_visible()
    expect(browser.get_by_text("test_efficientnet").first).to_be_visible()
    expect(browser.get_by_text("complete").first).to_be_visible()


def test_ctrl_c_ends_everything(demo: Demo) -> None:
    pids = processes_below(demo.process.pid)
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(timeout=60) == 0
    assert still_there(pids) == set()
    assert "Traceback" not in demo.log.read_text()
