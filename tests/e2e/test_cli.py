"""Every door of the command line: wrong use gets exit 2 and one clear message, never a traceback."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
from typer.testing import CliRunner

from landsweep import command_line
from serve.client import Client
from serve.registry import add_bundle
from tests.doors.command_line import landsweep
from tests.e2e.sockets import processes_below, still_there
from tests.fakes import free_port

ROOT = Path(__file__).parents[2]


def test_help_names_every_verb() -> None:
    """As a process of its own, as users start it."""
    command = [sys.executable, "-m", "landsweep", "--help"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120).stdout
    for verb in ("data", "search", "registry", "models", "serve", "predict", "ui", "demo"):
        assert verb in shown


@cache
def every_help() -> list[tuple[Any, str]]:
    """Each verb and group of verbs, with its help at 80 columns."""
    found, pending = [], [([], typer.main.get_command(app := command_line()))]
    while pending:
        words, command = pending.pop()
        pending += [([*words, name], each) for name, each in getattr(command, "commands", {}).items()]
        found.append((command, CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "80"}).stdout))
    return found


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


WRONG: list[tuple[list[str], str]] = [
    (["data", "ingest", "absent", "out"], "absent: no such folder"),
    (["data", "ingest", "{empty}", "out"], "no archive here. It must hold BigEarthNet v2 or v1, a folder of"),
    (["data", "ingest", "{archive}", "out", "--subset", "0%"], "0% is not above 0% and up to 100%"),
    (["data", "ingest", "{archive}", "out", "--subset", "5000"], "5000 asks for 5000 patches, there are 96"),
    (["data", "ingest", "{archive}", "out", "--split", "half"], "'official', 'balanced' or 'places', not 'half'"),
    (["data", "ingest", "{archive}", "nosuch://out"], "nosuch:// addresses cannot be read here"),
    (["data", "download", "out", "--url", "ftp://example.org/a.tar"], "ftp"),
    (["data", "download", "out", "--version", "v3"], "'v2' or 'v1', not 'v3'"),
    (["data", "stats", "absent"], "no such dataset folder"),
    (["data", "ingest", "{archive}", "out", "--bands", "B04,B99"], 'unknown band "B99". Did you mean "B09"?'),
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
    (["registry", "add", "a/b", "{bundle}", "--folder", "{empty}"], '"a/b" cannot name a model'),
    (["registry", "promote", "x", "1", "--folder", "{empty}"], 'no model "x" in the registry'),
    (["registry", "promote", "x", "one", "--folder", "{empty}"], "Invalid value for 'version'"),
    (["registry", "rollback", "x", "--folder", "{empty}"], 'no model "x" in the registry'),
    (["serve", "--registry", "{empty}", "--port", "{free}"], "no model is registered"),
    (["serve", "--host", "0.0.0.0"], "loopback only"),
    (["serve", "--port", "70000"], "less than or equal to 65535, not 70000"),
    (["serve", "--port", "http"], "port"),
    (["serve", "--replicas", "-1"], "greater than or equal to 1, not -1"),
    (["serve", "--max-batch-size", "100"], "max_batch_size is more than max_ongoing, so no batch could fill"),
    (["serve", "--prot", "1"], "Possible options: --host, --port"),
    (["serve", "--registry", "{empty}", "--models", "sea", "--port", "{free}"], 'no model "sea" in the registry'),
    (["ui", "--host", "0.0.0.0"], "0.0.0.0"),
    (["ui", "--port", "-1"], "greater than or equal to 0, not -1"),
    (["predict"], "Missing argument"),
    (["predict", "absent.tif"], "absent.tif: no such file"),
    (["predict", "{empty}"], "is a directory. Give the path of a GeoTIFF"),
    (["predict", "absent.tif", "--url", "somewhere"], "somewhere: not a URL. Such as http://127.0.0.1:8000"),
    (["predict", "absent.tif", "--band", "B04"], "Possible options: --bands"),
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
]


@pytest.mark.parametrize(("arguments", "said"), WRONG)
def test_wrong_use_exits_2_with_one_message(
    arguments: list[str], said: str, archive: Path, bundle: Path, tmp_path: Path
) -> None:
    """In this process, which has loaded already what each of so many would have to."""
    places = {"empty": tmp_path / "empty", "full": tmp_path / "full", "archive": archive, "bundle": bundle}
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note.yaml").write_text("name: a\ndata: b\ntrails: 3\n")
    (tmp_path / "full" / "nodata.yaml").write_text(f"name: a\ndata: {tmp_path}/absent\n")
    filled = [argument.format(**places, free=free_port()) for argument in arguments]
    ended = landsweep(*(tmp_path / "out" if argument == "out" else argument for argument in filled))
    assert (ended.code, ended.out) == (2, ""), ended.err
    assert said in " ".join(ended.err.replace("│", " ").split())
    assert "Traceback" not in ended.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("verb", ["serve", "ui", "demo"])
def test_port_in_use(verb: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        more = ["--out", tmp_path / "demo"] if verb == "demo" else []
        ended = landsweep(verb, "--port", taken.getsockname()[1], *more)
    assert (ended.code, ended.out) == (1, "")
    assert "is taken" in ended.err
    assert "Traceback" not in ended.err
    assert not (tmp_path / "demo").exists()


@pytest.mark.slow
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


def test_json_is_one_object_on_standard_output(shards: Path, bundle: Path, tmp_path: Path) -> None:
    checked = json.loads(landsweep("data", "check", shards, "--json").out)
    assert sum(checked["patches"].values()) == 96
    added = json.loads(landsweep("registry", "add", "land", bundle, "--folder", tmp_path, "--json").out)
    assert (added["version"], added["production"]) == (1, True)
    listed = json.loads(landsweep("registry", "list", "--folder", tmp_path, "--json").out)
    assert listed["models"] == [{"name": "land", "version": 1, "production": True}]
    listed = json.loads(landsweep("models", "list", "--json").out)
    assert {"landnet", "resnet18", "vit"} < {model["name"] for model in listed["models"]}


def test_search_template_can_be_run_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "a-folder-with-a-long-name-such-as-tests-have" / "mine.yaml"
    made = landsweep("search", "init", file, "--data", tmp_path / "absent")
    assert (made.code, made.err) == (0, f"Wrote {file}. Run it with: landsweep search run {file}\n")
    ended = landsweep("search", "run", file)
    assert (ended.code, "no such dataset folder" in ended.err) == (2, True)
