"""A network taken apart: each branch followed by itself, or together with others where that is not enough.

Branches do not feed one another. Followed together they have as many states as there are combinations of theirs, and
followed apart only their sum. What is lost is which combinations occur. So a part adds to the lead of the right output
the least that any of its boxes does, and where the sum of these is no lead, two parts are joined.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from convexsnn.rationals import Floats
from convexsnn.words.boxes import AT_ONCE, Closed, close_boxes
from convexsnn.words.machine import BoxBatch, Machine, TooManyPatternsError


@dataclass(frozen=True, eq=False)
class ProofPart:
    """Some branches of a network, and boxes that hold all that they reach.

    Attributes
    ----------
    branches : tuple of int
        Their numbers, in ascending order.
    machine : Machine
        Of these branches.
    rows : BoxBatch
        The boxes.
    """

    branches: tuple[int, ...]
    machine: Machine
    rows: BoxBatch

    @classmethod
    def whole(cls, machine: Machine, rows: BoxBatch) -> ProofPart:
        """All branches as one part."""
        return cls(tuple(range(len(machine.read))), machine, rows)

    @cached_property
    def leads(self) -> tuple[Floats, Floats]:
        """The least and the most that boxes add to the lead of the right output, by state, symbol and class.

        float64 arrays of shape (Q, A, C); infinite where nothing is reached.
        """
        machine, shape = self.machine, (*self.machine.answers.shape, self.machine.W.shape[1])
        least, most, W = np.full(shape, np.inf), np.full(shape, -np.inf), machine.W.numpy()
        for first in range(0, len(self.rows), AT_ONCE):
            before = self.rows.take(np.arange(first, min(first + AT_ONCE, len(self.rows))))
            after = machine.step(before)
            state, outputs = before.state[after.source], after.read @ W
            right = machine.answers[state, after.symbol]
            if outputs.shape[1] == 1:
                leads = np.where(right == 1, 1.0, -1.0)[:, None] * outputs
            else:
                leads = outputs[np.arange(len(outputs)), right][:, None] - outputs
            np.minimum.at(least, (state, after.symbol), leads)
            np.maximum.at(most, (state, after.symbol), leads)
        return least, most


class NotClosedError(ValueError):
    """The boxes of some branches do not close."""


def close_parts(machine: Machine, *, most: int, until: float) -> tuple[ProofPart, ...] | None:
    """Parts whose boxes show together that every answer is right.

    Parameters
    ----------
    machine : Machine
    most : int
        Boxes of one part.
    until : float
        When to end, on the clock of `time.monotonic`.

    Returns
    -------
    tuple of ProofPart, or None
        None where no such parts were found. Membranes that last are followed in one piece, as their boxes have to be
        refined along words.
    """
    if machine.lasting.any() or len(machine.read) < 2:
        return None
    try:
        parts = [_closed(machine, (b,), most, until) for b in range(len(machine.read))]
        while (at := _doubtful(machine, parts)) is not None and len(parts) > 1:
            # Those of which it is least known what they add there.
            order = np.argsort([float((part.leads[1] - part.leads[0])[at]) for part in parts], kind="stable")
            *rest, one, other = (parts[k] for k in order.tolist())
            parts = [*rest, _closed(machine, tuple(sorted(one.branches + other.branches)), most, until)]
    except (NotClosedError, TooManyPatternsError):
        return None
    return None if at is not None else tuple(parts)


def _closed(machine: Machine, branches: tuple[int, ...], most: int, until: float) -> ProofPart:
    """Some branches with boxes that hold all that they reach; NotClosedError where there are too many."""
    own = machine.only(branches)
    silent = replace(own, answers=np.full_like(own.answers, -1))
    closed = close_boxes(silent, np.full(own.n_neurons, np.inf), most, until)
    if not isinstance(closed, Closed):
        raise NotClosedError(branches)
    return ProofPart(branches, own, closed.rows)


def _doubtful(machine: Machine, parts: list[ProofPart]) -> tuple[int, ...] | None:
    """State, symbol and class of the least lead where that is none; None where all are leads."""
    lead = np.sum([part.leads[0] for part in parts], axis=0)
    answers, classes = machine.answers[:, :, None], np.arange(lead.shape[2])
    # Of equal outputs the first is taken; a single output answers class 1 where it is positive.
    single = len(classes) == 1
    ties = answers == 1 if single else classes < answers
    asked = (answers >= 0) & (single | (classes != answers)) & np.isfinite(lead)
    lead = np.where(asked, lead - ties * np.finfo(np.float64).tiny, np.inf)
    at = np.unravel_index(int(np.argmin(lead)), lead.shape)
    return None if lead[at] >= 0.0 else tuple(map(int, at))
