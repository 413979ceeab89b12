"""Words of an automaton that answers, labelled at every step or at the last."""

from __future__ import annotations

import numpy as np

from convexsnn.tasks.automaton import Automaton
from convexsnn.tasks.automaton_library import library_automaton
from convexsnn.tasks.base import Split, Streams, TaskData, TaskInfo, TaskSettings, assemble, draw_splits, given

_DEFAULTS = TaskSettings(n_train=300, n_val=300, n_test=1000, timesteps=12, per_step=True)


def _info(name: str, description: str, *examples: str, source: str = "generated") -> TaskInfo:
    named = tuple(f"automaton:{example}" for example in examples)
    return TaskInfo(f"automaton:{name}", description, _DEFAULTS, "optional", source, named)


INFOS = (
    _info("addition-B", "sum of two numbers in base B, least significant digits first", "addition-2", "addition-10"),
    _info("subtraction-B", "difference of two numbers in base B, modulo a power of B", "subtraction-10"),
    _info("modulo-M", "the number of 1s so far, modulo M", "modulo-2", "modulo-5"),
    _info("brackets-D", "how many brackets are open, never more than D", "brackets-3"),
    _info("file:PATH", "an automaton of your own", "file:my.json", source="JSON file"),
)


def load_automaton(name: str, settings: TaskSettings, streams: Streams) -> TaskData:
    """Draw words whose symbols are uniform among those that may follow.

    Raises
    ------
    ValueError
        If the automaton is unknown or its file faulty, or asks for no answer where there is to be a label.
    """
    automaton = library_automaton(name.removeprefix("automaton:"))
    splits = draw_splits(settings, streams, lambda rng, n: _draw(automaton, rng, n, settings))
    classes = tuple(map(str, range(max(automaton.labels, default=0) + 1)))
    return assemble(name, settings, splits, classes, automaton=automaton)


def label_words(automaton: Automaton, words: list[list[int]], *, per_step: bool) -> Split:
    """Words of symbol indices as a network is shown them, with the right answers of every step, or of the last.

    Raises
    ------
    ValueError
        Where a symbol may not follow, or no answer is asked for at a step that is to have a label.
    """
    answers = [automaton.run(word) for word in words]
    labels = answers if per_step else [given[-1:] for given in answers]
    if any(label is None for own in labels for label in own):
        raise ValueError("the automaton asks for no answer at some steps; choose per_step and lengths accordingly")
    y = [np.array(own, dtype=np.int64) for own in labels]
    return Split([automaton.shown(word) for word in words], y if per_step else np.concatenate(y))


def _draw(automaton: Automaton, rng: np.random.Generator, n: int, settings: TaskSettings) -> Split:
    longest = given("timesteps", settings.timesteps)
    shortest = longest if settings.min_timesteps is None else settings.min_timesteps
    lengths = rng.integers(shortest, longest, size=n, endpoint=True).tolist()
    split = label_words(
        automaton, [automaton.draw(rng, length) for length in lengths], per_step=bool(settings.per_step)
    )
    if shortest < longest:
        return split
    return Split(np.array(split.X), np.array(split.y))
