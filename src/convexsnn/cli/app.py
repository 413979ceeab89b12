"""The command line as a whole: its commands, and what becomes of errors and warnings.

Nothing here needs torch: help, and errors of arguments, are there at once.
"""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from importlib.metadata import version
from typing import Any

from cyclopts import App, CycloptsError

from convexsnn.cli import INTERRUPTED, output, torchrun
from convexsnn.cli.commands.bench import ablation, paper
from convexsnn.cli.commands.bound import bound
from convexsnn.cli.commands.export import export
from convexsnn.cli.commands.fit import fit
from convexsnn.cli.commands.predict import predict
from convexsnn.cli.commands.prove import prove
from convexsnn.cli.commands.quantise import quantise
from convexsnn.cli.commands.report import report
from convexsnn.cli.commands.tasks import tasks
from convexsnn.cli.commands.verify import verify
from convexsnn.cli.settings_file import read_settings

app = App(
    name="convexsnn",
    help="Spiking neural networks trained by convex optimisation, with a certificate of optimality.",
    version=lambda: version("convexsnn"),
    suppress_keyboard_interrupt=False,
)
bench = App(name="bench", help="The paper's tables and ablations; a killed run goes on where it was.")
app.command(bench)
app.command(fit, config=read_settings)
for command in (predict, verify, prove, bound, export, report, quantise, tasks):
    app.command(command)
for command in (paper, ablation):
    bench.command(command)


def run(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status. Of several processes that torchrun starts one prints."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.showwarning = _show_warning
        if not torchrun.speaks():
            stack.enter_context(contextlib.redirect_stdout(stack.enter_context(open(os.devnull, "w"))))
            warnings.showwarning = _keep_silent
        try:
            torchrun.check_command(sys.argv[1:] if arguments is None else arguments)
            told = torchrun.speaks()
            return int(app(arguments, exit_on_error=False, print_error=told, result_action="return_value") or 0)
        except CycloptsError:
            return 2  # cyclopts has printed what was wrong
        except KeyboardInterrupt as interrupt:
            output.say(f"interrupted{interrupt}", to=output.stderr)
            return INTERRUPTED
        except MemoryError as error:
            reason = f"out of memory: ask for less data or fewer neurons ({error})"
        except (ValueError, TypeError, OSError, RuntimeError, ArithmeticError, ImportError) as error:
            reason = str(error)
    if torchrun.first_to_say():
        output.say(reason, head="error:", style="bold red", to=output.stderr)
    return 2


def _keep_silent(*_: Any) -> None:
    """What another process says."""


def _show_warning(message: Warning | str, category: type[Warning], *_: Any) -> None:
    style = "bold yellow" if issubclass(category, UserWarning) else "dim"
    output.say(str(message), head="warning:", style=style, to=output.stderr)
