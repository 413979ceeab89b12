"""Finite automata that answer: which words there are, and the right answer after each symbol."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from convexsnn.checks import check_integer, check_names, check_real
from convexsnn.tasks.dfa import DFA

StateTable = tuple[tuple[int | None, ...], ...]
"""For each state one entry a symbol."""


@dataclass(frozen=True)
class Automaton:
    """A deterministic finite automaton that reads vectors and answers each of them (a Mealy machine).

    Attributes
    ----------
    symbols : tuple of str
        Names; everywhere else a symbol is its index here.
    vectors : tuple of tuples of float
        What a network is shown of each symbol, all of one length d.
    transitions : tuple of tuples of (int or None)
        ``transitions[q][a]`` is the state after symbol a in state q. None says that a does not occur in state q.
    answers : tuple of tuples of (int or None)
        ``answers[q][a]`` is the right label at the step that reads symbol a in state q. None asks for no answer.
    start : int

    Raises
    ------
    ValueError
        If there is no state or symbol, a name occurs twice, a table does not fit, a number is out of range, or a state
        has no symbol that may follow.

    Examples
    --------
    >>> parity = Automaton(("0", "1"), ((0.0,), (1.0,)), ((0, 1), (1, 0)), ((0, 1), (1, 0)))
    >>> parity.run([1, 0, 1])
    [1, 1, 0]
    """

    symbols: tuple[str, ...]
    vectors: tuple[tuple[float, ...], ...]
    transitions: StateTable
    answers: StateTable
    start: int = 0

    def __post_init__(self) -> None:
        if not self.symbols or len(set(self.symbols)) < len(self.symbols):
            raise ValueError(f"symbols must be one or more different names, not {self.symbols!r}")
        if len(self.vectors) != len(self.symbols) or len({len(vector) for vector in self.vectors}) != 1:
            raise ValueError(f"vectors must be {len(self.symbols)} vectors of one length, one for each symbol")
        for vector in self.vectors:
            for value in vector:
                check_real("vectors", value)
        states, width = len(self.transitions), len(self.symbols)
        for name, table, most in (("transitions", self.transitions, states - 1), ("answers", self.answers, None)):
            if not table or len(table) != states or any(len(row) != width for row in table):
                raise ValueError(f"{name} must be {states} rows (states) of {width} entries (symbols)")
            for entry in (entry for row in table for entry in row if entry is not None):
                check_integer(name, entry, minimum=0, maximum=most)
        check_integer("start", self.start, minimum=0, maximum=states - 1)
        for q, row in enumerate(self.transitions):
            if all(target is None for target in row):
                raise ValueError(f"transitions must let at least one symbol follow in every state, but {q} has none")

    @classmethod
    def moore(
        cls,
        symbols: tuple[str, ...],
        vectors: tuple[tuple[float, ...], ...],
        transitions: StateTable,
        labels: Sequence[int | None],
        start: int = 0,
    ) -> Automaton:
        """The automaton whose answer is the label of the state that a symbol leads to (a Moore machine)."""
        answers = tuple(tuple(None if q is None else labels[q] for q in row) for row in transitions)
        return cls(symbols, vectors, transitions, answers, start)

    @classmethod
    def accepting(cls, dfa: DFA) -> Automaton:
        """The answers 1 and 0, accepted and rejected, of an automaton whose symbols are shown one-hot."""
        whole, vectors = dfa.completed(), np.eye(len(dfa.symbols)).tolist()
        labels = [int(q in whole.accepting) for q in range(len(whole.states))]
        return cls.moore(whole.symbols, tuple(map(tuple, vectors)), whole.transitions, labels, whole.start)

    @property
    def n_features(self) -> int:
        """d, the length of the vectors."""
        return len(self.vectors[0])

    @property
    def labels(self) -> tuple[int, ...]:
        """All labels that may be asked for, in ascending order."""
        return tuple(sorted({answer for row in self.answers for answer in row if answer is not None}))

    def follow(self, word: Sequence[int]) -> list[int]:
        """The states after each symbol of a word. ValueError where a symbol may not follow."""
        states, q = [], self.start
        for t, a in enumerate(word):
            following = self.transitions[q][a]
            if following is None:
                raise ValueError(f"symbol {self.symbols[a]!r} may not follow at step {t} of the word")
            states.append(q := following)
        return states

    def run(self, word: Sequence[int]) -> list[int | None]:
        """The right answers at every step of a word of symbol indices."""
        before = [self.start, *self.follow(word)[:-1]]
        return [self.answers[q][a] for q, a in zip(before, word, strict=True)]

    def shown(self, word: Sequence[int]) -> np.ndarray:
        """What a network sees of a word: float64 array of shape (T, d)."""
        return np.array([self.vectors[a] for a in word], dtype=np.float64).reshape(len(word), self.n_features)

    def named(self, word: Sequence[int]) -> str:
        """The names of a word's symbols, with spaces between."""
        return " ".join(self.symbols[a] for a in word)

    def draw(self, rng: np.random.Generator, length: int, begin: Sequence[int] = ()) -> list[int]:
        """A random word of `length` that begins as `begin`: each symbol is uniform among those that may follow."""
        allowed = [[(a, target) for a, target in enumerate(row) if target is not None] for row in self.transitions]
        word, q = list(begin), [self.start, *self.follow(begin)][-1]
        while len(word) < length:
            symbol, q = allowed[q][int(rng.integers(len(allowed[q])))]
            word.append(symbol)
        return word

    def in_classes(self, classes: Sequence[int]) -> Automaton:
        """The same automaton, whose answers are numbers of classes instead of labels.

        Raises
        ------
        ValueError
            Where a label is none of the classes.
        """
        index = {int(label): k for k, label in enumerate(classes)}
        if missing := [label for label in self.labels if label not in index]:
            raise ValueError(f"the automaton asks for the labels {missing}, but the network knows {sorted(index)} only")
        answers = tuple(tuple(None if answer is None else index[answer] for answer in row) for row in self.answers)
        return replace(self, answers=answers)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it; `automaton_from_dict` is the inverse."""
        return {
            "symbols": dict(zip(self.symbols, map(list, self.vectors), strict=True)),
            "start": self.start,
            "transitions": [list(row) for row in self.transitions],
            "answers": [list(row) for row in self.answers],
        }


def automaton_from_dict(facts: dict[str, Any]) -> Automaton:
    """An automaton of JSON.

    Parameters
    ----------
    facts : dict
        ``symbols`` is an object of vectors by name, and ``start`` a state. ``transitions`` has a list for each state:
        the next state for each symbol, or null. ``answers`` is such a table of labels. Or it is a list of one label for
        each state, which is the answer wherever a symbol leads to this state.

    Raises
    ------
    ValueError
        Where a field is missing, unknown or of the wrong form.
    """
    if not isinstance(facts, dict):
        raise ValueError("an automaton must be a JSON object")
    check_names("an automaton", facts, ("symbols", "start", "transitions", "answers"))
    symbols, answers = facts["symbols"], facts["answers"]
    if not isinstance(symbols, dict):
        raise ValueError("symbols must be an object that has a vector for each name")
    try:
        vectors = tuple(tuple(map(float, vector)) for vector in symbols.values())
        transitions = tuple(map(tuple, facts["transitions"]))
        if answers and not isinstance(answers[0], list):
            if len(answers) != len(transitions):
                raise ValueError(f"answers must be one label for each of {len(transitions)} states")
            return Automaton.moore(tuple(symbols), vectors, transitions, answers, facts["start"])
        return Automaton(tuple(symbols), vectors, transitions, tuple(map(tuple, answers)), facts["start"])
    except (TypeError, IndexError) as error:
        raise ValueError(f"the automaton is not of the right form: {error}") from error


def read_automaton(path: str | Path) -> Automaton:
    """The automaton of a JSON file, see `automaton_from_dict`; ValueError where there is none."""
    try:
        return automaton_from_dict(json.loads(Path(path).read_text()))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} holds no automaton: {error}") from error
