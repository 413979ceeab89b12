"""Training until a network is proved: words that it answers wrong become training data."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from convexsnn.checkpoints import read_checkpoint, resuming, write_checkpoint
from convexsnn.checks import check_integer, check_names
from convexsnn.estimators import SpikingClassifier
from convexsnn.families import Given, Mixture, Search, WitnessFamily
from convexsnn.reading import reading
from convexsnn.tasks import TaskData, TaskSettings, automaton_of, load_task
from convexsnn.words.proving import Outcome, ProofSettings, ProvedWords, WrongWords, prove_words

# A round adds so many words for each that was trained on at first: few among many would not weigh enough.
SHARE = 0.1
# What a checkpoint is of, and the version of its form.
KIND = "training until proved 1"


@dataclass(frozen=True, eq=False)
class Taught:
    """What training until proved came to.

    Attributes
    ----------
    model : SpikingClassifier
        As trained last.
    outcome : ProvedWords, WrongWords or UndecidedWords
        Of this model.
    settings : TaskSettings
        Of the task on which it was trained; `words` has those that were answered wrong before.
    rounds : int
        How often it was trained.
    """

    model: SpikingClassifier
    outcome: Outcome
    settings: TaskSettings
    rounds: int


def going_on(before: SpikingClassifier) -> WitnessFamily:
    """The witness family of a fitted classifier, to train it again; a search begins with the neurons that it has.

    Words that were answered wrong ask for few more neurons, which are found much sooner than all anew. Where that was
    not enough, the next search begins from nothing.
    """
    family, hidden = before.family, before.network_.hidden
    parts = family.parts if isinstance(family, Mixture) else (family,)
    if not isinstance(parts[-1], Search) or not hidden.branches:
        return family
    return parts[-1] if isinstance(parts[0], Given) else Given(layers=hidden) + parts[-1]


def train_until_proved(
    train: Callable[[TaskData], SpikingClassifier],
    task: str,
    settings: TaskSettings | None = None,
    proof: ProofSettings | None = None,
    *,
    rounds: int = 10,
    checkpoint: str | Path | None = None,
    of: str = "",
) -> Taught:
    """Train a classifier on words of a task until it is proved right on words of every length.

    Words that it answers wrong are added to the training data, and it is trained anew. Each goes on at random to the
    length of the task's words, so that it says as much as these do, and in several ways where there are few of them.
    Where neither a proof nor such a word is found, random words are added.

    Parameters
    ----------
    train : callable (TaskData) -> SpikingClassifier
        Trains on the task's training data, such as
        ``lambda task: SpikingClassifier(per_step=True).fit(task.train.X, task.train.y)``. It may begin with what it
        trained before (`going_on`).
    task : str
        A task that has an automaton, such as "automaton:addition-2"; see `automaton_of`.
    settings : TaskSettings, optional
    proof : ProofSettings, optional
    rounds : int
        It is trained at most this often.
    checkpoint : path, optional
        A file written after every round. Where it is there already, training goes on after the last round in it.
    of : str
        What `train` depends on, in words: the checkpoint of other work is refused.

    Raises
    ------
    ValueError
        Where the task has no automaton, the network is one that the proof does not know, or the checkpoint is damaged
        or of other work.
    """
    settings = settings or TaskSettings()
    check_integer("rounds", rounds)
    of, begun = hashlib.sha256(repr((task, settings, proof, of)).encode()).hexdigest(), 0
    if checkpoint is not None and Path(checkpoint).exists():
        begun, words = _read(checkpoint, of)
        settings = replace(settings, words=words)
    rounds = max(rounds, begun + 1)
    for made in range(begun + 1, rounds + 1):
        data = load_task(task, settings)
        model = train(data)
        automaton = automaton_of(data)
        outcome = prove_words(model, automaton, proof)
        if isinstance(outcome, ProvedWords) or made == rounds:
            return Taught(model, outcome, settings, made)
        begun = outcome.words if isinstance(outcome, WrongWords) else [()]
        random, count = np.random.default_rng([made, settings.seed]), math.ceil(SHARE * (data.settings.n_train or 0))
        begun = itertools.islice(itertools.cycle(begun), max(len(begun), count))
        longer = [tuple(automaton.draw(random, data.settings.timesteps or 0, word)) for word in begun]
        settings = replace(settings, words=(*settings.words, *longer))
        if checkpoint is not None:
            write_checkpoint(checkpoint, KIND, of, {"rounds": made, "words": settings.words}, {})
    raise AssertionError("at least one round is made")


def _read(checkpoint: str | Path, of: str) -> tuple[int, tuple[tuple[int, ...], ...]]:
    """The rounds that were made, and the words that are trained on after them."""
    with resuming():
        state, _ = read_checkpoint(checkpoint, KIND, of)
        with reading(checkpoint, "state"):
            check_names("state", state, ("rounds", "words"))
            check_integer("rounds", state["rounds"])
            return state["rounds"], TaskSettings(words=state["words"]).words
