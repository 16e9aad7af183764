"""The page as it is served: who may reach it, what it takes, and what it tells when something is wrong."""

from __future__ import annotations

import json
import socket
import stat
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipelines.errors import BusyError, SettingsError
from tests.doors.uploads import UPLOADS, check_clear
from tests.ui.panel import text_of_alert
from tests.ui.stand_in import make_tiff
from ui.app import build_app, launch
from ui.server import Page
from ui.settings import UiSettings

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def http(page: Page) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=page.url, timeout=60) as client:
        yield client


def upload(http: httpx.Client, name: str, data: bytes) -> str:
    """Where Gradio put an uploaded file."""
    answer = http.post("gradio_api/upload", files={"files": (name, data, "image/tiff")})
    assert answer.status_code == 200
    return str(answer.json()[0])


def send_file(http: httpx.Client, path: Any, **more: Any) -> httpx.Response:
    """The event that the browser sends after an upload."""
    config = http.get("config").json()
    file = next(each["id"] for each in config["components"] if each["type"] == "file")
    event = next(each for each in config["dependencies"] if [file, "upload"] in each["targets"])
    given = {"path": path, "orig_name": "x.tif", "meta": {"_type": "gradio.FileData"}, **more}
    body = {"data": [given, None, ""], "fn_index": event["id"], "session_hash": uuid.uuid4().hex}
    return http.post("gradio_api/queue/join", json=body, headers={"x-session": body["session_hash"]})


def outcome(http: httpx.Client, joined: httpx.Response) -> str:
    """All that the browser is told of an event, as text."""
    session = joined.request.headers["x-session"]
    return http.get("gradio_api/queue/data", params={"session_hash": session}).text


def events(told: str) -> Iterator[dict[str, Any]]:
    """What the server sent one after another."""
    for line in told.splitlines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


def listening(port: int) -> set[str]:
    """Addresses that listen on a port, from the kernel's own table."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    rows += [line.split() for line in Path("/proc/net/tcp6").read_text().splitlines()[1:]]
    return {row[1].split(":")[0] for row in rows if row[3] == "0A" and int(row[1].split(":")[1], 16) == port}


def test_settings_are_light_to_import_and_described() -> None:
    code = "import sys, ui.settings; print('gradio' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
    assert all(field.description for field in UiSettings.model_fields.values())


def test_building_asks_nothing_of_anybody(tmp_path: Path) -> None:
    build_app(UiSettings(url="http://127.0.0.1:9", experiments=tmp_path / "absent"))


def test_both_pages_are_served(http: httpx.Client) -> None:
    for path in ("", "trials"):
        answer = http.get(path)
        assert answer.status_code == 200 and "Landsweep" in answer.text


def test_nothing_is_asked_of_foreign_hosts(http: httpx.Client) -> None:
    policy = http.get("").headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy.replace("https:", "http:")
    assert "googleapis" not in http.get("").text + http.get("theme.css").text


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="no /proc to read listening sockets from")
def test_page_listens_on_loopback_only(page: Page) -> None:
    assert listening(page.port) == {"0100007F"}


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[::1", "0.0.0.0"])
def test_foreign_host_is_refused(http: httpx.Client, host: str) -> None:
    answer = http.get("config", headers={"host": host})
    assert answer.status_code == 400 and "gradio" not in answer.text


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "http://localhost", "x"])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_foreign_origin_is_refused(http: httpx.Client, method: str, origin: str) -> None:
    answer = http.request(method, "gradio_api/upload", headers={"origin": origin})
    assert answer.status_code == 403 and "access-control-allow-origin" not in answer.headers


def test_own_names_are_let_in(http: httpx.Client, page: Page) -> None:
    for name in (f"localhost:{page.port}", f"127.0.0.1:{page.port}", "localhost:9999"):
        assert http.get("config", headers={"host": name, "origin": f"http://{name}"}).status_code == 200


def test_uploaded_patch_is_classified(http: httpx.Client) -> None:
    told = outcome(http, send_file(http, upload(http, "x.tif", make_tiff())))
    assert "Predicted" in told and "True colour" in told and '"success":true' in told


@pytest.mark.parametrize("name", ["empty", "text", "png", "cut in half", "too large", "three bands", "HTML for a band"])
def test_wrong_file_is_one_clear_message(http: httpx.Client, name: str) -> None:
    """Of each kind of wrong one, whatever the file is called; `test_classify` shows the panel all that there are."""
    told = outcome(http, send_file(http, upload(http, "<b>x.tif", UPLOADS[name].data)))
    assert "Traceback" not in told and ".py" not in told and "landsweep-ui-" not in told
    shown = next(each["output"]["data"] for each in events(told) if each["msg"] == "process_completed")
    (panel,) = (each for each in shown if isinstance(each, str) and each)
    check_clear(text_of_alert(panel), UPLOADS[name].said)


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../../etc/passwd", "http://127.0.0.1/x.tif", "https://example.com/x.tif", "", "\0", 3, None],
)
def test_paths_and_addresses_are_not_taken_for_files(http: httpx.Client, path: Any) -> None:
    answer = send_file(http, path)
    assert answer.status_code == 403
    assert answer.text == "Upload a file; paths and addresses are not taken."


def test_an_event_that_is_also_called_an_upload_is_looked_at(http: httpx.Client) -> None:
    """Of two content types, what answers behind goes by the first."""
    headers = [("content-type", "application/json"), ("content-type", "multipart/form-data; boundary=x")]
    body = {"data": [{"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}]}
    assert http.post("gradio_api/queue/join", json=body, headers=headers).status_code == 403


def test_path_out_of_the_upload_folder_is_refused(http: httpx.Client) -> None:
    inside = Path(upload(http, "x.tif", b"hello"))
    assert send_file(http, str(inside.parent / ".." / ".." / ".." / "etc" / "passwd")).status_code == 403
    assert send_file(http, str(inside.parent)).status_code == 403


@pytest.mark.parametrize("body", [b"{", b"[" * 100_000, b'"' + b"x" * 1_100_000 + b'"'])
def test_senseless_events_are_refused(http: httpx.Client, body: bytes) -> None:
    answer = http.post("gradio_api/queue/join", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 413) and "Traceback" not in answer.text


def test_too_large_an_upload_is_refused(http: httpx.Client) -> None:
    answer = http.post("gradio_api/upload", files={"files": ("x.tif", bytes(16 * 2**20 + 1), "image/tiff")})
    assert answer.status_code == 413


def test_no_file_of_the_machine_is_served(http: httpx.Client) -> None:
    for path in ("/etc/passwd", str(ROOT / "pyproject.toml")):
        assert http.get(f"gradio_api/file={path}").status_code in (403, 404)
    assert http.get("monitoring").status_code in (403, 404)


def test_callbacks_are_no_public_interface(http: httpx.Client) -> None:
    assert http.get("gradio_api/info").json() == {"named_endpoints": {}, "unnamed_endpoints": {}}
    assert "/tmp/" not in json.dumps(http.get("config").json())


def test_uploads_are_private_and_go_with_the_page(endpoint: str, tmp_path: Path) -> None:
    served = launch(UiSettings(port=0, url=endpoint, experiments=tmp_path))
    with httpx.Client(base_url=served.url, timeout=60) as http:
        inside = Path(upload(http, "x.tif", b"hello"))
    folder = inside.parents[1]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    served.close()
    assert not folder.exists()


def test_taken_port_is_said_before_anything_starts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(BusyError, match=f"port {port} of 127.0.0.1 is taken"):
            launch(UiSettings(port=port))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.com", ""])
def test_other_hosts_than_loopback_are_refused(host: str) -> None:
    with pytest.raises(SettingsError, match="reverse proxy"):
        launch(UiSettings(host=host, port=0))
