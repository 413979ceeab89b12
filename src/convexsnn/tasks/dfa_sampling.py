"""Uniform random words of a given length among those that an automaton accepts, or rejects."""

from __future__ import annotations

from itertools import accumulate

import numpy as np

from convexsnn.tasks.dfa import DFA


def count_words(dfa: DFA, max_length: int) -> list[tuple[list[int], list[int]]]:
    """How many words lead from each state to rejection and to acceptance, as exact integers.

    Returns
    -------
    list of max_length + 1 pairs
        ``counts[r][c][q]``: words of length r that, read from state q of the completed automaton, are rejected (c = 0)
        or accepted (c = 1). Python integers, because at length 200 they exceed any machine's.
    """
    table = dfa.table().tolist()
    accepted = [int(accepts) for accepts in dfa.accepting_mask()]
    total = 1
    counts = [([total - a for a in accepted], accepted)]
    for _ in range(max_length):
        accepted = [sum(accepted[target] for target in row) for row in table]
        total *= len(dfa.symbols)
        counts.append(([total - a for a in accepted], accepted))
    return counts


def classes_by_length(dfa: DFA, max_length: int) -> np.ndarray:
    """Whether a rejected (column 0) and an accepted (column 1) word of each length exists.

    Returns
    -------
    bool array of shape (max_length + 1, 2)
    """
    table, mask = dfa.table(), dfa.accepting_mask()
    reached = np.zeros(len(table), dtype=bool)
    reached[dfa.start] = True
    exists = np.empty((max_length + 1, 2), dtype=bool)
    for length in range(max_length + 1):
        exists[length] = (reached & ~mask).any(), (reached & mask).any()
        following = np.zeros_like(reached)
        following[table[reached]] = True
        reached = following
    return exists


def sample_words(dfa: DFA, lengths: np.ndarray, accepted: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One random word for each given length and class, uniform among all words of that length and class.

    Parameters
    ----------
    dfa : DFA
    lengths : int array of shape (n,)
        At least 1 each.
    accepted : bool array of shape (n,)
    rng : numpy.random.Generator

    Returns
    -------
    int64 array of shape (n, max(lengths))
        Symbol indices; what lies beyond a word's length is 0 and means nothing.

    Raises
    ------
    ValueError
        If no word of a wanted length and class exists.
    """
    exists = classes_by_length(dfa, int(lengths.max()))
    wanted = accepted.astype(np.int64)
    if not exists[lengths, wanted].all():
        at = int(np.argmin(exists[lengths, wanted]))
        kind = "accepted" if accepted[at] else "rejected"
        raise ValueError(f"lengths asks for an {kind} word of length {lengths[at]}, but there is none")
    table = dfa.table()
    cumulative = _next_symbol_distribution(dfa, int(lengths.max()))
    state = np.full(len(lengths), dfa.start)
    words = np.zeros((len(lengths), int(lengths.max())), dtype=np.int64)
    for t in range(words.shape[1]):
        draw = rng.random(len(lengths))
        active = lengths > t
        left = cumulative[lengths[active] - t, wanted[active], state[active]]
        words[active, t] = (draw[active, None] >= left).sum(axis=1)
        state = table[state, words[:, t]]
    return words


def _next_symbol_distribution(dfa: DFA, max_length: int) -> np.ndarray:
    """Cumulative probabilities of the next symbol, float64 of shape (max_length + 1, 2, states, symbols).

    Entry ``[r, c, q]`` is for a uniform word of class c with r symbols left in state q. Partial sums are exact before
    the one rounding division, so a symbol that leads nowhere has probability 0 exactly and the last entry is 1.
    """
    table = dfa.table().tolist()
    counts = count_words(dfa, max_length)
    cumulative = np.ones((max_length + 1, 2, len(table), len(dfa.symbols)))
    for r in range(1, max_length + 1):
        for c in range(2):
            for q, row in enumerate(table):
                if total := counts[r][c][q]:
                    partial = accumulate(counts[r - 1][c][target] for target in row)
                    cumulative[r, c, q] = [part / total for part in partial]
    return cumulative
