"""Rules of the project that a script can check: names, sizes, parameters."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "convexsnn"
MODULES = {path.relative_to(SOURCE): ast.parse(path.read_text()) for path in sorted(SOURCE.rglob("*.py"))}
# What is typed on the command line is named for the user, after what it does; every module has a logger.
NAMED_FOR_THE_USER, EVERYWHERE = "cli", {"logger"}
MOST_PARAMETERS, MOST_LINES = 8, 400
# Constructors of estimators follow scikit-learn; `polish` and `fit` are what users call.
MANY_PARAMETERS = {"polish", "fit"}


def public_names(tree):
    for node in tree.body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            yield node.name
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def test_no_two_public_things_have_one_name():
    places = defaultdict(list)
    for path, tree in MODULES.items():
        if path.parts[0] == NAMED_FOR_THE_USER:
            continue
        for name in public_names(tree):
            # Constants are settings of their own file.
            if not name.startswith("_") and not name.isupper() and name not in EVERYWHERE:
                places[name].append(str(path))
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_functions_have_few_parameters(path):
    for node in ast.walk(MODULES[path]):
        if not isinstance(node, ast.FunctionDef):
            continue
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        count = len([a for a in arguments if a.arg not in ("self", "cls")])
        constructor = path.parts[0] == "estimators" and node.name == "__init__"
        command = path.parts[:2] == ("cli", "commands")
        if constructor:
            assert count <= 20, (path, node.name, count)  # settings of a fit, all by keyword
        elif not command and node.name not in MANY_PARAMETERS:
            assert count <= MOST_PARAMETERS, (path, node.name, count)


def test_files_are_small():
    for path in SOURCE.rglob("*.py"):
        lines = len(path.read_text().splitlines())
        assert lines <= MOST_LINES, (path, lines)
