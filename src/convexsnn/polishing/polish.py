"""`polish`: the readout of any spiking torch module made optimal, sparse and certified, and nothing else touched."""

from __future__ import annotations

import math
import time as clock
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor, nn

from convexsnn.certificate import Certificate, certify
from convexsnn.checks import check_choice
from convexsnn.dictionary import Dictionary
from convexsnn.labels import decide
from convexsnn.losses import SmoothLoss, loss_of
from convexsnn.penalties import PENALTIES
from convexsnn.polishing.find import find_parts
from convexsnn.polishing.pooling import Pooling
from convexsnn.polishing.record import record
from convexsnn.polishing.tape import TIMES, RunModule
from convexsnn.polishing.targets import encode
from convexsnn.problem import Problem
from convexsnn.program import ConvexProgram
from convexsnn.regularisation import Regularisation
from convexsnn.solvers import Solution, SolverOptions, Status, solve, solver_for
from convexsnn.solvers.working_set import solve_by_working_set

# Dictionaries above this many bytes as float64 are solved by rounds on few columns.
UNPACKED_BYTES = 2**28


class Measured(NamedTuple):
    """A readout on the training data.

    Attributes
    ----------
    objective : float
        Loss plus rho times penalty, bias included.
    accuracy : float or None
        Of classes.
    synapses : int
        Nonzero weights of the readout, bias left out.
    neurons : int
        Neurons that it reads: inputs with a nonzero weight.
    """

    objective: float
    accuracy: float | None
    synapses: int
    neurons: int


@dataclass(frozen=True, eq=False)
class Polished:
    """What `polish` did.

    Attributes
    ----------
    certificate : Certificate
        Of the readout that the module now has, in float64, on the recorded spikes.
    before, after : Measured
    improved : bool
        Whether weights were written; the old ones are kept where the new ones are not better.
    readout, spikes : str
        Names of the two layers in the module.
    steps : int
        T.
    reads_spikes : bool
        Whether the readout reads zeros and ones (stored as bits) or real numbers (stored as float64).
    silent, duplicates : int
        Inputs of the readout that are zero on all rows; that equal an earlier one.
    status : Status
    solver : str
    seconds : dict of str to float
        "record" and "solve".
    """

    certificate: Certificate
    before: Measured
    after: Measured
    improved: bool
    readout: str
    spikes: str
    steps: int
    reads_spikes: bool
    silent: int
    duplicates: int
    status: Status
    solver: str
    seconds: dict[str, float]


def polish(
    module: nn.Module,
    loader: Iterable[Any],
    *,
    readout: str | nn.Module | None = None,
    spikes: str | nn.Module | None = None,
    time: str = "steps",
    pooling: str = "last",
    leak: float | None = None,
    run: RunModule | None = None,
    loss: str = "cross_entropy",
    penalty: str = "l1",
    beta: float = 0.1,
    rho: float | None = None,
    tol: float = 1e-6,
    max_iter: int = 1000,
) -> Polished:
    """Solve for the readout weights of a trained spiking network: optimal for its own spikes, sparse, certified.

    The module is run over `loader` in eval mode and without gradients, what its readout reads is recorded (spikes at
    one bit an entry), the convex program over these columns is solved from the weights that the readout has, and
    the solution is written back, unless it is not better. Nothing else of the module changes, and nothing at all
    when an error is raised. A bias is the weight of a neuron that always fires, penalised like any other.

    Parameters
    ----------
    module : torch.nn.Module
        Of snnTorch, SpikingJelly, Norse, plain torch, ...; called as ``module(x)`` unless `run` is given.
    loader : iterable of (x, y)
        Such as a DataLoader with ``shuffle=False``; read two or three times, with the same labels each time. y holds
        class indices (n,), or real targets (n,) or (n, C) for the squared loss.
    readout : str or Module, optional
        The `nn.Linear` to solve for; None is the one Linear after the last spiking layer.
    spikes : str or Module, optional
        The spiking layer before it; None is the last one that we know.
    time : {"steps", "first", "batch"}
        Where the readout meets time: it is called once a step with (n, F); or once a batch with (T, n, F), or
        (T * n, F) flattened so; or with (n, T, F). Never guessed.
    pooling : {"last", "count", "mean", "leaky"}
        How the outputs at all steps become one: the last; their sum; their mean; a leaky integrator of `leak` read at
        the last step. The maximum over steps is not covered: it is not linear in the weights.
    leak : float, optional
        In [0, 1]; of "leaky".
    run : callable (module, x), optional
        Shows a batch to the module from zero state, where ``module(x)`` does not: resets hidden states, loops over
        steps, moves axes.
    loss : {"cross_entropy", "logistic", "hinge", "squared"}
    penalty : {"l1", "group"}
    beta : float
        rho = beta / sqrt(F), F the inputs of the readout (and its bias).
    rho : float, optional
        Weight of the penalty, instead of beta.
    tol : float
        Relative duality gap to certify.
    max_iter : int

    Returns
    -------
    Polished

    Raises
    ------
    ValueError, TypeError
        Before anything is changed: no spiking layer, two candidates, a nonlinear readout, shapes or labels that do not
        fit, a loader that is empty or changes between passes, a module that keeps state between batches.

    Warns
    -----
    ConvergenceWarning
        When the certificate does not reach tol.
    """
    program_loss, omega = loss_of(loss), PENALTIES[check_choice("penalty", penalty, PENALTIES)]
    regularisation, options = Regularisation.read(beta, rho), SolverOptions(0.5 * tol, max_iter)
    if regularisation.several:
        raise ValueError(f"beta must be one number for polish, got {beta!r}")
    pool = Pooling(pooling, leak)
    check_choice("time", time, TIMES)
    parts = find_parts(module, readout, spikes)
    started = clock.perf_counter()
    recorded = record(module, parts, loader, pool, time, run or _call)
    seconds = {"record": clock.perf_counter() - started}
    labels, dictionary = recorded.labels, recorded.dictionary
    targets = encode(labels, parts.readout.out_features, loss)
    if dictionary.columns.shape[1] == 0:
        raise ValueError("the readout reads nothing but zeros: the last spiking layer is silent on the whole loader")
    strength = regularisation.rho_of(float(beta), len(dictionary.column_of))
    program = Problem(None, targets, program_loss, omega, strength).program(dictionary.columns)
    old = _weights(parts.readout)
    before = _measure(program, dictionary, old, labels, bias=parts.readout.bias is not None)
    started = clock.perf_counter()
    solution = _solve(program, options, dictionary.to_columns(old))
    seconds["solve"] = clock.perf_counter() - started
    # What is certified are the weights as the module holds them.
    new = dictionary.to_neurons(solution.W).to(parts.readout.weight.dtype).to(torch.float64)
    after = _measure(program, dictionary, new, labels, bias=parts.readout.bias is not None)
    improved = after.objective < before.objective
    if improved:
        _write(parts.readout, new)
    certificate = certify(program, dictionary.to_columns(new if improved else old), solution.U)
    if not certificate.holds(tol):
        warnings.warn(
            f"not certified to tol={tol:g}: relative gap {certificate.relative_gap:.2e}; {solution.status.value}",
            ConvergenceWarning,
            stacklevel=2,
        )
    return Polished(
        certificate=certificate,
        before=before,
        after=after if improved else before,
        improved=improved,
        readout=parts.readout_name,
        spikes=parts.spikes_name,
        steps=recorded.steps,
        reads_spikes=recorded.reads_spikes,
        silent=dictionary.n_silent,
        duplicates=dictionary.n_duplicates,
        status=solution.status,
        solver=solution.solver,
        seconds=seconds,
    )


def _call(module: nn.Module, x: Tensor) -> Any:
    return module(x)


def _solve(program: ConvexProgram, options: SolverOptions, W0: Tensor) -> Solution:
    """With a solver's whole dictionary as floats where that is small, else in rounds on few columns."""
    solver = solver_for(program)
    if isinstance(program.loss, SmoothLoss) and 8 * program.n_rows * program.n_columns > UNPACKED_BYTES:
        most = max(1, UNPACKED_BYTES // (4 * 8 * program.n_rows))
        # From zero: a trained readout has all its weights, and would make every column part of the first working set.
        return solve_by_working_set(solver.solve, program, options, None, solver.name, most)
    return solve(program, options, W0)


def _weights(readout: nn.Linear) -> Tensor:
    """Weight and bias as rows (F or F + 1, C), float64."""
    rows = [readout.weight.T] if readout.bias is None else [readout.weight.T, readout.bias[None]]
    return torch.cat(rows).detach().to("cpu", torch.float64)


@torch.no_grad()
def _write(readout: nn.Linear, weights: Tensor) -> None:
    readout.weight.copy_(weights[: readout.in_features].T)
    if readout.bias is not None:
        readout.bias.copy_(weights[-1])


def _measure(
    program: ConvexProgram, dictionary: Dictionary, weights: Tensor, labels: Tensor, *, bias: bool
) -> Measured:
    S = program.columns.matmul(dictionary.to_columns(weights))
    objective = float(program.data_term(S) + program.rho * program.penalty.value(weights))
    read = (weights[:-1] if bias else weights) != 0
    accuracy = None if labels.is_floating_point() else float((decide(S) == labels).double().mean())
    if not math.isfinite(objective):
        raise ValueError("the readout's weights are not finite")
    return Measured(objective, accuracy, int(read.sum()), int(read.any(dim=1).sum()))
