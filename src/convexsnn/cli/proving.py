"""What `convexsnn prove` does."""

from __future__ import annotations

from pathlib import Path
from typing import Any, assert_never

from convexsnn.cli import output
from convexsnn.cli.data import from_loaded, stored_task
from convexsnn.cli.fitting import fit
from convexsnn.cli.folder import PROOF, ROUNDS, add_to_model, model_file, read_model
from convexsnn.cli.targets import check_target, is_proof
from convexsnn.estimators import SpikingClassifier
from convexsnn.files import write_atomically
from convexsnn.proof import SUMS
from convexsnn.tasks import Automaton, TaskData, TaskSettings, automaton_of, load_task, read_automaton, smallest
from convexsnn.words import (
    Outcome,
    ProofSettings,
    ProvedWords,
    UndecidedWords,
    WrongWords,
    going_on,
    prove_words,
    train_until_proved,
)


def prove(model: Path, name: str | None, out: Path | None, effort: dict[str, Any], *, force: bool) -> dict[str, Any]:
    """Prove the network of a model right, and write the proof; returns the outcome."""
    path = model_file(model)
    out = path.parent / PROOF if out is None else out
    check_target(out, is_proof, path, force=force, part=PROOF)
    estimator, extra = read_model(model)
    if not isinstance(estimator, SpikingClassifier):
        raise ValueError("a regressor answers no symbols: only a classifier can be proved right on words")
    if name is None:
        name, settings, _ = stored_task(extra)
    else:
        settings = TaskSettings()
    automaton = named_automaton(name, settings)
    return keep_outcome(prove_words(estimator, automaton, ProofSettings(**effort)), automaton, out)


def fit_until_proved(
    task: str, sizes: TaskSettings, parameters: dict[str, Any], settings: str, out: Path, *, force: bool
) -> dict[str, Any]:
    """Train until the network is proved; what `fit` reports of the last training, and the outcome as "proof".

    `settings` is the TOML file from which all of it can be repeated. After each round the folder says what was made,
    and a killed fit goes on from there.
    """
    reports, before = [], _classifier(out) if (out / ROUNDS).exists() else None

    def train(data: TaskData) -> SpikingClassifier:
        nonlocal before
        own = parameters | {"per_step": data.per_step} | ({} if before is None else {"witnesses": going_on(before)})
        # The model of the round before is in the folder.
        reports.append(fit(from_loaded(data), own, settings, out, regression=False, force=force or before is not None))
        if reports[-1]["interrupted"]:
            raise KeyboardInterrupt(f"; the network so far is in {out}: the same command goes on from there")
        before = _classifier(out)
        return before

    of = repr(sorted(parameters.items()))
    taught = train_until_proved(train, task, sizes, checkpoint=out / ROUNDS, of=of)
    report = reports[-1] | {"proof": keep_outcome(taught.outcome, named_automaton(task, sizes), out / PROOF)}
    (out / ROUNDS).unlink(missing_ok=True)
    return report


def _classifier(folder: Path) -> SpikingClassifier:
    estimator, _ = read_model(folder)
    assert isinstance(estimator, SpikingClassifier)
    return estimator


def keep_outcome(outcome: Outcome, automaton: Automaton, out: Path) -> dict[str, Any]:
    """Write a proof where there is one; the outcome as JSON has it."""
    facts = describe_outcome(outcome, automaton)
    if not isinstance(outcome, ProvedWords):
        return facts
    file = outcome.file.encode()
    if out.name == PROOF and (out.parent / SUMS).is_file():
        add_to_model(out.parent, {PROOF: file})
    else:
        write_atomically(out, file)
    return facts | {"file": str(out)}


def named_automaton(name: str, settings: TaskSettings) -> Automaton:
    """The automaton of a task with these settings, or of a JSON file."""
    if name.endswith(".json") and ":" not in name:
        return read_automaton(name)
    return automaton_of(load_task(name, smallest(name, settings)))


def describe_outcome(outcome: Outcome, automaton: Automaton) -> dict[str, Any]:
    """An outcome as JSON has it."""
    size = {"states": len(automaton.transitions), "symbols": len(automaton.symbols)}
    match outcome:
        case ProvedWords(checked=checked):
            margin = None if checked.margin is None else float(checked.margin)
            counts = {name: getattr(checked, name) for name in ("parts", "boxes", "transitions", "patterns")}
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
            names = ("states", "symbols", "parts", "boxes", "transitions", "margin", "file")
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
