"""Minibatch Adam on surrogate gradients, with early stopping, and checkpoints from which it goes on exactly."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from convexsnn.caller import isolated
from convexsnn.checkpoints import resuming
from convexsnn.checks import check_integer
from convexsnn.network import Network
from convexsnn.problem import Problem
from convexsnn.reading import reading
from convexsnn.surrogate.checkpoint import Epoch, read_snapshot, training_identity, write_snapshot
from convexsnn.surrogate.run import TrainingRun
from convexsnn.surrogate.settings import SurrogateSettings


@dataclass(frozen=True, eq=False)
class SurrogateResult:
    """A trained network; nothing is proved about it.

    Attributes
    ----------
    network : Network
        The network of the epoch with the best validation score (the first of equals), or of the last epoch without
        validation data.
    epoch : int
        The number of that epoch. 0 is the network that training began with.
    history : tuple of Epoch
    interrupted : bool
        Whether training was stopped by Ctrl-C before its end.
    """

    network: Network
    epoch: int
    history: tuple[Epoch, ...] = field(repr=False)
    interrupted: bool


@isolated
def train_surrogate(
    start: Network,
    problem: Problem,
    settings: SurrogateSettings | None = None,
    *,
    seed: int = 0,
    on_epoch: Callable[[Epoch], None] | None = None,
    checkpoint: str | Path | None = None,
) -> SurrogateResult:
    """Train the weights of a network by surrogate gradients.

    Parameters
    ----------
    start : Network
        Where training begins (`initial_network`, or any network, such as a reconstructed one), on the device on which
        to train. Not changed. Training is in float32; the network that comes back is defined in its own dtype.
    problem : Problem
        Its validation data, if any, are scored after each epoch.
    settings : SurrogateSettings, optional
    seed : int
        The order of the batches and the dropout follow from this seed.
    on_epoch : callable (Epoch), optional
    checkpoint : path, optional
        A file written after every epoch. When it is there already, training goes on from it and ends with the network
        that an uninterrupted run would have given; a finished one is returned at once. With a constant learning rate
        `settings.epochs` may have grown since.

    Raises
    ------
    ValueError
        When the checkpoint is damaged, of another start, problem, seed or settings, or of more epochs than asked for;
        when there is nothing to train; when the objective is not finite (the message says what to do).
    """
    settings = settings or SurrogateSettings()
    check_integer("seed", seed, minimum=0)
    if start.hidden.every_step != problem.every_step:
        raise ValueError("start must be read at the steps of the problem's rows: its every_step is another")
    run = TrainingRun(start, problem, settings, seed)
    of = "" if checkpoint is None else training_identity(start, problem, settings, seed)
    if checkpoint is not None and Path(checkpoint).exists():
        with resuming():
            snapshot = read_snapshot(checkpoint, of)
        if len(snapshot.history) > settings.epochs:
            raise ValueError(
                f"checkpoint {checkpoint} is of {len(snapshot.history)} epochs, more than epochs={settings.epochs}: "
                "name another file, or set epochs higher"
            )
        with resuming(), reading(checkpoint, "weights"):
            run.restore(snapshot)
    interrupted, began = False, time.perf_counter()
    try:
        while not run.finished:
            epoch = run.epoch(began)
            if checkpoint is not None:
                write_snapshot(checkpoint, run.snapshot(), of)
            if on_epoch is not None:
                on_epoch(epoch)
    except KeyboardInterrupt:
        interrupted = True
    return SurrogateResult(run.best_network(), run.best_epoch, tuple(run.history), interrupted)
