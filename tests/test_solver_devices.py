"""Solvers make every tensor on the device of the program: what would fail on CUDA is found without one.

Inside ``torch.device("meta")`` a tensor made without a device is on another one than the program's, and the first
operation on both raises, just as it would with a program on CUDA.
"""

from __future__ import annotations

import ast
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import torch

import convexsnn
from convexsnn.losses import LOSSES
from convexsnn.penalties import PENALTIES
from convexsnn.solvers import SolverOptions, Status, solve, working_set
from convexsnn.solvers.active_set import curvature_store, gram
from convexsnn.solvers.active_set.coupled import unpacked
from convexsnn.solvers.hinge import interior_rounds, linear, restricted_lp, simplex
from convexsnn.solvers.hinge.simplex import HingeLP
from convexsnn.solvers.newton import columns, solver, system
from convexsnn.solvers.newton.solver import SemismoothNewton
from convexsnn.solvers.path import halved_rhos, rho_grid, solve_path
from helpers import NORMS, draw_program

# What decides between the arithmetic of small programs and that of large ones.
LIMITS = [
    (curvature_store, "SMALL_ENTRIES", 0),
    (gram, "TILE_COLUMNS", 4),
    (unpacked, "SMALL_ENTRIES", 0),
    (unpacked, "UNPACKED_BITS", 0),
    (solver, "SMALL_ENTRIES", 0),
    (solver, "SMALL_WEIGHTS", 0),
    (system, "COUPLED_LIMIT", 5),
    (interior_rounds, "FIRST_COLUMNS", 4),
    (simplex, "FIRST_COLUMNS", 3),
    (restricted_lp, "LEAST_GROWTH", 2),
    (linear, "SMALL_WORK", 0),
    (linear, "LEAST_COLUMNS", 4),
]
each_size = pytest.mark.usefixtures("size")


@pytest.fixture(params=["small", "large"])
def size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "large":
        for module, name, value in LIMITS:
            monkeypatch.setattr(module, name, value)


@each_size
@pytest.mark.parametrize("real", [False, True], ids=["bits", "real"])
@pytest.mark.parametrize(
    ("loss", "penalty"),
    [pair for pair in product(LOSSES, PENALTIES) if pair != ("hinge", "elastic") and "ridge" not in pair]
    + [("squared", "ridge")],
)
def test_no_tensor_is_made_on_another_device(loss, penalty, real):
    program = draw_program(loss, penalty, n=30, P=20, real=real)
    expected = solve(program)
    with torch.device("meta"):
        solution = solve(program)
        rhos = halved_rhos(program, 2) if penalty == "ridge" else rho_grid(program, 2, 0.1)
        points = list(solve_path(program, rhos))
    assert solution.status is Status.CONVERGED
    assert torch.equal(solution.W, expected.W)
    assert all(point.status is Status.CONVERGED for point in points)


@each_size
@pytest.mark.parametrize("penalty", NORMS)
@pytest.mark.parametrize("loss", ["squared", "logistic", "cross_entropy"])
def test_nor_by_rounds_on_a_working_set(loss, penalty, monkeypatch):
    monkeypatch.setattr(solver, "DENSE_BYTES", 0)
    monkeypatch.setattr(columns, "DENSE_BYTES", 0)
    monkeypatch.setattr(working_set, "FIRST_COLUMNS", 4)
    program = draw_program(loss, penalty, n=30, P=20)
    with torch.device("meta"):
        assert SemismoothNewton().solve(program, SolverOptions()).status is Status.CONVERGED


@each_size
def test_nor_by_the_simplex_method():
    program = draw_program("hinge", "l1", n=30, P=20)
    with torch.device("meta"):
        assert HingeLP().solve(replace(program, rho=0.003), SolverOptions()).status is Status.CONVERGED


FACTORIES = {"tensor", "as_tensor", "from_numpy", "zeros", "ones", "empty", "full", "arange", "eye", "linspace"}
ROOMS = ("solvers", "losses", "penalties", "program.py", "row_matrices.py")
SOURCE = Path(convexsnn.__file__).parent
FILES = [path for room in ROOMS for path in sorted((SOURCE / room).rglob("*.py")) or [SOURCE / room]]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_tensor_is_made_with_its_device(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        owner = node.func.value
        if isinstance(owner, ast.Name) and owner.id == "torch" and node.func.attr in FACTORIES:
            named = {keyword.arg for keyword in node.keywords}
            assert "device" in named, f"{path.name}:{node.lineno}: torch.{node.func.attr} without a device"
