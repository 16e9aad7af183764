"""Endpoint settings that cannot work are refused."""

from __future__ import annotations

import pytest

from pipelines.errors import SettingsError
from serve.settings import ServeSettings


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"host": "0.0.0.0"}, "loopback only"),
        ({"port": 0}, "port: input should be greater"),
        ({"port": 70000}, "port: input should be less"),
        ({"max_batch_size": 100}, "no batch could fill"),
        ({"prot": 1}, 'Did you mean "port"'),
    ],
)
def test_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        ServeSettings.parse(wrong)
    assert said in str(caught.value)
