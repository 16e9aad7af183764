"""Every module says why it exists, every public name what it is, and what a caller has to expect."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.house import ROOMS, ROOT, files

Public = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef

_MAKERS = ("__init__", "__post_init__")


def public(path: Path) -> list[tuple[str, Public]]:
    """Public functions, classes and methods of a file, as `file:line name`, with what they are; not what is in a
    function or a private class, nor the overloads of what is defined below them."""

    def within(body: list[ast.stmt], outer: str) -> Iterator[tuple[str, Public]]:
        for node in body:
            if isinstance(node, Public) and not node.name.startswith("_") and not _is_overload(node):
                yield f"{path.relative_to(ROOT)}:{node.lineno} {outer}{node.name}", node
                if isinstance(node, ast.ClassDef):
                    yield from within(node.body, f"{outer}{node.name}.")

    return list(within(ast.parse(path.read_bytes()).body, ""))


def _is_overload(node: Public) -> bool:
    return any(ast.unparse(each).endswith("overload") for each in node.decorator_list)


@cache
def our_errors() -> dict[str, frozenset[str]]:
    """LandsweepError and every class below it, wherever that is, each with all names by which it can be caught."""
    trees = [ast.parse(path.read_bytes()) for room in ROOMS for path in files(room)]
    classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    bases = {node.name: [ast.unparse(base) for base in node.bases] for node in classes}
    known = {"LandsweepError": frozenset({"LandsweepError", "Exception", "BaseException"})}
    while found := [name for name in bases if name not in known and known.keys() & bases[name]]:
        for name in found:
            known[name] = frozenset({name}).union(*(known.get(base, ()) for base in bases[name]))
    return known


def let_out(nodes: Iterable[ast.AST], caught: frozenset[str] = frozenset()) -> Iterator[str]:
    """Our errors that these nodes raise by name and do not catch themselves. What `raise` gets from a function that
    makes an error is not among them: the name does not stand there."""
    for node in nodes:
        if isinstance(node, ast.Try):
            yield from let_out(node.body, caught.union(*map(_caught, node.handlers)))
            yield from let_out([*node.handlers, *node.orelse, *node.finalbody], caught)
            continue
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            name = ast.unparse(node.exc.func)
            if name in our_errors() and not our_errors()[name] & caught:
                yield name
        yield from let_out(ast.iter_child_nodes(node), caught)


def _caught(handler: ast.ExceptHandler) -> set[str]:
    """Names that a handler catches for good: none where it may raise again what it caught."""
    if any(isinstance(node, ast.Raise) and node.exc is None for node in ast.walk(handler)):
        return set()
    return set(re.findall(r"\w+", ast.unparse(handler.type))) if handler.type else {"BaseException"}


def said_to_raise(docstring: str, *, follow: bool = True) -> set[str]:
    """Names before the colons under `Raises:`; where it says "As `x`.", those of every function x too."""
    found = re.search(r"^Raises:\n((?: +.*\n|\n)*)", docstring + "\n", re.MULTILINE)
    section = found[1] if found else ""
    names = set(re.findall(r"\w+", " ".join(re.findall(r"^ {4}([\w, ]+):", section, re.MULTILINE))))
    for other in re.findall(r"^ {4}As `(?:\w+\.)*(\w+)`", section, re.MULTILINE) if follow else ():
        names = names.union(*(said_to_raise(each, follow=False) for each in docstrings_of().get(other, ())))
    return names


@cache
def docstrings_of() -> dict[str, list[str]]:
    """Name of a public function, class or method to the docstrings of all that are called so."""
    found: dict[str, list[str]] = {}
    for room in ROOMS:
        for path in files(room):
            for _, node in public(path):
                found.setdefault(node.name, []).append(ast.get_docstring(node) or "")
    return found


def test_every_module_says_why_it_exists() -> None:
    for room in ROOMS:
        for path in files(room):
            assert ast.get_docstring(ast.parse(path.read_bytes())), f"{path.relative_to(ROOT)} has no docstring"


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_has_a_docstring(room: str) -> None:
    nodes = [each for path in files(room) for each in public(path)]
    bare = [place for place, node in nodes if not ast.get_docstring(node)]
    assert not bare, f"{len(bare)} of {len(nodes)} public names have no docstring:\n" + "\n".join(bare)


@pytest.mark.parametrize("room", ROOMS)
def test_what_a_public_function_raises_is_said_in_its_docstring(room: str) -> None:
    """A class's docstring speaks for how it is made. That of a verb is its help, which knows no exceptions."""
    silent: list[str] = []
    for place, node in (each for path in files(room) if path.name != "commands.py" for each in public(path)):
        made = isinstance(node, ast.ClassDef)
        body = [each for each in node.body if not made or getattr(each, "name", "") in _MAKERS]
        missing = sorted(set(let_out(body)) - said_to_raise(ast.get_docstring(node) or ""))
        silent += [f"{place}: {', '.join(missing)}"] if missing else []
    assert not silent, f"{len(silent)} do not say under `Raises:` what they raise:\n" + "\n".join(silent)
