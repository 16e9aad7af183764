"""What tests share: one Ray for all, one small archive, its shards, and a bundle. Everything real, everything small."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from pipelines import cluster
from tests.side_by_side import Groups, check_places, costly_first, once

OF_A_SHELL = {
    "RAY_ADDRESS", "RAY_API_SERVER_ADDRESS",  # somebody's running cluster
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY",  # the way out, which nothing here takes
    "COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "PY_COLORS", "GITHUB_ACTIONS", "TTY_COMPATIBLE",  # a terminal
    "MPLBACKEND", "HF_ENDPOINT", "HF_HUB_OFFLINE",
}  # fmt: skip
"""What a shell may have set, and no test may hang on. Those that try such a thing set it themselves."""

for _name in [name for name in os.environ if name.upper() in OF_A_SHELL]:
    del os.environ[_name]
if "PYTEST_XDIST_WORKER" in os.environ:  # processes side by side that each take all cores wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["CUDA_VISIBLE_DEVICES"] = ""  # a machine with a GPU runs the same tests, bit for bit as they ask for it
os.environ["MATPLOTLIBRC"] = os.devnull  # and draws with nobody's own fonts and sizes
cluster.prepare()  # before anything imports ray
pytest.register_assert_rewrite(
    "tests.pipelines", "tests.models", "tests.doors"
)  # so that suites say what differs, as tests do

# How fast a machine draws examples and runs them is no fault of what is tested; pytest's timeout is the end of it.
# Examples of one test share a folder, which each fills anew.
whatever = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
settings.register_profile("any machine", deadline=None, suppress_health_check=whatever)
settings.load_profile("any machine")

from pipelines.settings import IngestSettings, SampleSettings  # noqa: E402  after prepare()

REAL = Path(__file__).parents[2] / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    check_places(items)
    if "PYTEST_XDIST_WORKER" in os.environ:
        costly_first(items)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Groups:
    return Groups(config, log)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Real patches and scenes, where the checkout has them beside it."""
    if not REAL.is_dir():
        pytest.skip("the real data lies beside the checkout, in ../shared/data, and is not there")
    return REAL


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """One Ray for all tests, with more logical CPUs than there may be cores, so that nothing waits for a CPU."""
    with cluster.ray_cluster(num_cpus=4):
        yield


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic archive of 96 clean patches."""
    from pipelines.synthetic.sample import write_sample

    return once(tmp_path_factory, "archive", lambda out: write_sample(SampleSettings(out=out, patches=96, workers=1)))


@pytest.fixture(scope="session")
def shards(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive's dataset folder, of a part a split, which are packed without Ray."""
    from pipelines.packing.ingest import ingest

    return once(
        tmp_path_factory, "shards", lambda out: ingest(IngestSettings(source=archive, out=out, rows_per_part=96))
    )


@pytest.fixture(scope="session")
def bundle(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A landnet bundle with fresh weights: all that serving needs to be real is there but the training."""
    from tests.fakes import write_fresh_bundle

    return write_fresh_bundle(tmp_path_factory.mktemp("bundle") / "landnet", shards, bands="all", seed=1)


@pytest.fixture(scope="session")
def chromium() -> Path:
    """Debian's Chromium. Under CI its absence is a failure."""
    for name in ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"):
        if Path(name).exists():
            return Path(name)
    if os.environ.get("CI"):
        pytest.fail("no Chromium under CI: `.ci/run` should have installed it")
    pytest.skip("no Chromium here; on Debian: apt install chromium")
