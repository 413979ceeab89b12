"""Training until a network is proved: words that it answers wrong become training data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from convexsnn.checks import check_integer
from convexsnn.estimators import SpikingClassifier
from convexsnn.tasks import TaskData, TaskSettings, automaton_of, load_task
from convexsnn.words.proving import Outcome, ProofSettings, ProvedWords, WrongWords, prove_words

# Words drawn at random, where none is known that is answered wrong.
FRESH = 10


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


def train_until_proved(
    train: Callable[[TaskData], SpikingClassifier],
    task: str,
    settings: TaskSettings | None = None,
    proof: ProofSettings | None = None,
    *,
    rounds: int = 10,
) -> Taught:
    """Train a classifier on words of a task until it is proved right on words of every length.

    Words that it answers wrong are added to the training data, and it is trained anew. Each goes on at random to the
    length of the task's words, so that it says as much as these do. Where neither a proof nor such a word is found,
    random words are added.

    Parameters
    ----------
    train : callable (TaskData) -> SpikingClassifier
        Trains on the task's training data, such as
        ``lambda task: SpikingClassifier(per_step=True).fit(task.train.X, task.train.y)``.
    task : str
        A task that has an automaton, such as "automaton:addition-2"; see `automaton_of`.
    settings : TaskSettings, optional
    proof : ProofSettings, optional
    rounds : int
        It is trained at most this often.

    Raises
    ------
    ValueError
        Where the task has no automaton, or the network is one that the proof does not know.
    """
    settings = settings or TaskSettings()
    check_integer("rounds", rounds)
    for made in range(1, rounds + 1):
        data = load_task(task, settings)
        model = train(data)
        automaton = automaton_of(data)
        outcome = prove_words(model, automaton, proof)
        if isinstance(outcome, ProvedWords) or made == rounds:
            return Taught(model, outcome, settings, made)
        begun = outcome.words if isinstance(outcome, WrongWords) else [()] * FRESH
        random = np.random.default_rng([made, settings.seed])
        longer = [tuple(automaton.draw(random, data.settings.timesteps or 0, word)) for word in begun]
        settings = replace(settings, words=(*settings.words, *longer))
    raise AssertionError("at least one round is made")
