"""The parts of the active-set method for coupled outputs: the model, its sweeps, and Newton's method on the support."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from convexsnn.columns import BitColumns, RealColumns
from convexsnn.losses import CrossEntropy, Head
from convexsnn.penalties import L1, RowGroup
from convexsnn.program import ConvexProgram, uniform_weights
from convexsnn.row_matrices import RowMatrices
from convexsnn.solvers import SolverOptions, Status, solver_for
from convexsnn.solvers.active_set import gram as blocks
from convexsnn.solvers.active_set.coupled import block_curvature, unpacked
from convexsnn.solvers.active_set.coupled.block_curvature import PlainCurvature, RoundedCurvature
from convexsnn.solvers.active_set.coupled.block_inverse import BlockInverse
from convexsnn.solvers.active_set.coupled.coarse import coarse_spaces
from convexsnn.solvers.active_set.coupled.grams import Grams
from convexsnn.solvers.active_set.coupled.quadratic import Quadratic
from convexsnn.solvers.active_set.coupled.row_sweeps import RowSweeps
from convexsnn.solvers.active_set.coupled.subspace import newton_on_support
from convexsnn.solvers.active_set.coupled.sweeps import minimise_by_output
from convexsnn.solvers.active_set.coupled.unpacked import UnpackedColumns
from convexsnn.solvers.active_set.units import EntryUnits, RowUnits, Units, units_of
from convexsnn.solvers.base import Solver
from convexsnn.solvers.newton.system import preconditioned
from convexsnn.solvers.path import largest_rho
from helpers import draw_program

COUNT, ROWS, OUTPUTS = 7, 20, 6
HEADS = [(), (Head(2, 0.5), Head(1), Head(3, 2.0))]
each_unit = pytest.mark.parametrize("units", [EntryUnits(), RowUnits()], ids=["entries", "rows"])


def draw_quadratic(units: Units, heads: tuple[Head, ...] = (), level: float = 0.5) -> Quadratic:
    generator = torch.Generator().manual_seed(0)
    columns = RealColumns(torch.randn(COUNT, ROWS, generator=generator, dtype=torch.float64))
    scores = torch.randn(ROWS, OUTPUTS, generator=generator, dtype=torch.float64)
    loss = CrossEntropy(heads)
    classes = torch.tensor([head.classes for head in heads or (Head(OUTPUTS),)])
    labels = torch.arange(ROWS).unsqueeze(1) % classes
    targets = loss.encode(labels if heads else labels[:, 0], OUTPUTS)
    used = torch.ones(COUNT, OUTPUTS, dtype=torch.bool)
    slope = columns.rmatmul(loss.gradient(scores, targets))
    curvature = loss.curvature(scores, targets)
    return Quadratic(
        UnpackedColumns(columns, torch.arange(COUNT)), curvature, units, level, used, (torch.zeros_like(slope), slope)
    )


def dense_hessian(quadratic: Quadratic) -> Tensor:
    """H as a matrix of the flattened entries (k * C, k * C)."""
    D = quadratic.columns.whole.between(0, ROWS).dense()
    h = torch.stack(
        [
            quadratic.curvature.apply(unit.expand(ROWS, OUTPUTS).contiguous())
            for unit in torch.eye(OUTPUTS, dtype=torch.float64)
        ],
        dim=1,
    )
    return torch.einsum("ij,ik,iab->jakb", D, D, h).reshape(COUNT * OUTPUTS, COUNT * OUTPUTS)


def value_of(quadratic: Quadratic, x: Tensor) -> float:
    change = x.flatten()
    smooth = quadratic.gradient.flatten() @ change + 0.5 * change @ dense_hessian(quadratic) @ change
    return float(smooth) + quadratic.level * float(quadratic.units.sizes(x).sum())


@pytest.mark.parametrize("heads", HEADS)
@pytest.mark.parametrize("kept", [True, False])
def test_products_and_blocks_are_those_of_the_hessian(
    heads: tuple[Head, ...], kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacked, "UNPACKED_NUMBERS", 2**25 if kept else 0)
    quadratic = draw_quadratic(EntryUnits(), heads)
    H = dense_hessian(quadratic)
    X = torch.randn(COUNT, OUTPUTS, dtype=torch.float64)
    assert torch.allclose(quadratic.hessian(X).flatten(), H @ X.flatten(), atol=1e-12)
    quadratic.used[2, 1] = False
    for c, gram in enumerate(Grams().of(quadratic, torch.arange(COUNT), quadratic.used)):
        places = gram.columns * OUTPUTS + c
        assert torch.equal(gram.columns, torch.nonzero(quadratic.used[:, c]).flatten())
        assert torch.allclose(gram.matrix, H[places][:, places], rtol=0.2, atol=0.2)


def test_blocks_are_kept_while_the_curvature_hardly_changes() -> None:
    quadratic, numbers, grams = draw_quadratic(EntryUnits()), torch.arange(COUNT) + 3, Grams()
    first = quadratic.curvature.own
    for changed, h in [(1.0, first), (1.01, first), (2.0, 2.0 * first)]:
        # Of four of seven entries, and then of all of them, most is known from the time before.
        for used in (torch.tensor([1, 0, 1, 1, 0, 1, 0], dtype=torch.bool), torch.ones(COUNT, dtype=torch.bool)):
            quadratic.used[:] = used.unsqueeze(1)
            quadratic.curvature = RowMatrices(changed * first)
            for c, gram in enumerate(grams.of(quadratic, numbers, quadratic.used)):
                D = quadratic.columns.whole.between(0, ROWS).dense()[:, gram.columns]
                assert torch.equal(gram.columns, torch.nonzero(used).flatten())
                assert torch.allclose(gram.matrix, D.T @ (h[:, c : c + 1] * D), atol=1e-12)


@pytest.mark.parametrize("fast", [True, False])
def test_blocks_of_bits_have_the_curvature_rounded_to_integers(fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not fast:
        monkeypatch.setattr(block_curvature, "FAST", "no processor")
    generator = torch.Generator().manual_seed(0)
    bits = torch.rand(COUNT, 300, generator=generator) < 0.5
    h = torch.rand(300, generator=generator, dtype=torch.float64)
    for rows, digits in [(h, 1), (torch.cat([h[1:], torch.tensor([1e3])]), 2), (torch.zeros(300), 1)]:
        found = RoundedCurvature.of(rows)
        assert len(found.parts) == digits
        rounded = found.of_rows(slice(0, 300))
        assert float((rounded - rows).abs().sum()) <= block_curvature.LOST * float(rows.sum())
        D = bits.to(torch.float64).T
        product = found.gram(BitColumns.of(bits), BitColumns.of(bits[:3])).to(torch.float64)
        assert torch.allclose(product, D.T @ (rounded.unsqueeze(1) * D[:, :3]), rtol=1e-14)


@pytest.mark.parametrize("most", [0, 2**25])
@pytest.mark.parametrize("unpacked_bits", [0, 2**24])
def test_many_rows_of_bits_are_multiplied_by_tables(
    most: int, unpacked_bits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacked, "GROUPED_BYTES", most)
    monkeypatch.setattr(unpacked, "UNPACKED_BITS", unpacked_bits)
    generator = torch.Generator().manual_seed(2)
    bits = torch.rand(120, 9001, generator=generator) < 0.3
    chosen = torch.arange(119, 60, -1)
    S = torch.randn(9001, OUTPUTS, generator=generator, dtype=torch.float64)
    curvature = CrossEntropy().curvature(S, torch.zeros_like(S))
    X = torch.randn(len(chosen), OUTPUTS, generator=generator, dtype=torch.float64)
    D = bits[chosen].to(torch.float64).T
    expected = D.T @ curvature.apply(D @ X)
    rounded = RowMatrices(*(part.to(torch.float32) for part in curvature[:2] if part is not None))
    columns = UnpackedColumns(BitColumns.of(bits), chosen)
    for _ in range(2):  # the second time from what was kept
        assert torch.allclose(columns.hessian(rounded, X), expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("kept", [True, False])
def test_columns_that_are_copied_a_few_rows_at_a_time_have_the_same_products(
    kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacked, "UNPACKED_BITS", 2**24 if kept else 0)
    monkeypatch.setattr(blocks, "BLOCK_ENTRIES", 100)
    generator = torch.Generator().manual_seed(1)
    bits = torch.rand(COUNT, 333, generator=generator) < 0.5
    chosen, h = torch.tensor([5, 1, 3]), torch.rand(333, generator=generator, dtype=torch.float64)
    columns, D = UnpackedColumns(BitColumns.of(bits), chosen), bits[chosen].to(torch.float64).T
    X = torch.randn(3, 2, generator=generator, dtype=torch.float64)
    H = D.T @ (h.unsqueeze(1) * D)
    assert torch.allclose(columns.hessian(RowMatrices(h.unsqueeze(1).expand(333, 2)), X), H @ X, rtol=1e-12)
    two = columns.whole.take(torch.tensor([2, 0]))
    assert torch.allclose(PlainCurvature(h).gram(two, columns.whole), H[[2, 0]], rtol=1e-12)


@pytest.mark.parametrize("heads", HEADS)
def test_rows_have_no_mean_that_a_softmax_would_not_see(heads: tuple[Head, ...]) -> None:
    X = torch.randn(COUNT, OUTPUTS, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rows, entries = draw_quadratic(RowUnits(), heads), draw_quadratic(EntryUnits(), heads)
    centred = rows.centred(X)
    assert torch.allclose(rows.hessian(centred), rows.hessian(X), atol=1e-12)
    assert bool((rows.units.sizes(centred) < rows.units.sizes(X)).all())
    assert torch.equal(entries.centred(X), X)


def test_rows_keep_their_mean_where_the_loss_sees_it() -> None:
    quadratic = draw_quadratic(RowUnits())
    X = torch.randn(COUNT, OUTPUTS, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for h in (RowMatrices(quadratic.curvature.diagonal), quadratic.curvature._replace(diagonal=torch.ones(ROWS, 6))):
        start = torch.zeros_like(X), torch.zeros_like(X)
        seeing = Quadratic(quadratic.columns, h, RowUnits(), 0.5, quadratic.used, start)
        assert torch.equal(seeing.centred(X), X)


@each_unit
@pytest.mark.parametrize("heads", HEADS)
def test_sweeps_by_rows_are_those_by_columns(units: Units, heads: tuple[Head, ...]) -> None:
    quadratic = draw_quadratic(units, heads, level=0.2)
    quadratic.used[3] = False
    grams = Grams().of(quadratic, torch.arange(COUNT), quadratic.used)
    for _ in range(3):
        found, expected = RowSweeps(quadratic).minimise(quadratic), minimise_by_output(quadratic, grams)
        assert bool(found.any())
        assert torch.allclose(found, expected, rtol=1e-10, atol=1e-12)
        quadratic.go_towards(found)


@pytest.mark.parametrize("penalty", [L1(), RowGroup()], ids=["l1", "group"])
@pytest.mark.parametrize("rows", [12, 17])
def test_few_rows_and_many_columns_are_solved(
    penalty: L1 | RowGroup, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept = []
    minimise = RowSweeps.minimise
    monkeypatch.setattr(RowSweeps, "minimise", lambda self, q: swept.append(len(q.x)) or minimise(self, q))
    generator = torch.Generator().manual_seed(rows)
    columns = RealColumns(torch.rand(300, rows, generator=generator, dtype=torch.float64))
    targets = CrossEntropy().encode(torch.arange(rows) % 3, 3)
    unit = ConvexProgram(columns, targets, CrossEntropy(), penalty, 1.0, uniform_weights(rows))
    program = replace(unit, rho=0.01 * largest_rho(unit))
    solution = solver_for(program).solve(program, SolverOptions(tol=1e-8))
    assert max(swept) > rows
    assert solution.status == Status.CONVERGED
    assert solution.certificate.relative_gap <= 1e-8


@each_unit
def test_each_part_makes_the_model_smaller(units: Units) -> None:
    quadratic = draw_quadratic(units)
    grams, start = Grams().of(quadratic, torch.arange(COUNT), quadratic.used), draw_quadratic(units)
    values = [0.0]
    for _ in range(30):
        quadratic.go_towards(minimise_by_output(quadratic, grams))
        values.append(value_of(start, quadratic.x))
        quadratic.go_towards(newton_on_support(quadratic, grams, 1e-10))
        values.append(value_of(start, quadratic.x))
    assert all(after <= before + 1e-12 for before, after in pairwise(values))
    # The subdifferential of the model holds zero.
    size, directions = units.sizes(quadratic.x), units.directions(quadratic.x)
    gradient = start.gradient + (dense_hessian(start) @ quadratic.x.flatten()).view_as(quadratic.x)
    used = (size > 0.0).expand_as(gradient)
    assert torch.allclose(gradient[used], -quadratic.level * directions[used], atol=1e-6)
    assert float(units.sizes(gradient).max()) <= quadratic.level * (1.0 + 1e-6)


@each_unit
@pytest.mark.parametrize("heads", HEADS)
@pytest.mark.parametrize("step", [1, 2])
def test_the_preconditioner_is_close_to_the_inverse(
    units: Units, heads: tuple[Head, ...], step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What two units of one softmax share is not lost: few iterations are enough where entries are many."""
    monkeypatch.setattr("convexsnn.solvers.active_set.coupled.coarse.SAMPLE", ROWS // step)  # every so many rows
    quadratic = draw_quadratic(units, heads)
    x = torch.randn(COUNT, OUTPUTS, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    quadratic.x = quadratic.centred(x)
    bend, active = units.bend(quadratic.x, quadratic.level), torch.ones(COUNT, OUTPUTS, dtype=torch.bool)
    if heads and bend is None:
        active[:, 2] = False  # a head of one class, which has no gradient
    grams = Grams().of(quadratic, torch.arange(COUNT), quadratic.used)
    coarse = coarse_spaces(quadratic, grams, active, bend)
    assert coarse

    def apply(X: Tensor) -> Tensor:
        turned = quadratic.hessian(X) if bend is None else quadratic.hessian(X) + bend.apply(X)
        return torch.where(active, turned, 0.0)

    generator = torch.Generator().manual_seed(2)
    drawn = torch.randn(COUNT, OUTPUTS, dtype=torch.float64, generator=generator)
    right = apply(torch.where(active, quadratic.centred(drawn), 0.0))

    approximate = BlockInverse(grams, active, bend, coarse)

    def precondition(Y: Tensor) -> Tensor:
        return quadratic.centred(approximate.apply(quadratic.centred(Y), active))

    X, iterations, done = preconditioned(apply, precondition, right, 1e-6, 100)
    assert done
    assert iterations < 50
    assert torch.allclose(apply(X), right, atol=1e-4 * float(right.abs().max()))


@pytest.mark.parametrize("outputs", [1, 3])
def test_the_units_of_a_penalty(outputs: int) -> None:
    X = torch.tensor([[3.0, -4.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)[:, :outputs]
    for penalty in (L1(), RowGroup()):
        units = units_of(penalty, outputs)
        assert float(units.sizes(X).sum()) == float(penalty.value(X))
        assert torch.equal(units.along(X, units.directions(X)), units.sizes(X))
    assert isinstance(units_of(RowGroup(), 1), EntryUnits)


def test_a_norm_of_another_kind_is_refused() -> None:
    class Largest(L1):
        name = "largest"

        def exponent(self, n_outputs: int) -> float:  # noqa: ARG002 - of any
            return 3.0

    with pytest.raises(ValueError, match="largest"):
        units_of(Largest(), 3)


def test_rows_bend_as_their_norm_does() -> None:
    X = torch.randn(2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    bend = RowUnits().bend(X, 0.7)
    assert isinstance(bend, RowMatrices)
    expected = torch.autograd.functional.hessian(lambda x: 0.7 * x.norm(), X[0])
    assert torch.allclose(torch.stack([bend.apply(unit.expand(2, 3))[0] for unit in torch.eye(3).double()]), expected)


@pytest.mark.parametrize("loss", ["squared", "logistic", "cross_entropy"])
@pytest.mark.parametrize("penalty", ["l1", "group"])
def test_norms_of_smooth_losses_are_solved_on_the_active_set(loss: str, penalty: str) -> None:
    program = draw_program(loss, penalty, n=60, P=50, rho=0.01)
    solver: Solver = solver_for(program)
    assert solver.name == "active_set_newton"
    assert solver.solve(program, SolverOptions()).status is Status.CONVERGED
