"""Boxes that hold all that a network reaches, refined where they are too wide to decide (theory.md section 8).

What is reached from a box is put into a box of the same state where both together are not wider than `width` says, a
number a neuron; else it begins a box of its own. Where a wrong answer is possible, the neurons whose boxes were cut on
the way there get half the width, and all begins anew. This refines where it matters and ends soon where it does not.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from convexsnn.rationals import Floats
from convexsnn.words.machine import BoxBatch, Flags, Indices, Machine, TooManyPatternsError

# Boxes that are stepped at once.
AT_ONCE = 64
# Boxes are made larger by this share of their membranes' size, so that rounding does not lead out of them.
PAD = 2.0**-24
# What is held must be held by so much, of the same size: the proof's boxes are rounded to integers.
SLACK = 2.0**-34
# A box that grows is made larger by this share of the growth; by twice the share each time, up to the largest.
AHEAD, MOST_AHEAD = 0.25, 256.0
# A box that has grown so often has a membrane that grows without end.
MOST_GROWTHS = 32
# Below this width, in units of the membranes' size, boxes are not made smaller.
NARROWEST = 2.0**-20


@dataclass(frozen=True)
class Doubt:
    """A wrong answer that is possible as far as boxes say, or more spike patterns than are followed.

    Attributes
    ----------
    word : list of int
        Symbols that lead there.
    cut : bool array of shape (N,)
        Neurons that were cut at the last step of it at which any was; none where the word decides all.
    widths : float64 array of shape (N,)
        Of the box that was cut.
    """

    word: list[int]
    cut: Flags
    widths: Floats


@dataclass(frozen=True)
class Closed:
    """Boxes that hold all that is reached; none of them leads to a wrong answer."""

    rows: BoxBatch


@dataclass
class _Group:
    """Boxes of one state of the automaton and the same spikes: intervals, numbers, and how often each has grown."""

    low: Floats
    high: Floats
    number: list[int]
    grown: list[int]


class Cover:
    """Boxes, and where each comes from; made anew for each `width`."""

    def __init__(self, machine: Machine, width: Floats, scale: Floats) -> None:
        self.machine, self.lasting, self.echoing = machine, machine.lasting, machine.echoing
        kept = self.lasting
        soft = np.where(machine.exact, 0.0, scale)[kept]
        self.width, self.pad, self.slack = width[kept], PAD * soft, SLACK * soft
        self.groups: dict[tuple[int, bytes], _Group] = {}
        self.place: list[tuple[_Group, int]] = []
        self.rows: list[tuple[int, Flags]] = []
        self.parent: list[tuple[int, int, Flags]] = []
        self.open: deque[int] = deque()
        self.is_open: list[bool] = []
        self.most_grown = 0

    def __len__(self) -> int:
        return len(self.place)

    def put(self, rows: BoxBatch, came_from: Indices) -> None:
        """See to it that every row is held by a box."""
        bits = rows.spikes & self.echoing
        packed = np.packbits(bits, axis=1)
        for r in range(len(rows)):
            key = (int(rows.state[r]), packed[r].tobytes())
            low, high = rows.low[r, self.lasting], rows.high[r, self.lasting]
            group = self.groups.get(key)
            if group is None:
                group = self.groups[key] = _Group(np.zeros((0, len(low))), np.zeros((0, len(low))), [], [])
            held = (group.low <= low - self.slack).all(axis=1) & (group.high >= high + self.slack).all(axis=1)
            if held.any():
                continue
            at = self._grown(group, low, high)
            if at is None:
                at = len(group.number)
                group.low = np.concatenate([group.low, (low - self.pad)[None]])
                group.high = np.concatenate([group.high, (high + self.pad)[None]])
                group.number.append(len(self.place))
                group.grown.append(0)
                self.place.append((group, at))
                self.rows.append((key[0], bits[r]))
                self.parent.append((int(came_from[rows.source[r]]), int(rows.symbol[r]), rows.cut[r]))
                self.is_open.append(False)
            number = group.number[at]
            if not self.is_open[number]:
                self.is_open[number] = True
                self.open.append(number)

    def _grown(self, group: _Group, low: Floats, high: Floats) -> int | None:
        """The box of a group that grew least and now holds an interval; None where all would be too wide."""
        lower, upper = np.minimum(group.low, low - self.pad), np.maximum(group.high, high + self.pad)
        fits = np.flatnonzero((upper - lower <= self.width).all(axis=1))
        if len(fits) == 0:
            return None
        growth = (upper - lower)[fits] - (group.high - group.low)[fits]
        at = int(fits[np.argmin(growth.sum(axis=1))])
        ahead = np.where(self.pad > 0, min(MOST_AHEAD, AHEAD * 2.0 ** group.grown[at]), 0.0)
        below, above = ahead * (group.low[at] - lower[at]), ahead * (upper[at] - group.high[at])
        room = np.minimum(self.width - (upper[at] - lower[at]), below + above)
        share = room / np.maximum(below + above, np.finfo(float).tiny)
        group.low[at], group.high[at] = lower[at] - share * below, upper[at] + share * above
        group.grown[at] += 1
        self.most_grown = max(self.most_grown, group.grown[at])
        return at

    def take(self, numbers: list[int]) -> BoxBatch:
        """Boxes as rows."""
        N = self.machine.n_neurons
        low, high = np.zeros((len(numbers), N)), np.zeros((len(numbers), N))
        for i, number in enumerate(numbers):
            group, at = self.place[number]
            low[i, self.lasting], high[i, self.lasting] = group.low[at], group.high[at]
        state = np.array([self.rows[number][0] for number in numbers], dtype=np.int64)
        spikes = np.array([self.rows[number][1] for number in numbers], dtype=bool).reshape(len(numbers), N)
        zeros = np.zeros(len(numbers), dtype=np.int64)
        return BoxBatch(
            state, spikes, low, high, zeros, zeros, np.zeros_like(spikes), np.zeros((len(numbers), 0), dtype=bool)
        )

    def doubt(self, number: int, symbol: int, cut: Flags) -> Doubt:
        """The doubt that a step of a box leaves."""
        word, cut_box = [symbol], number if cut.any() else -1
        while number >= 0:
            parent, symbol, before = self.parent[number]
            if parent < 0:
                break
            if cut_box < 0 and before.any():
                cut, cut_box = before, parent
            word.append(symbol)
            number = parent
        widths = np.zeros(self.machine.n_neurons)
        if cut_box >= 0:
            group, at = self.place[cut_box]
            widths[self.lasting] = group.high[at] - group.low[at]
        return Doubt(word[::-1], cut, widths)


def cover(machine: Machine, width: Floats, scale: Floats, most: int, until: float) -> Closed | Doubt | str:
    """Boxes for one `width` a neuron: closed, or the first doubt, or in words why there was no end."""
    boxes = Cover(machine, width, scale)
    boxes.put(machine.at_rest(), np.array([-1]))
    while boxes.open:
        if len(boxes) > most:
            return f"more than {most} boxes"
        if boxes.most_grown > MOST_GROWTHS:
            return "a membrane that grows without end"
        if time.monotonic() > until:
            return f"{len(boxes)} boxes when the time was over"
        numbers = [boxes.open.popleft() for _ in range(min(AT_ONCE, len(boxes.open)))]
        for number in numbers:
            boxes.is_open[number] = False
        before = boxes.take(numbers)
        try:
            after = machine.step(before)
        except TooManyPatternsError as many:
            return boxes.doubt(numbers[many.source], many.symbol, many.cut)
        wrong = np.flatnonzero(machine.wrong(before, after))
        if len(wrong):
            first = int(wrong[0])
            return boxes.doubt(numbers[after.source[first]], int(after.symbol[first]), after.cut[first])
        boxes.put(after, np.array(numbers))
    return Closed(boxes.take(list(range(len(boxes)))))


def refine(machine: Machine, *, most: int, seconds: float, on_doubt: Callable[[Doubt], bool]) -> Closed | str:
    """Covers with ever smaller boxes, until one closes.

    Parameters
    ----------
    machine : Machine
    most : int
        Boxes of one cover.
    seconds : float
    on_doubt : callable (Doubt) -> bool
        Is shown each doubt; what it says ends the search for boxes.

    Returns
    -------
    Closed, or str
        Why none closed.
    """
    until = time.monotonic() + seconds
    width, scale = np.full(machine.n_neurons, np.inf), machine.scale
    while True:
        outcome = cover(machine, width, scale, most, until)
        if not isinstance(outcome, Doubt):
            return outcome
        if on_doubt(outcome):
            return "a wrong answer was found"
        narrower = outcome.cut & (outcome.widths > NARROWEST * scale)
        if not narrower.any():
            return f"rounding alone may lead to a wrong answer after {len(outcome.word)} symbols"
        width[narrower] = np.minimum(width, outcome.widths / 2)[narrower]
