"""Every door of the command line: wrong use gets exit 2 and one clear message, never a traceback."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
from typer.testing import CliRunner

from landsweep import command_line, main
from serve.client import Client
from serve.registry import add_bundle
from tests.e2e.sockets import processes_below, still_there
from tests.fakes import free_port

ROOT = Path(__file__).parents[2]


def landsweep(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "landsweep", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, timeout=120
    )


def test_help_names_every_verb() -> None:
    shown = landsweep("--help").stdout
    for verb in ("data", "search", "registry", "models", "serve", "predict", "ui", "demo"):
        assert verb in shown


def every_help() -> Iterator[tuple[Any, str]]:
    """Each verb and group of verbs, with its help at 80 columns."""
    pending = [([], typer.main.get_command(app := command_line()))]
    while pending:
        words, command = pending.pop()
        pending += [([*words, name], each) for name, each in getattr(command, "commands", {}).items()]
        yield command, CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "80"}).stdout


def test_help_at_80_columns_has_every_option_by_its_full_name() -> None:
    seen = set()
    for command, shown in every_help():
        flags = {flag for each in command.params for flag in (*each.opts, *each.secondary_opts) if flag[0] == "-"}
        assert flags - set(shown.split()) == set(), command.name
        assert max(map(len, shown.splitlines())) <= 80, command.name
        seen |= flags
    assert {"--loss-max-positive-weight", "--no-augment-flips", "--rows-per-part", "--page-port"} < seen


def test_help_at_80_columns_says_in_full_what_each_verb_does() -> None:
    for group, shown in every_help():
        for verb in getattr(group, "commands", {}).values():
            assert " ".join(verb.help.split()) in " ".join(shown.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["data", "ingest", "absent", "out"], "absent: no such folder"),
        (["data", "ingest", "{empty}", "out"], "no archive here. It must hold BigEarthNet v2 or v1, or GeoTIFFs"),
        (["data", "ingest", "{archive}", "out", "--subset", "0%"], "0% is not above 0% and up to 100%"),
        (["data", "ingest", "{archive}", "out", "--subset", "5000"], "5000 asks for 5000 patches, there are 96"),
        (["data", "ingest", "{archive}", "out", "--split", "half"], "'auto', 'official' or 'balanced', not 'half'"),
        (["data", "ingest", "{archive}", "nosuch://out"], "nosuch:// addresses cannot be read here"),
        (["data", "download", "out", "--url", "ftp://example.org/a.tar"], "ftp"),
        (["data", "download", "out", "--version", "v3"], "'v2' or 'v1', not 'v3'"),
        (["data", "stats", "absent"], "no such dataset folder"),
        (["data", "ingest", "{archive}", "out", "--bands", "B04,B8"], 'unknown band "B8". Did you mean "B8A"?'),
        (["data", "ingest", "{archive}", "out", "--rows-per-part", "-1"], "greater than or equal to 1, not -1"),
        (["data", "ingest", "{archive}", "out", "--row-per-part", "1"], "Possible options: --rows-per-part"),
        (["data", "ingest", "{archive}", "{full}"], "folder is not empty"),
        (["data", "sample", "{full}"], "not an empty folder"),
        (["data", "sample", "out", "--patches", "3"], "greater than or equal to 10, not 3"),
        (["data", "check", "absent"], "no such dataset folder. Pack an archive with `landsweep data ingest"),
        (["search", "run", "absent.yaml"], "absent.yaml: no such file"),
        (["search", "run", "{full}/note.yaml"], 'unknown key "trails". Did you mean "trials"?'),
        (["search", "run", "{full}/nodata.yaml"], "no such dataset folder"),
        (["search", "show", "absent", "--experiments", "{empty}"], 'no study "absent"'),
        (["search", "init", "{full}/note.yaml"], "file exists already"),
        (["registry", "add", "x", "absent"], "no such folder"),
        (["registry", "promote", "x", "1", "--folder", "{empty}"], 'no model "x" in the registry'),
        (["serve", "--registry", "{empty}", "--port", "{free}"], "no model is registered"),
        (["serve", "--host", "0.0.0.0"], "loopback only"),
        (["ui", "--host", "0.0.0.0"], "0.0.0.0"),
        (["predict", "absent.tif"], "absent.tif: no such file"),
        (["models", "show", "landnot"], 'unknown model "landnot". Did you mean "landnet" or'),
        (["models", "show", "landnet", "--size", "10"], "greater than or equal to 20, not 10"),
        (["train", "--data", "absent", "--out", "out"], "no such dataset folder"),
        (
            ["train", "--data", "{archive}", "--augment-rotation", "60"],
            "augment.rotation: input should be less than",
        ),
        (["train", "--data", "{archive}", "--seed", "2147483648"], "seed: input should be less than 2147483648"),
        (["train", "--config", "{full}/note.yaml"], 'note.yaml and command line: unknown key "name"'),
        (["train", "--out", "out", "--resume"], "no run"),
        (["test", "{empty}", "--data", "{archive}"], "no bundle there"),
        (["explain", "{bundle}", "--data", "absent", "--out", "out"], "no such dataset folder"),
        (["report", "absent.npz", "--out", "out"], "absent.npz: no such file"),
        (["export", "{empty}", "--out", "out"], "no bundle there"),
    ],
)
def test_wrong_use_exits_2_with_one_message(
    arguments: list[str],
    said: str,
    archive: Path,
    bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In this process, which has loaded already what each of forty would have to."""
    places = {"empty": tmp_path / "empty", "full": tmp_path / "full", "archive": archive, "bundle": bundle}
    places["free"] = free_port()
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note.yaml").write_text("name: a\ndata: b\ntrails: 3\n")
    (tmp_path / "full" / "nodata.yaml").write_text(f"name: a\ndata: {tmp_path}/absent\n")
    filled = [argument.format(**places) if "{" in argument else argument for argument in arguments]
    filled = [str(tmp_path / "out") if argument == "out" else argument for argument in filled]
    monkeypatch.setattr(sys, "argv", ["landsweep", *filled])
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr().err
    assert ended.value.code == 2, told
    assert said in " ".join(told.replace("│", " ").split())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("verb", ["serve", "ui", "demo"])
def test_port_in_use(verb: str, bundle: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        more = ["--out", tmp_path / "demo"] if verb == "demo" else []
        ended = landsweep(verb, "--port", taken.getsockname()[1], *more)
    assert ended.returncode == 1
    assert "is taken" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "demo").exists()


def test_serve_ends_when_a_service_manager_tells_it_to(bundle: Path, tmp_path: Path) -> None:
    """On Ctrl-C it ends as the demo does; see `test_demo`."""
    add_bundle(tmp_path / "registry", "land", bundle)
    port = free_port()
    command = [sys.executable, "-m", "landsweep", "serve", "--registry", tmp_path / "registry", "--port", str(port)]
    with open(tmp_path / "log", "wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
    while "Serving at" not in (tmp_path / "log").read_text():
        assert process.poll() is None, (tmp_path / "log").read_text()
        time.sleep(0.2)
    with Client(f"http://127.0.0.1:{port}") as client:
        assert client.ready()
    pids = processes_below(process.pid)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0
    assert still_there(pids) == set()
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_ui_says_where_it_is_and_how_to_end_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "landsweep", "ui", "--port", "0", "--experiments", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.fullmatch(r"Page at (http://127\.0\.0\.1:\d+) .*Ctrl-C ends it\.\n", line)
        assert found, line
        assert httpx.get(found[1], timeout=60).status_code == 200
        process.send_signal(signal.SIGINT)
        assert (process.wait(timeout=60), process.stderr.read()) == (0, "")


def test_endpoint_that_does_not_answer(tmp_path: Path) -> None:
    (tmp_path / "x.tif").write_bytes(b"II*\0")
    ended = landsweep("predict", tmp_path / "x.tif", "--url", "http://127.0.0.1:9")
    assert (ended.returncode, "Start it with `landsweep serve`" in ended.stderr) == (1, True)


def test_json_is_one_object_on_standard_output(shards: Path, bundle: Path, tmp_path: Path) -> None:
    checked = json.loads(landsweep("data", "check", shards, "--json").stdout)
    assert sum(checked["patches"].values()) == 96
    added = json.loads(landsweep("registry", "add", "land", bundle, "--folder", tmp_path, "--json").stdout)
    assert (added["version"], added["production"]) == (1, True)
    listed = json.loads(landsweep("registry", "list", "--folder", tmp_path, "--json").stdout)
    assert listed["models"] == [{"name": "land", "version": 1, "production": True}]
    listed = json.loads(landsweep("models", "list", "--json").stdout)
    assert {"landnet", "resnet18", "vit"} < {model["name"] for model in listed["models"]}


def test_search_template_can_be_run_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "a-folder-with-a-long-name-such-as-tests-have" / "mine.yaml"
    made = landsweep("search", "init", file, "--data", tmp_path / "absent")
    assert (made.returncode, made.stderr) == (0, f"Wrote {file}. Run it with: landsweep search run {file}\n")
    ended = landsweep("search", "run", file)
    assert (ended.returncode, "no such dataset folder" in ended.stderr) == (2, True)
