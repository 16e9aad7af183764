"""t"""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.doors.in_process import InProcess
from tests.doors.requests import HttpTests
from tests.ui.stand_in import make_endpoint


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    with httpx.Client(transport=InProcess(make_endpoint()), base_url="http://endpoint.test") as client:
        yield client


class TestInProcess(HttpTests):
    pass
