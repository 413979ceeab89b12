"""A network taken apart: each branch followed by itself, or together with others where that is not enough.

Branches do not feed one another. Followed together they have as many states as there are combinations of theirs, and
followed apart only their sum. What is lost is which combinations occur. So a part adds to the lead of the right output
the least that any of its boxes does, and where the sum of these is no lead, two parts are joined.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from convexsnn.rationals import Floats
from convexsnn.words.boxes import AT_ONCE, Closed, close_boxes
from convexsnn.words.machine import BoxBatch, Machine, TooManyPatternsError


@dataclass(frozen=True, eq=False)
class Part:
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


@dataclass(frozen=True, eq=False)
class _Leads:
    """What a part adds to the lead of the right output over each class: float64 arrays of shape (Q, A, C)."""

    least: Floats
    most: Floats


def close_parts(machine: Machine, *, most: int, seconds: float) -> tuple[Part, ...] | None:
    """Parts whose boxes show together that every answer is right.

    Parameters
    ----------
    machine : Machine
    most : int
        Boxes of one part.
    seconds : float

    Returns
    -------
    tuple of Part, or None
        None where no such parts were found. Membranes that last are followed in one piece, as their boxes have to be
        refined along words.
    """
    if machine.lasting.any() or len(machine.read) < 2:
        return None
    until = time.monotonic() + seconds
    parts = [_closed(machine, (b,), most, until) for b in range(len(machine.read))]
    while all(part is not None for part in parts):
        found: list[tuple[Part, _Leads]] = [part for part in parts if part is not None]
        lead = _asked_of(machine, np.sum([leads.least for _, leads in found], axis=0))
        at = np.unravel_index(int(np.argmin(lead)), lead.shape)
        if lead[at] >= 0.0:
            return tuple(part for part, _ in found)
        if len(found) == 1:
            return None
        # Those of which it is least known what they add there.
        order = np.argsort([float((leads.most - leads.least)[at]) for _, leads in found], kind="stable")
        joined = {int(order[-1]), int(order[-2])}
        branches = tuple(sorted(b for k in joined for b in found[k][0].branches))
        parts = [part for k, part in enumerate(found) if k not in joined]
        parts.append(_closed(machine, branches, most, until))
    return None


def _closed(machine: Machine, branches: tuple[int, ...], most: int, until: float) -> tuple[Part, _Leads] | None:
    """Some branches with boxes that hold all that they reach, and their leads; None where there are too many."""
    own = machine.only(branches)
    silent = replace(own, answers=np.full_like(own.answers, -1))
    closed = close_boxes(silent, np.full(own.n_neurons, np.inf), most, until)
    if not isinstance(closed, Closed):
        return None
    try:
        return Part(branches, own, closed.rows), _leads(own, closed.rows)
    except TooManyPatternsError:
        return None


def _leads(machine: Machine, rows: BoxBatch) -> _Leads:
    shape = (*machine.answers.shape, machine.W.shape[1])
    least, most, W = np.full(shape, np.inf), np.full(shape, -np.inf), machine.W.numpy()
    for before in _some(rows):
        after = machine.step(before)
        state, outputs = before.state[after.source], after.read @ W
        right = machine.answers[state, after.symbol]
        if outputs.shape[1] == 1:
            leads = np.where(right == 1, 1.0, -1.0)[:, None] * outputs
        else:
            leads = outputs[np.arange(len(outputs)), right][:, None] - outputs
        np.minimum.at(least, (state, after.symbol), leads)
        np.maximum.at(most, (state, after.symbol), leads)
    return _Leads(least, most)


def _some(rows: BoxBatch) -> Iterable[BoxBatch]:
    """The rows, some at a time."""
    for first in range(0, len(rows), AT_ONCE):
        yield rows.take(np.arange(first, min(first + AT_ONCE, len(rows))))


def _asked_of(machine: Machine, lead: Floats) -> Floats:
    """Leads that must not be negative; infinite where no answer is asked for, and where nothing is reached."""
    answers, classes = machine.answers[:, :, None], np.arange(lead.shape[2])
    # Of equal outputs the first is taken; a single output answers class 1 where it is positive.
    single = len(classes) == 1
    ties = answers == 1 if single else classes < answers
    asked = (answers >= 0) & (single | (classes != answers)) & np.isfinite(lead)
    return np.where(asked, lead - ties * np.finfo(np.float64).tiny, np.inf)
