"""`polish`: the readout of any spiking torch module made optimal, sparse and certified, and nothing else touched."""

from __future__ import annotations

import time as clock
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from sklearn.exceptions import ConvergenceWarning
from torch import nn

from convexsnn.checks import check_choice
from convexsnn.losses import Loss, loss_of
from convexsnn.notices import warn
from convexsnn.observer import Observer
from convexsnn.penalties import PENALTIES
from convexsnn.polishing.batches import Rows, read_labels
from convexsnn.polishing.context import surroundings, surroundings_of
from convexsnn.polishing.find import find_parts
from convexsnn.polishing.head import OutputMap
from convexsnn.polishing.pooling import Pooling
from convexsnn.polishing.readout_program import ReadoutProgram
from convexsnn.polishing.record import Showing, listen, record
from convexsnn.polishing.result import Old, Polished
from convexsnn.polishing.tape import TIMES, RunModule, Tape
from convexsnn.polishing.targets import check_classes, encode, row_weights
from convexsnn.polishing.write import HeldOut, Polishing
from convexsnn.progress import watched
from convexsnn.regularisation import Regularisation
from convexsnn.solvers import SolverOptions


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
    head: Any = None,
    rows: Rows | None = None,
    validation: Iterable[Any] | None = None,
    loss: str = "cross_entropy",
    penalty: str = "l1",
    beta: Any = 0.1,
    rho: float | None = None,
    tol: float = 1e-6,
    max_iter: int = 1000,
    verbose: bool = False,
    observer: Observer | None = None,
) -> Polished:
    """Solve for the readout weights of a trained spiking network: optimal for its own spikes, sparse, certified.

    The module is run over `loader` in eval mode and without gradients. What its readout reads is recorded, spikes at
    one bit an entry. The convex program over these columns is solved, starting from the weights that the readout has,
    and the solution is written back. A bias is the weight of a neuron that always fires, penalised like any other.

    The program is about what the module itself answers. Before anything is written, its own outputs are compared with
    the pooled readout on all rows. The readout is also made to give random numbers. The module must then answer with
    their pooling, or with a fixed linear map of it (a population code, a voting layer, a scaling). Such a map is part
    of the program.

    After the write the module is run again. Where it does not answer what was solved for, or its own training objective
    is higher than before, the old weights are put back. Nothing else of the module changes. When an error is raised,
    nothing changes at all.

    Parameters
    ----------
    module : torch.nn.Module
        A trained network of snnTorch, SpikingJelly, Norse, plain torch or others. It is called as ``module(x)`` unless
        `run` is given.
    loader : iterable of (x, y)
        The training data, such as a DataLoader with ``shuffle=False``. It is read four or five times, with the same
        labels each time. y holds class indices (n,), or real targets (n,) or (n, C) for the squared loss. See `rows`
        for other batches.
    readout : str or Module, optional
        The `nn.Linear` or 1 x 1 convolution to solve for, or its name. None is the one after the last spiking layer.
    spikes : str or Module, optional
        The spiking layer that the readout reads, or its name. None is the last spiking layer of a known kind.
    time : {"steps", "first", "batch"}
        How the module calls the readout. "steps" is once a step with (n, F). "first" is once a batch with (T, n, F), or
        (T * n, F) flattened so. "batch" is once a batch with (n, T, F). This is never guessed.
    pooling : {"last", "count", "mean", "leaky"}
        How the outputs at all steps become one. "last" takes the last, "count" their sum, and "mean" their mean.
        "leaky" is a leaky integrator of `leak`, read at the last step. The maximum over steps is not offered, since it
        is not linear in the weights.
    leak : float, optional
        The leak of "leaky", in [0, 1].
    run : callable (module, x), optional
        A function that shows a batch to the module from zero state, where ``module(x)`` does not. It resets hidden
        states, loops over steps, or moves axes. It returns the output by which the network is judged: (n, C), or of
        every step (T, n, C), (n, T, C) or a list of T such tensors.
    head : matrix of shape (C_out, C), optional
        The fixed map from the readout's outputs to the module's. None finds it.
    rows : Rows, optional
        What batches hold besides x and y, such as weights of rows or lengths of padded sequences. It also says whether
        each step has a label, which labels to ignore, and what weights classes have.
    validation : iterable of (x, y), optional
        Another loader with batches of the same kind. Of several betas the one is taken with which the module is most
        accurate on it, or has the smallest mean squared error. Of equal ones the larger beta is taken.
    loss : {"cross_entropy", "logistic", "hinge", "squared"}
    penalty : {"l1", "group", "elastic"}
    beta : float, sequence of float, or "path"
        The price of the weights, more than 0: rho = beta / sqrt(F), where F counts the inputs of the readout and its
        bias. Several betas, and "path" (20 of them), need `validation`.
    rho : float, optional
        Weight of the penalty, more than 0, instead of beta.
    tol : float
        The relative duality gap to certify, more than 0.
    max_iter : int
        The solver stops after this many iterations.
    verbose : bool
        Whether progress is shown on standard error, as the estimators show it. Nothing else changes.
    observer : Observer, optional
        Its functions are called during the work, as in the `fit` of an estimator.

    Returns
    -------
    Polished
        Its `restore()` puts the old weights back.

    Raises
    ------
    ValueError, TypeError
        When one of these cannot be used. The module is then as it was.

        - the module: no spiking layer, two possible readouts, a nonlinear readout, or one that shares its weights;
        - what the module does: it keeps state between batches, or answers anything but what was declared;
        - the data: shapes or labels that do not fit, a class without rows, a loader that is empty or changes between
          passes, or a readout that reads the same of every row;
        - a beta so large that no weight is left.

    Warns
    -----
    ConvergenceWarning
        When the certificate does not reach tol.
    UserWarning
        When the module is less accurate than before on the training or validation data.
    """
    program_loss, omega = loss_of(loss), PENALTIES[check_choice("penalty", penalty, PENALTIES)]
    regularisation, options = Regularisation.read(beta, rho), SolverOptions(0.5 * tol, max_iter)
    if regularisation.several and validation is None:
        raise ValueError("validation must be given when there are several betas: a loader of data not trained on")
    rows = rows or Rows()
    if not isinstance(rows, Rows):
        raise ValueError(f"rows must be convexsnn.polishing.Rows, not {type(rows).__name__}")
    pool = Pooling(pooling, leak, rows.every_step)
    check_choice("time", time, TIMES)
    parts = find_parts(module, readout, spikes)
    declared = None if head is None else OutputMap.read(head, parts.readout.out_features)
    tape = Tape(parts, time, run, module)
    with watched(observer, verbose=verbose, tol=tol) as told, surroundings_of(parts.readout.weight):
        polishing = _record(Showing(tape, rows, pool, told), loader, declared, program_loss, omega)
        held = None if validation is None else HeldOut.read(polishing, validation)
        with surroundings():
            betas = polishing.program.betas(regularisation)
        result = polishing.run(betas, replace(options, callback=told.solved), held)
    _warn(result, tol)
    return result


def _record(setup: Showing, loader: Iterable[Any], declared: OutputMap | None, loss: Loss, omega: Any) -> Polishing:
    """The program of what the module reads and answers."""
    started, readout = clock.perf_counter(), setup.tape.parts.readout
    labels = read_labels(loader, setup.rows)
    listened = listen(setup, loader, labels, declared, shifts=_ignores_shifts(loss))
    head = listened.reading.head
    targets = encode(labels.values, len(head.matrix), loss)
    check_classes(labels.values, len(head.matrix), allow_missing=setup.rows.allow_missing_classes)
    recorded = record(setup, loader, labels, listened)
    program = ReadoutProgram(
        recorded.dictionary,
        targets,
        labels.values,
        row_weights(labels, setup.rows),
        loss,
        omega,
        head,
        readout.bias is not None,
    )
    program.check_columns()
    polishing = Polishing(setup, loader, labels, listened, recorded, program, Old(readout))
    polishing.check(recorded.own, polishing.old.rows, "")
    polishing.seconds["record"] = clock.perf_counter() - started
    return polishing


def _ignores_shifts(loss: Loss) -> bool:
    """Whether adding one number to all outputs of a row leaves the loss as it is."""
    if "classes" not in loss.target_kinds:
        return False
    labels = torch.arange(3)
    Y = loss.encode(labels, 3)
    S = torch.zeros_like(Y)
    return torch.allclose(loss.value(S, Y), loss.value(S + 1.0, Y), rtol=1e-9, atol=0.0)


def _warn(result: Polished, tol: float) -> None:
    certificate, before, after = result.certificate, result.before.accuracy, result.after.accuracy
    if not certificate.holds(tol):
        warn(
            f"not certified to tol={tol:g}: relative gap {certificate.relative_gap:.2e}; {result.status.value}",
            ConvergenceWarning,
        )
    if before is not None and after is not None and after < before:
        warn(
            f"the module's accuracy on the training rows falls from {before:.4f} to {after:.4f}: its objective with "
            "the penalty is lower, but beta is large. Lower it, or pass several and validation=; restore() undoes this"
        )
    if result.validation is not None and result.validation[1] < result.validation[0]:
        warn(
            f"the module's score on the validation rows falls from {result.validation[0]:.4f} to "
            f"{result.validation[1]:.4f}; restore() undoes this"
        )
