"""The search file that `init` writes: short, complete, and read back as what it was made of."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from models.nets.priors import prior_of
from pipelines.errors import SettingsError
from tests.fakes import write_dataset
from tune.commands import mount
from tune.settings import Range, SearchSettings, Space
from tune.template import WIDTH, sized, template


def loaded(text: str) -> SearchSettings:
    """What a file with this text says."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "s.yaml"
        file.write_text(text, encoding="utf-8")
        return SearchSettings.load(file)


def test_it_is_read_back_short_and_every_line_fits() -> None:
    begun = sized("first", "shards")
    text = template(begun)
    assert loaded(text) == begun
    assert len(text.splitlines()) < 135
    assert max(map(len, text.splitlines())) <= WIDTH


def test_every_setting_is_there_with_its_meaning() -> None:
    lines = template(sized("first", "shards")).splitlines()
    for holder, indent in ((SearchSettings, ""), (Space, "  ")):
        for name, field in holder.model_fields.items():
            if name in ("models", "losses"):  # said with model and loss
                continue
            key = field.alias or name
            place = next(at for at, line in enumerate(lines) if line.startswith(f"{indent}{key}:"))
            words = (field.description or "").split()
            assert words[-1] in lines[place] or words[-1] in lines[place - 1], name


@settings(max_examples=15)
@given(st.text(min_size=1, max_size=40), st.lists(st.sampled_from(["bce", "focal"]), unique=True))
def test_any_address_and_any_space_is_read_back(data: str, losses: list[str]) -> None:
    space = Space.parse({"loss": {each: {} for each in losses}, "pretrained": [data], "dropout": 0.1})
    begun = sized("first", data).model_copy(update={"space": space, "first": [{"loss": data}]})
    assert yaml.safe_load(template(begun))["first"] == [{"loss": data}]
    again = loaded(template(begun.model_copy(update={"first": []})))
    assert (again.data, again.space) == (data, space)


def test_models_begin_at_their_priors() -> None:
    begun = sized("first", "shards")
    for model in begun.space.model:
        rates, centre = begun.space.models[model].learning_rate, prior_of(model).learning_rate.centre
        assert rates is not None
        assert rates.log
        assert (rates.low * rates.high) ** 0.5 == pytest.approx(centre, rel=0.05)
    paths = begun.space.models["landnet"].drop_path
    assert paths == Range(low=0, high=0.2)


def test_it_is_sized_to_the_dataset(tmp_path: Path) -> None:
    from pipelines.dataset.manifest import open_dataset

    write_dataset(tmp_path / "shards", 70, sizes={"B04": 20, "B03": 20, "B02": 20, "B05": 10})
    begun = sized("first", str(tmp_path / "shards"), open_dataset(tmp_path / "shards"))
    assert begun.space.bands == ["all", "rgb"]
    assert begun.space.batch_size == [8, 16, 32]
    assert begun.epochs == 30
    assert loaded(template(begun)) == begun


def test_init_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import typer

    app = typer.Typer()
    mount(app, lambda folder, name, bundle: {})
    write_dataset(tmp_path / "shards", 70, sizes={"B04": 20})
    file = tmp_path / "first.yaml"
    ended = CliRunner().invoke(app, ["search", "init", str(file), "--data", str(tmp_path / "shards")])
    assert ended.exit_code == 0, ended.output
    assert SearchSettings.load(file).space.bands == ["all"]
    again = CliRunner().invoke(app, ["search", "init", str(file)])
    assert isinstance(again.exception, SettingsError)
