"""Small networks, sequences and programs that several tests draw."""

import json

import numpy as np
import torch

from convexsnn import Architecture, Problem, gaussian, simulate
from convexsnn.columns import BitColumns, RealColumns, pack_bits
from convexsnn.losses import LOSSES
from convexsnn.network import Hidden
from convexsnn.penalties import PENALTIES, Norm
from convexsnn.program import ConvexProgram
from convexsnn.sealed import DIGEST, write_sealed
from convexsnn.sequences import Sequences, as_sequences
from convexsnn.simulation import initial_state, read, step
from convexsnn.solvers.active_set.solver import ActiveSetNewton
from convexsnn.solvers.newton.solver import SemismoothNewton

# The penalties that are norms, by name.
NORMS = [name for name, penalty in PENALTIES.items() if isinstance(penalty, Norm)]
KINDS = {
    "feedforward threshold": {"neuron": "threshold", "bias": True},
    "recurrent threshold": {"neuron": "threshold", "recurrent": True, "bias": True},
    "LIF soft": {"reset": "soft"},
    "LIF hard": {"reset": "hard"},
    "LIF none": {"reset": "none"},
    "recurrent LIF": {"recurrent": True, "reset": "soft", "bias": True},
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw_hidden(kind: str = "LIF soft", *, seed: int = 0, d: int = 3, **settings) -> Hidden:
    """A small witness network of one of the KINDS."""
    defaults = {"depth": 3, "branches": 2, "hidden": 8, "last": 12, "leak": 0.9, "readout": "spike"}
    return gaussian(Architecture(d, **(defaults | KINDS[kind] | settings)), generator(seed))


def draw_sequences(n: int = 20, T: int = 5, d: int = 3, *, seed: int = 0, ragged: bool = False) -> Sequences:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, T, d)) + 0.5
    lengths = rng.integers(1, T + 1, size=n) if ragged else None
    return as_sequences(X, lengths=lengths)


def draw_targets(loss: str, rows: int, classes: int = 3, *, seed: int = 0) -> torch.Tensor:
    labels = torch.from_numpy(np.random.default_rng(seed).integers(classes, size=rows))
    if loss == "squared":
        return torch.from_numpy(np.random.default_rng(seed).normal(size=(rows, 1 if classes == 2 else classes)))
    return LOSSES[loss].encode(labels, classes)


def make_problem(sequences, targets, loss="squared", penalty="l1", rho=0.02, **more) -> Problem:
    """The problem of a loss and a penalty by name."""
    return Problem(sequences, targets, LOSSES[loss], PENALTIES[penalty], rho, **more)


def draw_program(
    loss: str, penalty: str, *, n: int = 30, P: int = 12, classes: int = 3, rho: float = 0.01, seed: int = 0, real=False
) -> ConvexProgram:
    rng = np.random.default_rng(seed)
    weights = torch.from_numpy(rng.uniform(0.5, 1.5, size=n))
    bits = torch.from_numpy(rng.random((P, n)) < rng.uniform(0.2, 0.8, size=(P, 1)))
    columns = RealColumns(torch.from_numpy(rng.normal(size=(P, n)))) if real else BitColumns(pack_bits(bits), n)
    targets = draw_targets(loss, n, classes, seed=seed)
    return ConvexProgram(columns, targets, LOSSES[loss], PENALTIES[penalty], rho, weights / weights.sum())


def assert_goes_on(hidden: Hidden, sequences: Sequences, cut: int) -> None:
    """Steps shown in two parts, or one by one, read as all of them at once: what is carried is in the state."""
    whole, steps = simulate(hidden, sequences), sequences.n_steps
    first = simulate(hidden, as_sequences(sequences.values[:, :cut]))
    rest = simulate(hidden, as_sequences(sequences.values[:, cut:]), first.state)
    assert torch.equal(rest.features, whole.features)
    assert rest.state.steps.flatten().tolist() == [steps] * len(sequences)
    state = initial_state(hidden, len(sequences))
    for t in range(steps):
        state = step(hidden, sequences.values[:, t], state).state
    assert torch.equal(read(hidden, state)[0], whole.features)


def assert_scripts_compiles_and_exports(module: torch.nn.Module, X: torch.Tensor) -> None:
    """TorchScript, torch.compile and torch.export give what the module gives."""
    y, state = module(X)
    scripted_y, scripted_state = torch.jit.script(module)(X)
    assert torch.equal(scripted_y, y)
    assert all(map(torch.equal, scripted_state, state))
    torch._dynamo.reset()  # the code of modules is compiled anew for each, up to a limit
    assert torch.equal(torch.compile(module, backend="eager", fullgraph=True)(X)[0], y)
    assert torch.equal(torch.export.export(module, (X,)).module()(X)[0], y)


def assert_gradients_are_those_of_the_trainer(module: torch.nn.Module, trainer: torch.nn.Module) -> None:
    """The weights, leaks and thresholds of an exported module have the gradients of a `TrainableNetwork`."""
    assert torch.allclose(module.output.weight.grad.T, trainer.W.grad)
    for branch in module.branches:
        for i, mine in enumerate(branch.layers):
            others = [trainer.branches[k][i] for k in branch.numbers]
            grads = [other.weight.grad.unflatten(0, (len(mine.delays), -1)) for other in others]
            join = (lambda *blocks: torch.cat(blocks, dim=1)) if i == 0 else torch.block_diag
            weight = torch.cat([join(*blocks) for blocks in zip(*grads, strict=True)])
            assert bool(weight.any())
            assert torch.allclose(mine.linear.weight.grad.T, weight)
            assert torch.allclose(mine.recurrent.weight.grad.T, torch.block_diag(*(o.recurrent.grad for o in others)))
            assert torch.allclose(mine.cell.leak.grad, torch.cat([other.leak.grad for other in others]))
            assert torch.allclose(mine.cell.threshold.grad, torch.cat([other.threshold.grad for other in others]))


def interrupt_run(monkeypatch, call):
    """Make the Newton solvers be interrupted in their `call`-th run."""
    calls = []

    def interrupt(solver):
        iterate = solver._iterate

        def interrupted(*arguments):
            calls.append(1)
            if len(calls) == call:
                raise KeyboardInterrupt
            return iterate(*arguments)

        monkeypatch.setattr(solver, "_iterate", interrupted)

    for solver in (ActiveSetNewton, SemismoothNewton):
        interrupt(solver)


def reseal(path, change):
    """Read a sealed file, let `change` alter its header and tensors, and seal it again, as a forger would."""
    from safetensors import safe_open

    with safe_open(str(path), "pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    kind = next(name for name in metadata if name != DIGEST)
    header = json.loads(metadata[kind])
    change(header, tensors)
    write_sealed(path, kind, header, tensors)
