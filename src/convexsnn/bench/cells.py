"""The paper's cells: tasks, networks and settings, and what the paper reports for each."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from convexsnn.checks import check_choice

Figure = tuple[float, float]
"""Mean and standard deviation of the test accuracy in percent."""


@dataclass(frozen=True)
class Cell:
    """One task with one network.

    Attributes
    ----------
    name : str
    task : str
    timesteps, depth, hidden, last : int
        T, L, P_rec, P_last.
    loss : str
        Of the convex program.
    sizes : (int, int, int)
        Training, validation and test sequences.
    betas : tuple of float
        Chosen from on validation.
    rates : tuple of float
        Learning rates of SG, chosen from on validation.
    epochs : int
        Of SG.
    per_step : bool
    digits : tuple of int
        Lengths of sums at which a task with feedback is tested in closed loop.
    paper : dict of method to (mean, std)
    """

    name: str
    task: str
    timesteps: int
    depth: int
    hidden: int
    last: int
    loss: str
    sizes: tuple[int, int, int]
    betas: tuple[float, ...] = (0.01, 0.1, 1.0)
    rates: tuple[float, ...] = (1e-3, 5e-3, 1e-2, 5e-2, 1e-1)
    epochs: int = 200
    per_step: bool = False
    digits: tuple[int, ...] = ()
    paper: dict[str, Figure] = field(default_factory=dict, hash=False)


# First-last XOR: T, L, and test accuracies of R, SG, CVX, CVX-an, SG-CVX, SG-CVX-an, R-CVX, R-CVX-an, August 2026.
_METHODS = ("R", "SG", "CVX", "CVX-an", "SG-CVX", "SG-CVX-an", "R-CVX", "R-CVX-an")
_XOR = """
6  5  100.0 0.0  73.7 2.2 100.0 0.0 100.0 0.0  80.3 6.4  80.1 6.6  63.6 2.2 100.0 0.0
6  15 100.0 0.0  50.4 0.2  86.6 2.4  86.6 2.4  49.6 0.2  50.4 0.2  50.0 6.0 100.0 0.0
8  5   98.4 1.9  68.9 1.9 100.0 0.0 100.0 0.0  86.5 9.0  75.4 4.8  55.1 4.0 100.0 0.0
8  15  92.7 7.7  49.9 0.3  69.2 3.2  70.1 2.9  50.0 0.3  49.9 0.3  49.6 0.9  98.8 1.1
11 5   53.7 3.5  59.7 2.2  61.4 0.5  66.8 1.2  76.0 4.3  61.3 1.1  51.4 0.5  63.2 1.1
11 15  52.8 2.1  50.1 0.2  51.1 1.1  51.8 0.5  49.9 0.2  50.1 0.2  49.8 0.3  58.3 2.9
14 5   50.2 0.3  51.6 1.1  51.3 0.8  50.8 0.3  55.0 4.7  53.4 3.3  51.3 0.3  50.8 1.4
14 15  50.5 0.7  49.7 0.3  50.6 0.8  50.1 0.3  49.7 0.3  49.7 0.3  50.9 0.3  49.5 1.3
"""


def _xor_cells() -> list[Cell]:
    cells = []
    for line in _XOR.strip().splitlines():
        T, L, *figures = line.split()
        pairs = [(float(mean), float(std)) for mean, std in zip(figures[::2], figures[1::2], strict=True)]
        paper: dict[str, Figure] = dict(zip(_METHODS, pairs, strict=True))
        name = f"xor-T{T}-L{L}"
        cells.append(Cell(name, "first-last-xor", int(T), int(L), 500, 1000, "hinge", (2000, 2000, 4000), paper=paper))
    return cells


def _of_seeds(*values: float) -> Figure:
    return float(np.mean(values)), float(np.std(values))


def _mnist(T: int, L: int, paper: dict[str, Figure]) -> Cell:
    return Cell(f"mnist-T{T}-L{L}", "mnist", T, L, 512, 1024, "cross_entropy", (6000, 2000, 2000), paper=paper)


_MNIST = [
    _mnist(
        14,
        3,
        {
            "R": _of_seeds(81.7, 81.8, 83.6),
            "SG-CVX": _of_seeds(77.0, 77.3, 79.0),
            "CVX": _of_seeds(68.3, 68.2, 67.3),
            "R-CVX": _of_seeds(67.2, 65.1, 66.7),
        },
    ),
    _mnist(4, 3, {"SG-CVX": (85.8, 0.0), "CVX": (70.6, 0.0)}),
    _mnist(4, 10, {"SG-CVX": (11.3, 0.0), "CVX": (16.6, 0.0)}),
]

# Joint token accuracy at the trained length; the paper's other lengths are in its text only.
_ADDITION = [
    Cell(
        f"addition-base{base}",
        f"addition:base-{base}",
        6,
        3,
        512,
        1024,
        "cross_entropy",
        (1000, 1000, 1000),
        per_step=True,
        digits=(5, 10, 20, 50),
        paper=paper,
    )
    for base, paper in (
        (2, {"CVX": (78.4, 0.0), "R-CVX": (71.5, 0.0), "SG-CVX": (40.3, 0.0), "CVX-FT": (84.4, 0.0)}),
        (3, {"CVX": (36.6, 0.0)}),
        (5, {"CVX": (23.0, 0.0)}),
    )
]

CELLS: dict[str, Cell] = {cell.name: cell for cell in [*_xor_cells(), *_MNIST, *_ADDITION]}

# What --small runs: one cell of each task, cut down so that all of its methods together take about a minute.
_SMALL = {
    "xor-T6-L5": {"hidden": 100, "last": 200, "sizes": (500, 500, 1000)},
    "mnist-T14-L3": {"hidden": 100, "last": 200, "sizes": (1000, 500, 500)},
    "addition-base2": {"hidden": 64, "last": 128, "sizes": (200, 200, 200), "digits": (5, 20)},
}


def choose_cells(names: tuple[str, ...], *, small: bool) -> list[Cell]:
    """The cells named, or all; of `small` ones those that have a small variant.

    Raises
    ------
    ValueError
        For a name that there is not, or that has no small variant.
    """
    allowed = list(_SMALL if small else CELLS)
    chosen = [CELLS[check_choice("cells", name, allowed)] for name in names or allowed]
    if not small:
        return chosen
    return [
        replace(cell, **_SMALL[cell.name], name=f"{cell.name}-small", rates=(1e-2,), epochs=30, paper={})
        for cell in chosen
    ]
