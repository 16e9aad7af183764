"""Flags from settings: each field once, those of inner settings by their full names, a file below and flags above."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
import typer
from pydantic import Field
from typer.testing import CliRunner

from pipelines.errors import LandsweepError
from pipelines.flags import flags_of
from pipelines.settings import Settings


class Inner(Settings):
    angle: float = Field(default=0, ge=0, le=45, description="degrees")
    kind: Literal["round", "square"] = Field(default="round", description="shape")
    on: bool = Field(default=True, description="whether at all")


class Outer(Settings):
    place: Path = Field(description="where")
    names: list[str] = Field(default=[], description="any number")
    size_of_all: int = Field(default=3, ge=1, description="how large")
    inner: Inner = Field(default=Inner(), description="more")
    share: float | None = Field(default=None, ge=0, lt=1, description="may be nothing")
    goal: Literal["as high as can be", "as low as can be", "neither"] = Field(default="neither", description="wanted")


def run(*arguments: object, config: bool = False, positional: tuple[str, ...] = ("place",)) -> tuple[Any, str]:
    """What a command got, and what it printed."""
    got: list[Any] = []

    def act(settings: Outer, loud: bool = False) -> None:
        """Do it."""
        got.extend([settings, loud])

    app = typer.Typer()
    app.command()(flags_of(Outer, act, arguments=positional, config=config))
    ended = CliRunner().invoke(app, [str(each) for each in arguments], env={"COLUMNS": "200", "TERM": "dumb"})
    if isinstance(ended.exception, LandsweepError):
        raise ended.exception
    return got, ended.output


def test_what_is_not_given_is_the_models_default() -> None:
    (settings, loud), _ = run("here")
    assert settings == Outer(place=Path("here"))
    assert settings.model_fields_set == {"place"}
    assert loud is False


def test_inner_settings_have_flags_of_their_own() -> None:
    given = ["--inner-angle", 15, "--inner-kind", "square", "--no-inner-on", "--size-of-all", 9, "--share", 0.5]
    (settings, loud), _ = run("here", *given, "--names", "a", "--names", "b", "--loud")
    assert settings.inner == Inner(angle=15, kind="square", on=False)
    assert (settings.size_of_all, settings.share, settings.names, loud) == (9, 0.5, ["a", "b"], True)


def test_the_model_says_what_is_wrong() -> None:
    with pytest.raises(LandsweepError, match=r"inner\.angle: .* 45, not 60"):
        run("here", "--inner-angle", 60)
    with pytest.raises(LandsweepError, match=r"inner\.kind: .*'round' or 'square'"):
        run("here", "--inner-kind", "oval")


def test_help_names_every_field_with_its_default_and_choices() -> None:
    _, shown = run("--help")
    for text in ("--inner-angle", "degrees (default 0", "round|square", "--no-inner-on", "may be nothing", "Do it."):
        assert text in shown


def test_help_tells_types_and_limits() -> None:
    _, shown = run("--help")
    for text in ("default 0; 0 to 45", "default 3; at least 1", "may be nothing (at least 0, below 1)"):
        assert text in shown
    line = next(line for line in shown.splitlines() if "--share" in line)
    assert "<float>" in line


def test_many_choices_are_listed_where_lines_fold() -> None:
    _, shown = run("--help")
    assert "default neither; one of as high as can be, as low as can be, neither" in shown
    assert "be|as low" not in shown


def test_a_flag_goes_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("place: there\nsize_of_all: 5\ninner:\n  angle: 10\n  kind: square\n")
    (settings, _), _ = run("--config", file, "--inner-angle", 20, config=True, positional=())
    assert settings == Outer(place=Path("there"), size_of_all=5, inner=Inner(angle=20, kind="square"))


def test_what_neither_file_nor_flags_give_is_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("size_of_all: 5\n")
    with pytest.raises(LandsweepError, match=r"settings.yaml and command line: place: field required"):
        run("--config", file, config=True, positional=())
    with pytest.raises(LandsweepError, match=r"command line: place: field required"):
        run(config=True, positional=())
    file.write_text("size_of_al: 5\n")
    with pytest.raises(LandsweepError, match=r'unknown key "size_of_al"\. Did you mean "size_of_all"'):
        run("--config", file, "--place", "x", config=True, positional=())
