"""What runs on a GPU gives there what it gives on the CPU. All of it is left out where there is no GPU.

`python benchmarks/on_cuda.py` runs these tests, and then measures.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from convexsnn import Gaussian, Search, SpikingClassifier, Surrogate, simulate
from convexsnn.columns import BitColumns, RealColumns
from convexsnn.losses import LOSSES
from convexsnn.neurons import RESETS
from convexsnn.penalties import PENALTIES
from convexsnn.polishing.polish import polish
from convexsnn.prefixes import prefixes_of
from convexsnn.program import ConvexProgram
from convexsnn.readouts import Membrane, Rate, Spike
from convexsnn.search.branches import simulator
from convexsnn.search.branches.on_gpu.finding import walking_for
from convexsnn.search.branches.runner import BranchRunner
from convexsnn.sequences import as_sequences
from convexsnn.solvers import Status, solve, working_set
from convexsnn.solvers.newton import columns, solver
from convexsnn.verification import verify
from helpers import KINDS, draw_hidden, draw_program, draw_sequences
from test_search_devices import draw_branches
from test_search_fused import drawn
from test_solver_devices import LIMITS

pytestmark = pytest.mark.cuda
CUDA = torch.device("cuda")
PAIRS = [pair for pair in product(LOSSES, PENALTIES) if pair != ("hinge", "elastic") and "ridge" not in pair]


def on_cuda(program: ConvexProgram) -> ConvexProgram:
    own = program.columns
    moved = BitColumns(own.packed.cuda(), own.n) if isinstance(own, BitColumns) else RealColumns(own.dense().T.cuda())
    return replace(program, columns=moved, targets=program.targets.cuda(), row_weights=program.row_weights.cuda())


@pytest.mark.parametrize("kind", KINDS)
def test_spikes(kind):
    hidden, sequences = draw_hidden(kind, every_step=True), draw_sequences(n=50, ragged=True)
    found = simulate(hidden.to("cuda"), sequences)
    assert found.features.device.type == "cuda"
    assert torch.equal(found.features.cpu(), simulate(hidden, sequences).features)


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
@pytest.mark.parametrize("real", [False, True], ids=["bits", "real"])
@pytest.mark.parametrize(("loss", "penalty"), [*PAIRS, ("squared", "ridge")])
def test_solvers(loss, penalty, real, large, monkeypatch):
    if large:
        for module, name, value in LIMITS:
            monkeypatch.setattr(module, name, value)
    program = draw_program(loss, penalty, n=60, P=40, real=real)
    found = solve(on_cuda(program))
    assert found.W.device.type == "cuda"
    assert found.status is Status.CONVERGED
    assert found.certificate.primal == pytest.approx(solve(program).certificate.primal, rel=1e-5)


@pytest.mark.parametrize("loss", ["squared", "logistic", "cross_entropy"])
def test_rounds_on_a_working_set(loss, monkeypatch):
    monkeypatch.setattr(solver, "DENSE_BYTES", 0)
    monkeypatch.setattr(columns, "DENSE_BYTES", 0)
    monkeypatch.setattr(working_set, "FIRST_COLUMNS", 4)
    program = draw_program(loss, "group", n=60, P=40)
    found = solver.SemismoothNewton().solve(on_cuda(program), solver.SolverOptions())
    assert found.certificate.primal == pytest.approx(solve(program).certificate.primal, rel=1e-5)


@pytest.mark.parametrize("real", [False, True], ids=["bits", "real"])
def test_scores_of_a_search(real):
    population, prefixes, counts = draw_branches(real=real, depth=2, recurrent=True)
    found = BranchRunner(prefixes, population.readout, device=CUDA).correlate(population, counts)
    assert found.device.type == "cpu"
    # A potential within rounding of its threshold may fall on the other side.
    close = (found - simulator.correlate(population, prefixes, counts)).abs() < 1e-4
    assert float(close.double().mean()) > 0.9


@pytest.mark.parametrize("readout", [Spike(), Membrane(), Rate()], ids=str)
@pytest.mark.parametrize("widths", [(12,), (7, 64), (24, 24, 24)], ids=str)
@pytest.mark.parametrize("reset", RESETS)
def test_the_kernel_of_a_search(reset, widths, readout):
    """Numbers are such that sums are exact in any order; a tree of 2000 sequences is cut into stretches."""
    rng = np.random.default_rng(0)
    prefixes = prefixes_of(as_sequences(np.eye(2)[rng.integers(2, size=(2000, 14))]), every_step=False)
    population = drawn(rng, (2, *widths), True, True, reset, readout, torch.float32)
    there = population.to(CUDA)
    if walking_for(population, CUDA) is None:
        pytest.skip("needs a version of Triton that the kernel is for, and a C compiler")
    counts = BranchRunner(prefixes, readout).counted(torch.from_numpy(rng.integers(-4, 5, size=(2000, 40)) / 8))
    found = BranchRunner(prefixes, readout, device=CUDA).correlate(there, counts)
    assert found.device.type == "cuda"
    torch.testing.assert_close(found.cpu(), simulator.correlate(population, prefixes, counts), rtol=1e-4, atol=1e-3)
    owner, column = torch.tensor([2, 0, 2]), torch.tensor([6, 0, 3])
    seen = BranchRunner(prefixes, readout, torch.float32, CUDA).columns(population, owner, column)
    assert torch.equal(seen, simulator.columns(population, owner, column, prefixes))


def test_a_search_on_a_gpu_is_the_same_again():
    rng = np.random.default_rng(0)
    X, y = rng.random((300, 10, 2)), rng.integers(2, size=300)
    scores = lambda: (  # noqa: E731
        SpikingClassifier(witnesses=Search(effort=1e8, readout="rate"), device="cuda", random_state=0)
        .fit(X, y)
        .decision_function(X)
    )
    assert np.array_equal(scores(), scores())


FAMILIES = {
    "gaussian": Gaussian(last=100),
    "surrogate": Surrogate(last=50, epochs=3),
    "search": Search(effort=1e8),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_fits(family):
    random = np.random.default_rng(0)
    bits = random.integers(2, size=(200, 6))
    X, y = np.eye(2)[bits], bits[:, 0] ^ bits[:, -1]
    model = SpikingClassifier(witnesses=FAMILIES[family], device="cuda", random_state=0).fit(X, y)
    assert model.certificate_.relative_gap < 1e-4
    assert not verify(model.trained_, model.certificate_, model.problem(X, y)).problems
    if family == "search":
        assert model.score(X, y) == 1.0


class Step(torch.nn.Module):
    def forward(self, x):
        return (x > 0.0).float()


def test_polish():
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(12, 30), Step(), torch.nn.Linear(30, 3)).cuda()
    batch = torch.randn(90, 12).cuda(), (torch.arange(90) % 3).cuda()
    polished = polish(module, [batch], spikes="1", beta=0.1)
    assert polished.certificate.relative_gap < 1e-4
    assert module[2].weight.device.type == "cuda"
