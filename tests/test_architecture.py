"""The house's own rules: imports go one way and through fronts, ray and torch stay in their rooms, help answers
without them."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.house import ROOMS, ROOT, files

ALLOWED = {
    "pipelines": {"pipelines"},
    "models": {"models", "pipelines"},
    "tune": {"tune", "models", "pipelines"},
    "serve": {"serve", "models", "pipelines"},
    "ui": {"ui", "serve", "tune", "pipelines"},
}
ORDER = {
    "pipelines": (
        {"drawing", "pixels"},
        {"dataset", "tar", "synthetic", "tables"},
        {"archives", "download", "feeding", "statistics"},
        {"packing"},
    ),
    "models": (
        {"nets"},
        {"measure", "bundle"},
        {"pretrained", "report"},
        {"explain"},
        {"results"},
        {"training"},
        {"probe", "ensemble"},
    ),
    "tune": (
        {"drawing", "trials"},
        {"schedule"},
        {"outcome"},
    ),
}
"""Folders of a room, from the floor up: each imports only from those before it, and from the room's own top files."""

ENTRIES = {"tune.search"}
"""Top files that call a room's folders, as its command line does."""

MOST_MODULES = 18
"""In one folder: more than this and a group in it has a name."""

UI_MAY_IMPORT = {"serve.client", "serve.schema", "serve.settings", "tune.study", "tune.settings"}
MAY_IMPORT_RAY = {
    "pipelines/cluster.py",
    "pipelines/packing/ray_job.py",
    "pipelines/feeding/shared.py",
    "tune/schedule/budget.py",
    "tune/distributed.py",
    "tune/schedule/progress.py",
    "tune/outcome/finals.py",
    "tune/schedule/run_jobs.py",
    "tune/schedule/scheduler.py",
    "tune/search.py",
    "tune/schedule/searcher.py",
    "tune/trials/trial.py",
    "tune/outcome/winner.py",
    "serve/app.py",
    "serve/loopback.py",
}


def name_of(path: Path) -> str:
    """What Python calls a file's module."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(path): path for room in ROOMS for path in files(room)}


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, at its top, inside a function, or for type checkers alone."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = {f"{node.module}.{alias.name}" for alias in node.names} & MODULES.keys()
            yield from whole or {node.module}


ARROWS = {name: sorted(set(imports(path)) & MODULES.keys()) for name, path in MODULES.items()}
"""Module to the modules of the house that it imports."""


def folder_of(module: str) -> str:
    """`pipelines.tar` of `pipelines.tar.headers`; a room's top files have none."""
    path = MODULES[module]
    return name_of(path.parent) if len(path.relative_to(ROOT).parts) > 2 else ""


FOLDERS = sorted(set(map(folder_of, MODULES)) - {""})


def front_of(folder: str) -> set[str]:
    """The modules of a folder that others may import: what its docstring lists after "Front:"."""
    listed = re.search(r"Front: ([\w,\s]+)\.", ast.get_docstring(ast.parse(MODULES[folder].read_bytes())) or "")
    assert listed, f'{folder}/__init__.py has no line "Front: module, module."'
    return {f"{folder}.{name}" for name in re.split(r",\s*", listed[1])}


def floor_of(module: str) -> int:
    """How high in its room a module stands: its top files on 0, but entries and the command line over all."""
    room, folder = module.split(".")[0], folder_of(module)
    if not folder:
        above = len(ORDER.get(room, ())) + 1
        return above + 1 if module.endswith(".commands") else above if module in ENTRIES else 0
    return next(at for at, names in enumerate(ORDER[room], 1) if folder.rpartition(".")[2] in names)


@pytest.mark.parametrize("room", ROOMS)
def test_imports_go_one_way(room: str) -> None:
    for path in files(room):
        for name in imports(path):
            top = name.split(".")[0]
            assert top not in ROOMS or top in ALLOWED[room], f"{path.relative_to(ROOT)} imports {name}"
            if room == "ui" and top in ("serve", "tune"):
                assert name in UI_MAY_IMPORT, f"{path.relative_to(ROOT)} imports {name}"


def test_every_folder_has_its_place_in_the_order() -> None:
    placed = {f"{room}.{name}" for room, floors in ORDER.items() for names in floors for name in names}
    assert placed == set(FOLDERS)


def test_no_import_goes_up() -> None:
    wrong = [
        f"{name} imports {other}"
        for name, others in ARROWS.items()
        for other in others
        if other.split(".")[0] == name.split(".")[0]
        and folder_of(other) != folder_of(name)
        and not floor_of(other) < floor_of(name)
    ]
    assert wrong == []


def test_no_module_imports_itself_by_way_of_others() -> None:
    try:
        list(TopologicalSorter(ARROWS).static_order())
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_is_entered_by_its_front(folder: str) -> None:
    callers = [*(name for name in MODULES if folder_of(name) != folder), "landsweep", "demo"]
    used = {
        (caller, name)
        for caller in callers
        for name in (ARROWS[caller] if caller in ARROWS else imports(ROOT / f"{caller}.py"))
        if name.startswith(f"{folder}.")
    }
    assert {name for _, name in used} == front_of(folder), sorted(used)


def test_a_folder_holds_what_one_look_takes_in() -> None:
    for place in sorted({path.parent for path in MODULES.values()}):
        assert len(list(place.glob("*.py"))) - 1 <= MOST_MODULES, f"{place.relative_to(ROOT)} has too many modules"


def test_a_folders_init_holds_a_docstring_only() -> None:
    for name in (*ROOMS, *FOLDERS):
        assert len(ast.parse(MODULES[name].read_bytes()).body) == 1, name


def test_ray_is_imported_in_a_handful_of_files() -> None:
    using = {
        str(path.relative_to(ROOT))
        for room in ROOMS
        for path in files(room)
        if any(name.split(".")[0] == "ray" for name in imports(path))
    }
    assert using == MAY_IMPORT_RAY


LIGHT = ("landsweep", "serve.client", "serve.registry", "tune.study", "ui.app", "pipelines.pixels.patch")


def test_light_modules_load_neither_torch_nor_ray() -> None:
    """One after another in one process, as most of what they load is the same."""
    code = f"""
import importlib, sys
for name in {LIGHT}:
    importlib.import_module(name)
    if heavy := {{'torch', 'ray', 'timm'}} & set(sys.modules):
        sys.exit(f"{{name}} loads {{', '.join(heavy)}}")
"""
    ended = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def test_help_loads_no_heavy_package() -> None:
    heavy = {"torch", "ray", "timm", "gradio", "optuna", "pandas", "numpy", "rasterio", "pyarrow", "sklearn"}
    code = f"import sys, landsweep; sys.exit(', '.join({heavy!r} & set(sys.modules)) or 0)"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
