"""What `convexsnn prove` does."""

from __future__ import annotations

from pathlib import Path
from typing import Any, assert_never

from convexsnn.cli import output
from convexsnn.cli.data import stored_task
from convexsnn.cli.folder import model_file, read_model
from convexsnn.cli.targets import check_target, is_proof
from convexsnn.estimators import SpikingClassifier
from convexsnn.files import write_atomically
from convexsnn.tasks import Automaton, TaskSettings, automaton_of, load_task, read_automaton, smallest
from convexsnn.words import Outcome, ProofSettings, ProvedWords, UndecidedWords, WrongWords
from convexsnn.words import prove as prove_words

PROOF = "proof.json"


def prove(model: Path, name: str | None, out: Path | None, effort: dict[str, Any], *, force: bool) -> dict[str, Any]:
    """Prove the network of a model right, and write the proof; returns the outcome."""
    path = model_file(model)
    out = path.parent / PROOF if out is None else out
    check_target(out, is_proof, path, force=force)
    estimator, extra = read_model(model)
    if not isinstance(estimator, SpikingClassifier):
        raise ValueError("a regressor answers no symbols: only a classifier can be proved right on words")
    automaton = named_automaton(name, extra)
    outcome = prove_words(estimator, automaton, ProofSettings(**effort))
    if isinstance(outcome, ProvedWords):
        write_atomically(out, outcome.file.encode())
    elif is_proof(out):
        out.unlink()
    return describe_outcome(outcome, automaton) | ({"file": str(out)} if isinstance(outcome, ProvedWords) else {})


def named_automaton(name: str | None, extra: dict[str, Any]) -> Automaton:
    """The automaton of a task or of a JSON file; without a name that of the task of the model."""
    if name is not None and name.endswith(".json"):
        return read_automaton(name)
    if name is None:
        name, settings, _ = stored_task(extra)
    else:
        settings = TaskSettings()
    return automaton_of(load_task(name, smallest(name, settings)))


def describe_outcome(outcome: Outcome, automaton: Automaton) -> dict[str, Any]:
    """An outcome as JSON has it."""
    size = {"states": len(automaton.transitions), "symbols": len(automaton.symbols)}
    match outcome:
        case ProvedWords(checked=checked):
            margin = None if checked.margin is None else float(checked.margin)
            counts = {"boxes": checked.boxes, "transitions": checked.transitions, "patterns": checked.patterns}
            return {"outcome": "proved", **size, **counts, "margin": margin, "claim": checked.claim}
        case WrongWords(words=words, shortest=shortest):
            named = [automaton.named(word) for word in words]
            right = automaton.run(words[0])[-1]
            return {"outcome": "wrong", **size, "words": named, "right_answer": right, "shortest": shortest}
        case UndecidedWords(reason=reason, right_up_to=length):
            return {"outcome": "undecided", **size, "reason": reason, "right_up_to": length}
        case _:
            assert_never(outcome)


def print_outcome(report: dict[str, Any]) -> None:
    """The outcome in words."""
    match report["outcome"]:
        case "proved":
            names = ("states", "symbols", "boxes", "transitions", "margin", "file")
            output.print_facts("Proof", {name: report[name] for name in names})
            output.say("the network answers words of every length right", head="proved:", style="bold green")
        case "wrong":
            words = report["words"]
            kind = "a shortest word that is answered wrong" if report["shortest"] else "a word that is answered wrong"
            output.say(f"{kind}: {words[0]}", head="wrong:", style="bold red")
            output.say(f"the right answer to its last symbol is {report['right_answer']}")
        case _:
            output.say(f"{report['reason']}", head="undecided:", style="bold yellow")
            output.say(f"the network is right on all words of up to {report['right_up_to']} symbols")
