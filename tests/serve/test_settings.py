"""Endpoint settings that cannot work are refused, from a file and from the command line alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import SettingsError
from serve.settings import ServeSettings


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"host": "0.0.0.0"}, "loopback only"),
        ({"host": "::"}, "put a proxy that asks for a password in front of it"),
        ({"host": "example.org"}, "loopback only"),
        ({"host": ""}, "loopback only"),
        ({"port": 0}, "port: input should be greater"),
        ({"port": 70000}, "port: input should be less"),
        ({"port": "http"}, "port"),
        ({"replicas": 0}, "replicas: input should be greater"),
        ({"replicas": 1.5}, "replicas"),
        ({"cpus": 0}, "cpus: input should be greater"),
        ({"gpus": -1}, "gpus: input should be greater"),
        ({"cpus": float("nan")}, "cpus"),
        ({"gpus": float("inf")}, "gpus"),
        ({"batch_wait": -0.1}, "batch_wait"),
        ({"batch_wait": 11}, "batch_wait"),
        ({"max_batch_size": 0}, "max_batch_size"),
        ({"max_batch_size": 100}, "no batch could fill"),
        ({"max_ongoing": 8}, "max_batch_size is more than max_ongoing"),
        ({"max_queued": 0}, "max_queued"),
        ({"max_megabytes": 2000}, "max_megabytes: input should be less"),
        ({"models": "land"}, "models"),
        ({"prot": 1}, 'Did you mean "port"'),
    ],
)
def test_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        ServeSettings.parse(wrong)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "edge",
    [
        {"host": "localhost"},
        {"port": 1},
        {"port": 65535},
        {"cpus": 0.01, "gpus": 0.5},
        {"max_batch_size": 64},
        {"batch_wait": 0},
        {"models": ["b", "a"]},
    ],
)
def test_what_just_works_is_taken(edge: dict[str, Any]) -> None:
    assert ServeSettings.parse(edge).model_dump(include=set(edge)) == edge


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "models": st.lists(st.text(min_size=1, max_size=9), max_size=3),
            "port": st.integers(1, 65535),
            "cpus": st.floats(0.01, 64),
            "batch_wait": st.floats(0, 10),
            "max_ongoing": st.integers(16, 10_000),
        },
    )
)
def test_written_as_yaml_they_are_read_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, chosen: dict[str, Any]
) -> None:
    file = tmp_path_factory.getbasetemp() / "serve.yaml"
    file.write_text(ServeSettings(**chosen).dump_yaml(), encoding="utf-8")
    assert ServeSettings.load(Path(file)) == ServeSettings(**chosen)


def test_every_setting_says_what_it_is() -> None:
    assert all(field.description for field in ServeSettings.model_fields.values())
