"""Boxes that hold all that a network reaches, refined where they are too wide to decide (theory.md section 8).

What is reached from a box is put into a box of the same state where both together are not wider than `width` says, a
number a neuron; else it begins a box of its own. Where a wrong answer is possible, the neurons whose boxes were cut on
the way there get half the width, and all begins anew. This refines where it matters and ends soon where it does not.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
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


@dataclass(eq=False)
class _Group:
    """The boxes of one state of the automaton and the same spikes: their intervals, and their numbers among all."""

    low: Floats
    high: Floats
    numbers: list[int]


@dataclass(eq=False)
class _Box:
    """Row number `at` of a group, and the step on which it was first reached: from which box, under which symbol."""

    state: int
    spikes: Flags
    group: _Group
    at: int
    parent: int
    symbol: int
    cut: Flags
    grown: int = 0
    is_open: bool = False


class _Cover:
    """Boxes that are no wider than `width`; those that are open are still to be stepped."""

    def __init__(self, machine: Machine, width: Floats, scale: Floats) -> None:
        self.machine, self.lasting, self.echoing = machine, machine.lasting, machine.echoing
        soft = np.where(machine.exact, 0.0, scale)[self.lasting]
        self.width, self.pad, self.slack = width[self.lasting], PAD * soft, SLACK * soft
        self.groups: dict[tuple[int, bytes], _Group] = {}
        self.boxes: list[_Box] = []
        self.open: deque[int] = deque()

    def put(self, rows: BoxBatch, came_from: Indices) -> None:
        """See to it that every row is held by a box; `came_from` has the boxes that `rows.source` numbers."""
        spikes = rows.spikes & self.echoing
        packed = np.packbits(spikes, axis=1)
        empty = np.zeros((0, len(self.width)))
        for r in range(len(rows)):
            group = self.groups.setdefault((int(rows.state[r]), packed[r].tobytes()), _Group(empty, empty, []))
            low, high = rows.low[r, self.lasting], rows.high[r, self.lasting]
            if _holds(group, low - self.slack, high + self.slack):
                continue
            number = self._grown(group, low - self.pad, high + self.pad)
            if number is None:
                number, at = len(self.boxes), len(group.numbers)
                group.low, group.high = _with(group.low, low - self.pad), _with(group.high, high + self.pad)
                group.numbers.append(number)
                came = int(came_from[rows.source[r]]), int(rows.symbol[r]), rows.cut[r]
                self.boxes.append(_Box(int(rows.state[r]), spikes[r], group, at, *came))
            if not self.boxes[number].is_open:
                self.boxes[number].is_open = True
                self.open.append(number)

    def _grown(self, group: _Group, low: Floats, high: Floats) -> int | None:
        """The box of a group that grew least and now holds an interval; None where all would be too wide."""
        lower, upper = np.minimum(group.low, low), np.maximum(group.high, high)
        fits = np.flatnonzero((upper - lower <= self.width).all(axis=1))
        if len(fits) == 0:
            return None
        growth = (upper - lower)[fits] - (group.high - group.low)[fits]
        at = int(fits[np.argmin(growth.sum(axis=1))])
        box = self.boxes[group.numbers[at]]
        ahead = np.where(self.pad > 0, min(MOST_AHEAD, AHEAD * 2.0**box.grown), 0.0)
        below, above = ahead * (group.low[at] - lower[at]), ahead * (upper[at] - group.high[at])
        room = np.minimum(self.width - (upper[at] - lower[at]), below + above)
        share = room / np.maximum(below + above, np.finfo(float).tiny)
        group.low[at], group.high[at] = lower[at] - share * below, upper[at] + share * above
        box.grown += 1
        return group.numbers[at]

    def next_open(self) -> list[int]:
        """The numbers of some boxes that are open, which they are no longer."""
        numbers = [self.open.popleft() for _ in range(min(AT_ONCE, len(self.open)))]
        for number in numbers:
            self.boxes[number].is_open = False
        return numbers

    def take(self, numbers: Iterable[int]) -> BoxBatch:
        """Boxes as rows."""
        boxes = [self.boxes[number] for number in numbers]
        spikes = np.array([box.spikes for box in boxes])
        low, high, zeros = np.zeros(spikes.shape), np.zeros(spikes.shape), np.zeros(len(boxes), dtype=np.int64)
        low[:, self.lasting] = [box.group.low[box.at] for box in boxes]
        high[:, self.lasting] = [box.group.high[box.at] for box in boxes]
        state = np.array([box.state for box in boxes])
        return BoxBatch(state, spikes, low, high, zeros, zeros, np.zeros_like(spikes), spikes[:, :0])

    def doubt(self, number: int, symbol: int, cut: Flags) -> Doubt:
        """The doubt that a step of a box leaves, if neurons were `cut` in it."""
        word, cut_at = [symbol], number if cut.any() else None
        while (box := self.boxes[number]).parent >= 0:
            if cut_at is None and box.cut.any():
                cut, cut_at = box.cut, box.parent
            word.append(box.symbol)
            number = box.parent
        widths = np.zeros(len(cut))
        if cut_at is not None:
            box = self.boxes[cut_at]
            widths[self.lasting] = box.group.high[box.at] - box.group.low[box.at]
        return Doubt(word[::-1], cut, widths)


def _holds(group: _Group, low: Floats, high: Floats) -> bool:
    return bool(((group.low <= low).all(axis=1) & (group.high >= high).all(axis=1)).any())


def _with(rows: Floats, row: Floats) -> Floats:
    return np.concatenate([rows, row[None]])


def close_boxes(machine: Machine, width: Floats, most: int, until: float) -> Closed | Doubt | str:
    """Boxes for one `width` a neuron: closed, or the first doubt, or in words why there was no end."""
    cover = _Cover(machine, width, machine.scale)
    cover.put(machine.at_rest(), np.array([-1]))
    while cover.open:
        if len(cover.boxes) > most:
            return f"more than {most} boxes"
        if time.monotonic() > until:
            return f"{len(cover.boxes)} boxes when the time was over"
        numbers = cover.next_open()
        if any(cover.boxes[number].grown > MOST_GROWTHS for number in numbers):
            return "a membrane that grows without end"
        before = cover.take(numbers)
        try:
            after = machine.step(before)
        except TooManyPatternsError as many:
            return cover.doubt(numbers[many.source], many.symbol, many.cut)
        wrong = np.flatnonzero(machine.wrong(before, after))
        if len(wrong):
            first = int(wrong[0])
            return cover.doubt(numbers[after.source[first]], int(after.symbol[first]), after.cut[first])
        cover.put(after, np.array(numbers))
    return Closed(cover.take(range(len(cover.boxes))))


def refine(machine: Machine, *, most: int, until: float, on_doubt: Callable[[Doubt], bool]) -> Closed | str:
    """Covers with ever smaller boxes, until one closes.

    Parameters
    ----------
    machine : Machine
    most : int
        Boxes of one cover.
    until : float
        When to end, on the clock of `time.monotonic`.
    on_doubt : callable (Doubt) -> bool
        Is shown each doubt; what it says ends the search for boxes.

    Returns
    -------
    Closed, or str
        Why none closed.
    """
    width, scale = np.full(machine.n_neurons, np.inf), machine.scale
    while True:
        outcome = close_boxes(machine, width, most, until)
        if not isinstance(outcome, Doubt):
            return outcome
        if on_doubt(outcome):
            return "a wrong answer was found"
        narrower = outcome.cut & (outcome.widths > NARROWEST * scale)
        if not narrower.any():
            return f"rounding alone may lead to a wrong answer after {len(outcome.word)} symbols"
        width[narrower] = np.minimum(width, outcome.widths / 2)[narrower]
