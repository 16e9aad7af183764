"""Settings from YAML, and YAML's traps."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import Field

from pipelines.errors import SettingsError
from pipelines.settings import IngestSettings, Settings, load_yaml


class Inner(Settings):
    rate: float = Field(default=0.1, gt=0, description="a number")
    note: str = ""


class Outer(Settings):
    name: str = Field(description="a name")
    inner: Inner = Inner()


def write(folder: Path, text: str) -> Path:
    path = folder / "settings.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_dump_and_load_round_trip(tmp_path: Path) -> None:
    settings = IngestSettings(source=Path("in"), out=Path("out"), max_bad=0.5)
    assert IngestSettings.load(write(tmp_path, settings.dump_yaml())) == settings


@example("\x85", 1.0)
@example("no break\xa0", 1.0)
@example("one\u2028two\u2029", 1.0)
@given(st.text(st.characters(exclude_categories=["Cs"])), st.floats(min_value=1e-300, allow_infinity=False))
def test_any_text_round_trips_in_settings_and_in_those_within(name: str, rate: float) -> None:
    settings = Outer(name=name, inner=Inner(rate=rate, note=name))
    with TemporaryDirectory() as folder:
        assert Outer.load(write(Path(folder), settings.dump_yaml())) == settings


def test_number_like_strings_become_numbers(tmp_path: Path) -> None:
    assert Outer.load(write(tmp_path, "name: a\ninner: {rate: 1e-3}")).inner.rate == 0.001


@pytest.mark.parametrize(("given", "share"), [("25%", 0.25), ("2.5 %", 0.025), ("0.5", 0.5), ("1e-3", 0.001), (1, 1)])
def test_shares_are_percent_or_from_0_to_1(given: object, share: float) -> None:
    assert IngestSettings.parse({"source": "a", "out": "b", "max_bad": given}).max_bad == share


@pytest.mark.parametrize("given", ["150%", "2", "-5%", "%", "", "nan", "a tenth", None])
def test_other_shares_are_refused(given: object) -> None:
    with pytest.raises(SettingsError, match="max_nodata"):
        IngestSettings.parse({"source": "a", "out": "b", "max_nodata": given})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: a\nname: b", 'line 2, column 1: key "name" is given twice'),
        ("name: &x a\nother: *x", "aliases are not allowed"),
        ("name: 2024-13-45", "not valid YAML (month must be in 1..12)"),
        ("name: a\n\tinner: {}", "line 2, column 1"),
        ("name: !!python/object:os.system a", "line 1, column 7"),
        ("name: a\nnmae: b", 'unknown key "nmae". Did you mean "name"?'),
        ("name: a\ninner: {rte: 1}", 'unknown key "inner.rte". Did you mean "rate"?'),
        ("name: a\ninner: {rate: -1}", "inner.rate: input should be greater than 0, not -1"),
        ("inner: {}", "name: field required"),
        ("- a", "not a mapping"),
        ("", "not a mapping"),
        ("a: " + "[" * 40 + "]" * 40, "nested too deeply"),
        ("a: " + "x" * 1_000_001, "over 1 MB"),
    ],
)
def test_wrong_yaml_is_refused_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Outer.load(write(tmp_path, text))
    assert said in str(caught.value)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such file"):
        load_yaml(tmp_path / "absent.yaml")


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Inner().rate = 2  # type: ignore[misc]  # that is what is tried
