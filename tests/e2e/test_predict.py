"""`landsweep predict` at the real routes: each file is answered, or told what is wrong with it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from landsweep import main
from tests.fakes import nobody
from tests.ui.stand_in import make_tiff, served_endpoint

Predict = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served_endpoint() as address:
        yield address


@pytest.fixture
def predict(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Predict:
    """Runs the verb on files by name; returns its exit code, standard output, and errors."""
    (tmp_path / "good.tif").write_bytes(make_tiff())
    (tmp_path / "rgb.tif").write_bytes(make_tiff(("B04", "B03", "B02")))
    (tmp_path / "empty.tif").write_bytes(b"")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, at: str = url) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["landsweep", "predict", *arguments, "--url", at])
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        return int(ended.value.code or 0), told.out, told.err

    return run


def test_wrong_files_leave_the_others_answers(predict: Predict) -> None:
    code, out, err = predict("rgb.tif", "good.tif", "absent.tif")
    assert code == 2
    assert "file: good.tif" in out and "rgb.tif" not in out
    first, second = err.splitlines()
    assert first.startswith("error: rgb.tif: file has 3 bands") and second.startswith("error: absent.tif: no such file")


def test_json_has_predictions_and_errors_by_file(predict: Predict) -> None:
    code, out, err = predict("good.tif", "rgb.tif", "--json")
    found = json.loads(out)
    assert (code, list(found["predictions"]), list(found["errors"])) == (2, ["good.tif"], ["rgb.tif"])
    assert found["errors"]["rgb.tif"] in err
    code, out, err = predict("good.tif", "--json")
    assert (code, json.loads(out)["errors"], err) == (0, {}, "")


def test_exit_code_is_the_worst_met(predict: Predict) -> None:
    with nobody() as down:
        assert predict("good.tif", at=down)[0] == 1
        assert predict("absent.tif", "good.tif", at=down)[0] == 2


def test_messages_speak_of_files_and_options(predict: Predict) -> None:
    _, _, err = predict("rgb.tif", "empty.tif")
    assert "name the file's bands with --bands." in err
    assert "empty.tif: the file is empty. Give a GeoTIFF" in err
    _, _, more = predict("rgb.tif", "--bands", "B1,B2,B3")
    assert 'rgb.tif: bands: unknown band "B1"' in more
    for word in ("?bands=", "/v1/", "body", "content type"):
        assert word not in err + more
