"""Deterministic finite automata."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class DFA:
    """A deterministic finite automaton over named states and symbols.

    Attributes
    ----------
    states, symbols : tuple of str
        Names; everywhere else a state or a symbol is its index here.
    transitions : tuple of tuples of (int or None)
        ``transitions[q][a]`` is the state after symbol a in state q; None rejects the word whatever follows.
    start : int
    accepting : frozenset of int

    Raises
    ------
    ValueError
        If there is no state or symbol, a name occurs twice, the table does not fit, or a state is out of range.
    """

    states: tuple[str, ...]
    symbols: tuple[str, ...]
    transitions: tuple[tuple[int | None, ...], ...]
    start: int
    accepting: frozenset[int]

    def __post_init__(self) -> None:
        for kind, names in (("states", self.states), ("symbols", self.symbols)):
            if not names or len(set(names)) < len(names):
                raise ValueError(f"{kind} must be one or more different names, not {names!r}")
        S, k = len(self.states), len(self.symbols)
        if len(self.transitions) != S or any(len(row) != k for row in self.transitions):
            raise ValueError(f"transitions must be {S} rows (states) of {k} entries (symbols)")
        targets = [q for row in self.transitions for q in row if q is not None]
        for kind, used in (("transitions", targets), ("start", [self.start]), ("accepting", self.accepting)):
            if wrong := [q for q in used if not 0 <= q < S]:
                raise ValueError(f"{kind} names state {wrong[0]}, but states are numbered 0 .. {S - 1}")

    @property
    def is_complete(self) -> bool:
        return all(q is not None for row in self.transitions for q in row)

    def completed(self) -> DFA:
        """The same language with a transition everywhere: missing ones lead to an added rejecting sink."""
        if self.is_complete:
            return self
        sink = len(self.states)
        name = "sink"
        while name in self.states:
            name += "'"
        rows = tuple(tuple(sink if q is None else q for q in row) for row in self.transitions)
        return replace(self, states=(*self.states, name), transitions=(*rows, (sink,) * len(self.symbols)))

    def table(self) -> np.ndarray:
        """Transitions of the completed automaton, int64 of shape (states, symbols)."""
        return np.array(self.completed().transitions, dtype=np.int64)

    def accepting_mask(self) -> np.ndarray:
        """Which states of the completed automaton accept, bool of shape (states,)."""
        mask = np.zeros(len(self.completed().states), dtype=bool)
        mask[list(self.accepting)] = True
        return mask

    def accepts_prefixes(self, words: np.ndarray) -> np.ndarray:
        """Whether each nonempty prefix of each word is accepted.

        Parameters
        ----------
        words : int array of shape (n, T)
            Symbol indices.

        Returns
        -------
        bool array of shape (n, T)

        Raises
        ------
        ValueError
            If `words` is not a matrix of symbol indices.
        """
        words = np.asarray(words)
        k = len(self.symbols)
        if words.ndim != 2 or not np.issubdtype(words.dtype, np.integer):
            raise ValueError(f"words must be an integer array (n, T), not {words.dtype} of shape {words.shape}")
        if words.size and (words.min() < 0 or words.max() >= k):
            raise ValueError(
                f"words must hold symbol indices 0 .. {k - 1}, but range over {words.min()} .. {words.max()}"
            )
        table, mask = self.table(), self.accepting_mask()
        state = np.full(len(words), self.start)
        accepted = np.empty(words.shape, dtype=bool)
        for t in range(words.shape[1]):
            state = table[state, words[:, t]]
            accepted[:, t] = mask[state]
        return accepted

    def accepts(self, word: Sequence[int]) -> bool:
        """Whether one word of symbol indices (possibly empty) is accepted."""
        if len(word) == 0:
            return self.start in self.accepting
        return bool(self.accepts_prefixes(np.asarray(word)[None, :])[0, -1])

    def is_minimal(self) -> bool:
        """Whether every state of the completed automaton is reachable and no two accept the same words."""
        table = self.table()
        if len(_reachable(table, self.start)) < len(table):
            return False
        block = self.accepting_mask().astype(np.int64)
        while True:
            # Moore's refinement: two states stay together while their own and their successors' blocks agree.
            signature = np.column_stack([block, block[table]])
            finer = np.unique(signature, axis=0, return_inverse=True)[1].reshape(-1)
            if finer.max() == block.max():
                return bool(finer.max() + 1 == len(table))
            block = finer


def numbered(
    rows: Iterable[Sequence[int | None]], accepting: Iterable[int], symbols: tuple[str, ...] = ("0", "1")
) -> DFA:
    """The automaton with this table whose states are named 0, 1, ... and that starts in state 0."""
    table = tuple(tuple(row) for row in rows)
    names = tuple(str(q) for q in range(len(table)))
    return DFA(names, symbols, table, 0, frozenset(accepting))


def _reachable(table: np.ndarray, start: int) -> set[int]:
    seen, todo = {start}, [start]
    while todo:
        new = set(table[todo.pop()].tolist()) - seen
        seen |= new
        todo.extend(new)
    return seen
