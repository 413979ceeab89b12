"""Words labelled by an automaton: accepted or not."""

from __future__ import annotations

import numpy as np

from convexsnn.tasks.att import read_att
from convexsnn.tasks.base import Split, Streams, TaskData, TaskInfo, TaskSettings, assemble, draw_splits, given
from convexsnn.tasks.dfa import DFA
from convexsnn.tasks.dfa_library import library_dfa
from convexsnn.tasks.dfa_sampling import classes_by_length, sample_words

_DEFAULTS = TaskSettings(n_train=2000, n_val=2000, n_test=4000, timesteps=12, per_step=False)


def _info(name: str, description: str, *examples: str, source: str = "generated") -> TaskInfo:
    return TaskInfo(f"dfa:{name}", description, _DEFAULTS, "optional", source, tuple(f"dfa:{x}" for x in examples))


INFOS = (
    _info("parity", "is the number of 1s even?", "parity"),
    _info("mod-M", "is the number of 1s a multiple of M?", "mod-3", "mod-5"),
    _info("tomita-N", "Tomita's regular languages N = 1 .. 7", *(f"tomita-{n}" for n in range(1, 8))),
    _info("dyck-D", "balanced brackets, at most D open at a time (choose an even length)", "dyck-2", "dyck-4"),
    _info("random-S", "random minimal automaton of S states, drawn from the task's seed", "random-5", "random-10"),
    _info("random-S-K", "random minimal automaton of S states, drawn from seed K", "random-5-0", "random-5-1"),
    _info("file:PATH", "an automaton of your own", "file:my.att", source="AT&T text file"),
)


def load_dfa(name: str, settings: TaskSettings, streams: Streams) -> TaskData:
    """Draw words of both classes, half and half, uniform among the words of their length and class.

    With min_timesteps, lengths are uniform; a word whose length has one class only is of that class. With one length,
    a missing class is accepted only with per_step, where shorter prefixes still show it. Labels per step say whether
    the prefix up to that step is accepted.

    Raises
    ------
    ValueError
        If the automaton is unknown or its file faulty, or a class does not exist at the lengths asked for.
    """
    automaton_name = name.removeprefix("dfa:")
    if automaton_name.startswith("file:"):
        dfa = read_att(automaton_name.removeprefix("file:"))
    else:
        dfa = library_dfa(automaton_name, streams.structure)
    _check_classes(name, dfa, settings)
    splits = draw_splits(settings, streams, lambda rng, n: _draw(dfa, rng, n, settings))
    return assemble(name, settings, splits, ("rejected", "accepted"), automaton=dfa)


def _check_classes(name: str, dfa: DFA, settings: TaskSettings) -> None:
    longest = given("timesteps", settings.timesteps)
    shortest = longest if settings.min_timesteps is None else settings.min_timesteps
    exists = classes_by_length(dfa, longest + len(dfa.states) + 1)
    labelled = exists[1 if settings.per_step else shortest : longest + 1]
    if labelled.any(axis=0).all():
        return
    kind = "accepts" if labelled[:, 1].any() else "rejects"
    span = f"{longest}" if shortest == longest else f"{shortest} .. {longest}"
    both = [length for length in range(1, len(exists)) if exists[length].all()]
    nearest = sorted(sorted(both, key=lambda length: abs(length - longest))[:5])
    advice = (
        f"lengths with both classes are, for example, {nearest}" if nearest else "no length nearby has both classes"
    )
    raise ValueError(f"timesteps: {name} {kind} every word of length {span}; {advice}")


def _draw(dfa: DFA, rng: np.random.Generator, n: int, settings: TaskSettings) -> Split:
    longest = given("timesteps", settings.timesteps)
    shortest = longest if settings.min_timesteps is None else settings.min_timesteps
    lengths = rng.integers(shortest, longest, size=n, endpoint=True)
    accepted = rng.permutation(np.arange(n) % 2 == 1)
    exists = classes_by_length(dfa, longest)[lengths]
    accepted = np.where(exists.all(axis=1), accepted, exists[:, 1])
    words = sample_words(dfa, lengths, accepted, rng)
    X = np.eye(len(dfa.symbols))[words]
    y = dfa.accepts_prefixes(words).astype(np.int64) if settings.per_step else accepted.astype(np.int64)
    if shortest == longest:
        return Split(X, y)
    ragged = [x[:length] for x, length in zip(X, lengths, strict=True)]
    return Split(
        ragged, [labels[:length] for labels, length in zip(y, lengths, strict=True)] if settings.per_step else y
    )
