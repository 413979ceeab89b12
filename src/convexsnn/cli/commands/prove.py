"""`convexsnn prove`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cyclopts import Group, Parameter

from convexsnn.checks import check_integer, check_real
from convexsnn.cli import output
from convexsnn.cli.options import Force, Json, check_model
from convexsnn.cli.starting import loading


@Parameter(name="*", group=Group("Effort"))
@dataclass(frozen=True)
class ProofOptions:
    """How far to look.

    Parameters
    ----------
    states : int
        The network is run on words, the shortest first, until it has reached this many states.
    longest : int
        These words have at most this many steps.
    boxes : int
        The proof has at most this many boxes.
    seconds : float
        Boxes are sought for at most this many seconds.
    """

    states: int = 50_000
    longest: int = 64
    boxes: int = 20_000
    seconds: float = 120.0

    def check(self) -> None:
        """Raise ValueError on a bad value, before any library is loaded."""
        for name in ("states", "longest", "boxes"):
            check_integer(f"--{name}", getattr(self, name))
        check_real("--seconds", self.seconds, 0.0, open_minimum=True)


def prove(
    *,
    model: Path,
    automaton: str | None = None,
    out: Path | None = None,
    effort: ProofOptions | None = None,
    force: Force = False,
    json: Json = False,
) -> int:
    """Prove that a network answers words of every length right, or find a word that it answers wrong.

    A finite automaton says what is right. The exit status is 0 where the network is proved right, and 1 where it is
    wrong or where neither was found out.

    Parameters
    ----------
    model : Path
        Folder that `convexsnn fit` wrote.
    automaton : str, optional
        What is right is said by the automaton of this task, such as automaton:addition-10 or dfa:tomita-3, or by this
        JSON file. Without a name, it is that of the task on which the model was trained.
    out : Path, optional
        The proof is written into this file; proof.json in the model's folder where it is left out.
    """
    check_model(model)
    effort = effort or ProofOptions()
    effort.check()
    with loading():
        from convexsnn.cli import proving
    report = proving.prove(model, automaton, out, vars(effort), force=force)
    if json:
        output.print_json(report)
    else:
        proving.print_outcome(report)
    return 0 if report["outcome"] == "proved" else 1
