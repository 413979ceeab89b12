"""The listings of docs/extending.md: each is run as it stands, and what it adds is put to use."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
import torch
from sklearn.base import clone

from convexsnn import Gaussian, Hidden, Problem, Search, SpikingClassifier, as_sequences, simulate, solvers, train
from convexsnn.cli.app import run as command
from convexsnn.cli.witness_table import documentation_of
from convexsnn.columns import BitColumns, pack_bits
from convexsnn.export import to_nir, to_snntorch
from convexsnn.families import FAMILIES
from convexsnn.losses import LOSSES
from convexsnn.neurons import NEURONS
from convexsnn.penalties import PENALTIES
from convexsnn.program import ConvexProgram, uniform_weights
from convexsnn.proof import losses as exact_losses
from convexsnn.proof import verify_exactly
from convexsnn.readouts import READOUTS
from convexsnn.reconstruction import widen_margins
from convexsnn.search.oracles import ORACLES
from convexsnn.solvers import SolverOptions, Status, solve
from convexsnn.storage import load_model, save_model
from convexsnn.tasks import TASK_FAMILIES, TaskSettings, load_task

PAGE = (Path(__file__).parents[1] / "docs" / "extending.md").read_text()
INTRODUCTION, *HEADED = re.split(r"^## (.*)$", PAGE, flags=re.MULTILINE)
RECIPES = dict(zip(HEADED[::2], HEADED[1::2], strict=True))
TABLES: tuple[dict[str, Any], ...] = (
    LOSSES, PENALTIES, NEURONS, READOUTS, FAMILIES, ORACLES, TASK_FAMILIES, exact_losses.LOSSES,
)  # fmt: skip


def listings(text: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


@pytest.fixture
def follow(monkeypatch):
    """Runs the listings of recipes in order, and returns the names that the last one leaves; mends tables after."""
    before = [dict(table) for table in TABLES]
    monkeypatch.setattr(solvers, "SOLVERS", solvers.SOLVERS)

    def run(*titles: str) -> dict[str, Any]:
        names: dict[str, Any] = {}
        for title in titles:
            names = {}
            for listing in [*listings(INTRODUCTION), *listings(RECIPES[title])]:
                exec(compile(listing, f"docs/extending.md: {title}", "exec"), names)
        return names

    yield run
    for table, kinds in zip(TABLES, before, strict=True):
        table.clear()
        table.update(kinds)


def kept(model: SpikingClassifier, folder: Path) -> SpikingClassifier:
    """The model, written and read."""
    save_model(model, folder / "model.safetensors")
    return load_model(folder / "model.safetensors")[0]


@pytest.fixture
def program() -> ConvexProgram:
    """A random program of cross entropy with two outputs."""
    rng, n, P = np.random.default_rng(0), 40, 12
    bits = torch.from_numpy(rng.random((P, n)) < 0.5)
    targets = LOSSES["cross_entropy"].encode(torch.from_numpy(rng.integers(2, size=n)), 2)
    columns = BitColumns(pack_bits(bits), n)
    return ConvexProgram(columns, targets, LOSSES["cross_entropy"], PENALTIES["l1"], 0.02, uniform_weights(n))


def test_every_recipe_is_tried():
    assert {f"test_{title.split(' ', 1)[1].replace(' ', '_')}" for title in RECIPES} <= globals().keys()


def test_loss(follow, tmp_path):
    names = follow("A loss")
    model, X, y = names["model"], names["X"], names["y"]
    assert model.certificate_.holds(1e-6)
    assert (model.certificate_.loss, model.trained_.solver) == ("squared_hinge", "active_set_newton")
    loss, rng = names["SquaredHinge"](), np.random.default_rng(0)
    S, V = torch.from_numpy(rng.normal(size=(2, 50, 1)))
    Y = torch.sign(torch.from_numpy(rng.normal(size=(50, 1))))
    V = loss.project_dual(V, Y)
    assert bool((loss.value(S, Y) + loss.conjugate(V, Y) >= (S * V).sum(dim=1) - 1e-12).all())  # Fenchel
    at = loss.gradient(S, Y)
    assert torch.allclose(loss.value(S, Y) + loss.conjugate(at, Y), (S * at).sum(dim=1))
    again = kept(model, tmp_path)
    assert np.array_equal(again.predict(X), model.predict(X))
    proof = verify_exactly(tmp_path / "model.safetensors", X, y)
    assert proof.holds, proof.problems
    del exact_losses.LOSSES["squared_hinge"]
    assert "squared_hinge" in verify_exactly(tmp_path / "model.safetensors", X, y).problems[0]


def test_penalty(follow, program):
    names = follow("A penalty")
    penalty = names["LargestEntry"]()
    assert names["model"].certificate_.holds(1e-6)
    Z = torch.from_numpy(np.random.default_rng(1).normal(size=(7, 3)))
    W = cp.Variable(Z.shape)
    cp.Problem(cp.Minimize(cp.sum_squares(W - Z.numpy()) / 2 + 0.7 * cp.sum(cp.max(cp.abs(W), axis=1)))).solve()
    assert np.allclose(penalty.prox(Z, 0.7).numpy(), W.value, atol=1e-4)
    program = replace(program, penalty=penalty)
    with pytest.raises(ValueError, match="no solver takes loss 'cross_entropy' with penalty 'largest' and 2 outputs"):
        solve(program)


def test_neuron(follow, tmp_path):
    names = follow("A neuron")
    model, X = names["model"], names["X"]
    assert model.certificate_.holds(1e-6)
    assert isinstance(model.network_.hidden.branches[0].last.neuron, names["Adaptive"])
    assert np.array_equal(kept(model, tmp_path).predict(X), model.predict(X))
    for refusing in (to_nir, to_snntorch, lambda network: widen_margins(network, as_sequences(X))):
        with pytest.raises((ValueError, NotImplementedError), match="adaptive"):
            refusing(model.network_)


def test_readout(follow, tmp_path):
    names = follow("A readout")
    model, X = names["model"], names["X"]
    assert model.certificate_.holds(1e-6)
    assert 0.0 < model.certificate_.global_bound.value <= model.certificate_.primal
    hidden, sequences = model.trained_.witnesses, as_sequences(X)
    every = simulate(replace(hidden, readout="spike", every_step=True), sequences).features.reshape(*X.shape[:2], -1)
    assert torch.allclose(simulate(hidden, sequences).features, every.double().mean(dim=1))
    assert np.array_equal(kept(model, tmp_path).predict(X), model.predict(X))
    with pytest.raises(ValueError, match="readout"):
        Search(readout="rate")


def test_witness_family(follow, tmp_path):
    names = follow("A witness family")
    Signs, X, y = names["Signs"], names["X"], names["y"]
    assert names["model"].certificate_.holds(1e-6)
    assert names["named"].witnesses == Signs(leak=0.9)
    model = clone(names["named"]).set_params(witnesses__last=32, random_state=1).fit(X, y)
    assert set(model.trained_.witnesses.branches[0].last.weight.unique().tolist()) == {-1.0, 1.0}
    assert kept(model, tmp_path).witnesses == Signs(last=32, leak=0.9)
    searched = SpikingClassifier(witnesses=Signs(last=8) + Search(readout="spike", effort=1e6), random_state=0)
    assert searched.fit(X, y).stopped_
    with pytest.raises(ValueError, match="depth"):
        Signs().with_params(depth=2)
    assert set(documentation_of(Signs)) == {"last", "leak"}


def test_search_oracle(follow):
    model = follow("A search oracle")["model"]
    assert model.certificate_.holds(1e-6)
    assert sum(entry.admitted.get("mirrors", 0) for entry in model.history_) > 0
    with pytest.raises(ValueError, match=r"oracles must be one of .*'mirrors', got 'mirror'"):
        Search(oracles=("mirror",))


def test_solver(follow, program):
    names = follow("A penalty", "A solver")
    model, solver = names["model"], names["ProximalGradient"]()
    assert (model.trained_.solver, model.certificate_.penalty) == ("proximal_gradient", "largest")
    assert model.certificate_.holds(1e-4)
    W = cp.Variable((program.n_columns, 2))
    S, Y = program.columns.dense().numpy() @ W, program.targets.numpy()
    data = cp.sum(cp.log_sum_exp(S, axis=1) - cp.sum(cp.multiply(Y, S), axis=1)) / program.n_rows
    least = cp.Problem(cp.Minimize(data + program.rho * cp.sum(cp.max(cp.abs(W), axis=1)))).solve(solver="CLARABEL")
    solution = solve(replace(program, penalty=PENALTIES["largest"]), SolverOptions(1e-6))
    assert solution.status is Status.CONVERGED
    assert solution.certificate.primal == pytest.approx(least, rel=1e-5)
    known = solve(program, SolverOptions(1e-8))
    assert known.solver != solver.name
    assert solver.solve(program, SolverOptions(1e-6)).certificate.primal == pytest.approx(
        known.certificate.primal, rel=2e-6
    )
    hinge = replace(program, loss=LOSSES["hinge"], targets=2.0 * program.targets - 1.0)
    with pytest.raises(ValueError, match="proximal_gradient needs a smooth loss"):
        solver.solve(hinge, SolverOptions())


def test_task(follow, capsys, tmp_path):
    names = follow("A task")
    task = load_task("majority", TaskSettings(n_train=20, timesteps=7))
    assert [len(part) for part in (task.train, task.val, task.test)] == [20, 500, 1000]
    assert np.array_equal(task.train.y, task.train.X[:, :, 1].sum(axis=1) > 3.5)
    other = load_task("majority", TaskSettings(n_train=30, timesteps=7))
    assert np.array_equal(task.test.X, other.test.X)
    with pytest.raises(ValueError, match="timesteps must be odd for majority, not 4"):
        load_task("majority", TaskSettings(timesteps=4))
    assert names["task"].unseen_share == 0.0  # 32 different sequences, 500 to train on
    assert command(["tasks"]) == 0
    assert "majority" in capsys.readouterr().out
    family = ["--witnesses", "gaussian", "--last", "32"]
    assert command(["fit", "--task", "majority", *family, "--out", str(tmp_path)]) == 0
    assert command(["verify", "--model", str(tmp_path), "--task", "majority"]) == 0


def test_kinds_are_gone_when_a_recipe_is_over():
    """What one test adds must not be what another passes by."""
    assert not {"squared_hinge", "largest", "adaptive", "rate", "signs", "mirrors", "majority"} & {
        name for table in TABLES for name in table
    }


def test_recipes_work_together(follow):
    """A loss, a penalty, a readout and a family of one's own in one program."""
    follow("A loss", "A penalty", "A readout")
    signs = follow("A witness family")["Signs"]
    X, y = np.eye(2)[np.random.default_rng(1).integers(2, size=(60, 5))], np.arange(60) % 2
    sequences, labels = as_sequences(X), torch.from_numpy(y)
    loss = LOSSES["squared_hinge"]
    problem = Problem(sequences, loss.encode(labels, 2), loss, PENALTIES["largest"], 0.01)
    drawn = SpikingClassifier(witnesses=signs(last=20), random_state=0).fit(X, y).trained_.witnesses
    rate = Hidden(drawn.n_features, drawn.branches, "rate", drawn.every_step, drawn.dtype)
    trained = train(problem, rate)
    assert trained.certificate.holds(1e-6)
    assert problem.objective(trained.network) == pytest.approx(trained.certificate.primal, rel=1e-9)
    assert isinstance(Gaussian(readout="rate"), Gaussian)
