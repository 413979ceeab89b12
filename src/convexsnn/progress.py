"""Progress that is shown: bars on a terminal or in a notebook, or lines of text."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from convexsnn.checks import check_flag
from convexsnn.observer import Observer
from convexsnn.solvers.base import Progress

if TYPE_CHECKING:
    from rich.console import Console


@contextmanager
def watched(observer: Observer | None, *, verbose: bool, tol: float) -> Iterator[Observer]:
    """Whom a fit tells: `observer`, if there is one, and with `verbose` also what shows the progress.

    ValueError when `verbose` is not True or False.
    """
    told = Observer() if observer is None else observer
    if not check_flag("verbose", verbose):
        yield told
        return
    with shown_progress(tol) as shown:
        yield told.and_then(shown)


@contextmanager
def shown_progress(tol: float) -> Iterator[Observer]:
    """An observer that shows the progress on standard error, as ``verbose=True`` does.

    Bars are for terminals and notebooks, and need rich. In notebooks rich needs ipywidgets, too. In all other cases
    there is a line of text for each stage of the work, and one for each round of a search.
    """
    console = _console()
    with lines() if console is None else bars(tol, console) as observer:
        yield observer


def _console() -> Console | None:
    """Where bars can be drawn; None where they cannot."""
    if find_spec("rich") is None:
        return None
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    drawable = find_spec("ipywidgets") is not None if console.is_jupyter else console.is_terminal
    return console if drawable else None


@contextmanager
def bars(tol: float, console: Console) -> Iterator[Observer]:
    """An observer that shows bars on `console`, which are gone afterwards.

    Parameters
    ----------
    tol : float
        The relative gap at which the bar of the solver is full.
    console : rich.console.Console
    """
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    name, detail = TextColumn("{task.description:<9}"), TextColumn("{task.fields[detail]}", markup=False)
    columns = (name, BarColumn(), detail, TimeElapsedColumn())
    with Bars(*columns, console=console, transient=True) as drawn:
        simulation = drawn.add_task("simulate", total=None, detail="")
        solution = drawn.add_task("solve", total=1.0, detail="", start=False)
        stage = ""

        def began(what: str) -> None:
            nonlocal stage
            stage = f"{what}: "
            drawn.reset(solution, total=1.0, detail=what)

        def simulated(done: int, total: int) -> None:
            drawn.update(simulation, completed=done, total=total, detail=f"{done}/{total} rows")

        def solved(state: Progress) -> None:
            drawn.start_task(solution)
            gap = state.relative_gap
            share = 0.0 if not math.isfinite(gap) else min(1.0, math.log(max(gap, tol)) / math.log(tol))
            drawn.update(solution, completed=max(0.0, share), detail=stage + _state(state))

        yield Observer(simulated, solved, began, lambda entry: began(_round(entry)), began)


@contextmanager
def lines(write: Callable[[str], None] | None = None) -> Iterator[Observer]:
    """An observer that writes a line for each stage of the work, by default to standard error."""
    write = write or (lambda line: print(line, file=sys.stderr, flush=True))
    last: Progress | None = None

    def finish() -> None:
        nonlocal last
        if last is not None:
            write(f"solved: {_state(last)}, iteration {last.iteration}")
        last = None

    def began(what: str) -> None:
        finish()
        write(what)

    def solved(state: Progress) -> None:
        nonlocal last
        last = state

    yield Observer(None, solved, began, lambda entry: began(_round(entry)), began)
    finish()


def _state(state: Progress) -> str:
    """Where a solver is."""
    return f"objective {state.primal:.6g}, relative gap {max(0.0, state.relative_gap):.1e}"


def _round(entry: Any) -> str:
    """What a round of a search came to."""
    validation = "" if entry.validation_score is None else f", validation {entry.validation_score:.4f}"
    return (
        f"round {entry.number}: {entry.columns} columns, {entry.support} used, "
        f"objective {entry.objective:.6g}, gap {entry.relative_gap:.1e}, "
        f"global bound {entry.global_bound:.3g}, best score {entry.best_score:.3g}{validation}"
    )
