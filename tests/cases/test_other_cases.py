"""What people bring, as the scripts in ../shared/cases make it: files whose bands have other names, ways to send them,
machines that refuse something, predictions of others. What is packed is tried beside this file."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.bands import ALL_BANDS
from pipelines.pixels.patch import Patch
from serve.routes import create_app
from serve.schema import LabelPrediction
from tests.doors.command_line import landsweep, predict
from tests.fakes import nobody
from tests.ui.stand_in import StandIn, model_info, served_endpoint

ROOT = Path(__file__).parents[2]

Made = Callable[[str], tuple[Path, list[str]]]
"""Runs a script: its folder, and what it says is to be tried."""


@pytest.fixture(scope="module")
def made(cases: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("cases")

    def make(name: str) -> tuple[Path, list[str]]:
        command = [sys.executable, str(cases / f"{name}.py"), str(folder)]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return folder / name, [line.removeprefix("TRY: ") for line in told.splitlines() if line.startswith("TRY: ")]

    return make


class ByNumbers(StandIn):
    """Takes the twelve bands at 32 px; the same numbers in every band, the same answer, and another for any other."""

    def __init__(self) -> None:
        super().__init__((model_info("twelve").model_copy(update={"image_size": 32}),))

    async def predict(self, model: str, patch: Patch) -> list[LabelPrediction]:
        seed = [int(number) for band in ALL_BANDS for number in np.asarray(patch.pixels[band], np.float64)[:4, :4].flat]
        chance = float(np.random.default_rng(seed).random())
        return [LabelPrediction(label="Forest", probability=chance, threshold=0.5, positive=chance >= 0.5)]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served_endpoint(app=create_app(ByNumbers())) as served:
        yield served


@pytest.fixture(scope="module")
def files(made: Made) -> tuple[Path, list[str]]:
    return made("h01_files")


def asked(url: str, *arguments: object) -> dict[str, Any]:
    """What `landsweep predict --json` prints, by a file's name: an answer or an error."""
    printed = json.loads(predict(url, *arguments, "--json").out)
    return {Path(path).name: found for kind in ("predictions", "errors") for path, found in printed[kind].items()}


def test_files_with_the_same_numbers_get_the_same_answer_whatever_their_bands_are_called(
    url: str, files: tuple[Path, list[str]]
) -> None:
    names = ("plain", "shuffled", "gee_names", "long_names", "lower", "b08a", "unnamed", "scl", "eurosat13_named")
    found = asked(url, *(files[0] / f"{name}.tif" for name in names))
    assert {json.dumps(each["predictions"]) for each in found.values()} == {
        json.dumps(found["plain.tif"]["predictions"])
    }
    warned = {name.removesuffix(".tif"): each["warnings"] for name, each in found.items() if each["warnings"]}
    assert warned.pop("unnamed")[0].startswith("the file does not name its bands; taken as B01, ")
    assert warned == {"scl": ["bands SCL were not used"], "eurosat13_named": ["bands B10 were not used"]}


def test_what_is_tried_with_names_given_is_answered(url: str, files: tuple[Path, list[str]]) -> None:
    """A band that the model does not need can be named, and is not used."""
    plain = asked(url, files[0] / "plain.tif")["plain.tif"]["predictions"]
    tried = [shlex.split(line)[4:] for line in files[1] if "--bands" in line]
    assert len(tried) == 3
    for words in tried:
        ((name, found),) = asked(url, *words).items()
        assert found["predictions"] == plain, name
        assert found["warnings"] == {"eurosat13.tif": ["bands B10 were not used"]}.get(
            name, ["bands SCL were not used"] if "SCL" in words[1] else []
        )


def test_thirteen_bands_without_names_are_told_how_to_be_named(url: str, files: tuple[Path, list[str]]) -> None:
    found = asked(url, files[0] / "eurosat13.tif", files[0] / "scl_unnamed.tif")
    for told in found.values():
        assert "file has 13 bands without names" in told and "in --bands" in told and "B09,B10,B11,B12" in told


def test_a_geotiff_is_answered_however_it_is_sent(made: Made, url: str) -> None:
    if not shutil.which("curl"):
        pytest.skip("curl is not here; on Debian: apt install curl")
    _, tried = made("h04_http_forms")
    assert len(tried) == 8
    answers = []
    for line in tried:
        command = shlex.split(line.partition("#")[0].replace("http://127.0.0.1:8123", url))
        ended = subprocess.run(command, capture_output=True, text=True, check=True)
        answers.append(json.loads(ended.stdout).get("predictions", ended.stdout))
    assert answers == answers[:1] * 8


def tried(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """One line of a case, as its reader types it; `environment` is set besides."""
    given, _, verb = line.partition("landsweep ")
    named = dict(word.split("=", 1) for word in shlex.split(given))
    plain = {key: value for key, value in os.environ.items() if not key.startswith("RAY_") and key != "TMPDIR"}
    command = [sys.executable, "-m", "landsweep", *shlex.split(verb)]
    return subprocess.run(command, cwd=ROOT, env=plain | named | environment, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["e01_long_tmpdir", "e03_home_not_writable"])
def test_a_machine_that_refuses_something_packs_all_the_same(made: Made, name: str) -> None:
    folder, (line,) = made(name)
    ended = tried(line)
    assert ended.returncode == 0, ended.stderr
    assert (folder / "shards" / "manifest.json").is_file()
    assert "atplotlib" not in ended.stderr and "Traceback" not in ended.stderr


def test_a_folder_that_is_named_and_too_long_is_refused_in_one_line(made: Made) -> None:
    folder, (line,) = made("e01_long_tmpdir")
    ended = tried(line.replace("TMPDIR=", "RAY_TMPDIR=", 1))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert re.fullmatch(
        r"error: RAY_TMPDIR: the path is too long for Ray's sockets: \d+ bytes, and \d+ are the most\. "
        r"Set RAY_TMPDIR to a folder with a shorter path, such as /tmp\.\n",
        ended.stderr,
    )
    assert not (folder / "shards" / "manifest.json").exists()


def test_an_address_where_no_cluster_is_is_told_in_one_line(made: Made) -> None:
    _, (line,) = made("e03_home_not_writable")
    with nobody() as url:
        address = url.removeprefix("http://")
        ended = tried(line, RAY_ADDRESS=address)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        f"error: no Ray cluster answers at {address} (connection refused). "
        "Check RAY_ADDRESS, or unset it to start Ray on this machine.\n"
    )


STORE = {
    "numbers.npz": '"labels" has shape (30,). Its shape is (rows, classes). Of numbers of classes: `np.eye(',
    "objects.npz": 'Store text with `np.array(label_names, dtype="U")`',
    "logits.npz": "which is not from 0 to 1. Store probabilities, after the sigmoid.",
    "other_names.npz": 'There are: y_true, y_pred. Store probabilities as "probs"',
    "table.csv": "not an .npz file. Write the file again with `np.savez(path, probs=…, labels=…)`.",
}


@pytest.mark.parametrize("name", STORE)
def test_predictions_of_other_forms_are_refused_with_what_to_store(made: Made, tmp_path: Path, name: str) -> None:
    folder, _ = made("r01_predictions")
    told = landsweep("report", folder / name, "--out", tmp_path / "out")
    assert (told.code, told.out) == (2, "")
    assert STORE[name] in told.err and len(told.err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["whole.npz", "half_and_bool.npz"])
def test_predictions_of_others_are_reported_without_the_class_that_is_never_there(
    made: Made, tmp_path: Path, name: str
) -> None:
    folder, _ = made("r01_predictions")
    told = json.loads(landsweep("report", folder / name, "--out", tmp_path / "out", "--json").out)
    assert set(told["metrics"]["classes_scored"].values()) == {3}
    assert "No patch has, so counted in no macro average: never there." in told["notes"]
    assert told["metrics"]["per_class"]["never there"]["support"] == 0
