"""The house's own rules: imports go one way, ray and torch stay in their rooms, help answers without them."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("pipelines", "models", "tune", "serve", "ui")

ALLOWED = {
    "pipelines": {"pipelines"},
    "models": {"models", "pipelines"},
    "tune": {"tune", "models", "pipelines"},
    "serve": {"serve", "models", "pipelines"},
    "ui": {"ui", "serve", "tune", "pipelines"},
}
UI_MAY_IMPORT = {"serve.client", "serve.schema", "serve.settings", "tune.study", "tune.settings"}
MAY_IMPORT_RAY = {
    "pipelines/cluster.py",
    "pipelines/packing/ray_job.py",
    "pipelines/feeding/shared.py",
    "tune/distributed.py",
    "tune/progress.py",
    "tune/search.py",
    "tune/searcher.py",
    "tune/trial.py",
    "tune/winner.py",
    "serve/app.py",
    "serve/loopback.py",
}


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def files(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("room", ROOMS)
def test_imports_go_one_way(room: str) -> None:
    for path in files(room):
        for name in imports(path):
            top = name.split(".")[0]
            assert top not in ROOMS or top in ALLOWED[room], f"{path.relative_to(ROOT)} imports {name}"
            if room == "ui" and top in ("serve", "tune"):
                assert name in UI_MAY_IMPORT, f"{path.relative_to(ROOT)} imports {name}"


def test_ray_is_imported_in_a_handful_of_files() -> None:
    using = {
        str(path.relative_to(ROOT))
        for room in ROOMS
        for path in files(room)
        if any(name.split(".")[0] == "ray" for name in imports(path))
    }
    assert using == MAY_IMPORT_RAY


@pytest.mark.parametrize(
    "module", ["landsweep", "serve.client", "serve.registry", "tune.study", "ui.app", "pipelines.pixels.patch"]
)
def test_light_modules_load_neither_torch_nor_ray(module: str) -> None:
    code = f"import sys, {module}; sys.exit(', '.join({{'torch', 'ray', 'timm'}} & set(sys.modules)) or 0)"
    ended = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def test_help_loads_no_heavy_package() -> None:
    heavy = {"torch", "ray", "timm", "gradio", "optuna", "pandas", "numpy", "rasterio", "pyarrow", "sklearn"}
    code = f"import sys, landsweep; sys.exit(', '.join({heavy!r} & set(sys.modules)) or 0)"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def test_every_module_says_why_it_exists() -> None:
    for room in ROOMS:
        for path in files(room):
            assert ast.get_docstring(ast.parse(path.read_text())), f"{path.relative_to(ROOT)} has no docstring"


def test_cluster_file_passes_the_autoscalers_schema(capsys: pytest.CaptureFixture[str]) -> None:
    import yaml
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = prepare_config(yaml.safe_load((ROOT / "cluster.yaml").read_text()))
    validate_config(config)
    assert config["max_workers"] == 8
    assert config["available_node_types"]["gpu"]["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
