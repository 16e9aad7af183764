"""`landsweep predict` at the real routes: each file is answered, or told what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doors.command_line import CommandLineTests, predict
from tests.fakes import nobody
from tests.ui.stand_in import make_tiff, served_endpoint


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served_endpoint() as address:
        yield address


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in, with one right file and one wrong."""
    (tmp_path / "good.tif").write_bytes(make_tiff())
    (tmp_path / "rgb.tif").write_bytes(make_tiff(("B04", "B03", "B02")))
    monkeypatch.chdir(tmp_path)
    return tmp_path


class TestPredict(CommandLineTests):
    pass


def test_wrong_files_leave_the_others_answers(url: str, files: Path) -> None:
    ended = predict(url, "rgb.tif", "good.tif", "absent.tif")
    assert ended.code == 2
    assert "file: good.tif" in ended.out and "rgb.tif" not in ended.out
    first, second = ended.err.splitlines()
    assert first.startswith("error: rgb.tif: file has 3 bands") and second.startswith("error: absent.tif: no such file")


def test_json_has_predictions_and_errors_by_file(url: str, files: Path) -> None:
    ended = predict(url, "good.tif", "rgb.tif", "--json")
    found = json.loads(ended.out)
    assert (ended.code, list(found["predictions"]), list(found["errors"])) == (2, ["good.tif"], ["rgb.tif"])
    assert found["errors"]["rgb.tif"] in ended.err
    ended = predict(url, "good.tif", "--json")
    assert (ended.code, json.loads(ended.out)["errors"], ended.err) == (0, {}, "")


def test_exit_code_is_the_worst_met(files: Path) -> None:
    with nobody() as down:
        ended = predict(down, "good.tif")
        assert (ended.code, ended.out) == (1, "")
        assert f"error: {down}: the endpoint does not answer. Start it with `landsweep serve`." in ended.err
        assert predict(down, "absent.tif", "good.tif").code == 2


def test_messages_tell_of_options_where_a_request_would_tell_of_its_parts(url: str, files: Path) -> None:
    assert "name the file's bands in file order in --bands." in predict(url, "rgb.tif").err
    assert "rgb.tif: file has 3 bands (B1, B2, B3)" in predict(url, "rgb.tif", "--bands", "B1,B2,B3").err


@pytest.mark.parametrize("name", ["[bold]x.tif", "<b>x.tif", "Ä ü.tif", "{x}.tif", "-x.tif"])
def test_names_of_files_are_shown_as_they_are(url: str, files: Path, name: str) -> None:
    """Such as what a terminal's library would take for a style."""
    (files / "rgb.tif").rename(files / name)
    assert predict(url, f"./{name}").err.startswith(f"error: {name}: file has 3 bands")


@pytest.mark.parametrize(
    "address", ["somewhere", "ftp://127.0.0.1/", "http://", "http://[::1", "", "/tmp", "http://a:b"]
)
def test_what_is_no_url_is_said(files: Path, address: str) -> None:
    ended = predict(address, "good.tif")
    assert ended.code == 2
    assert "not a URL. Such as http://127.0.0.1:8000." in ended.err
