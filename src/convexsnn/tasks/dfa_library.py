"""Well-known and random automata, by name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable

import numpy as np

from convexsnn.checks import check_integer
from convexsnn.tasks.dfa import DFA, numbered
from convexsnn.tasks.dfa_sampling import classes_by_length

NAMES = ("parity", "mod-M", "tomita-1..7", "dyck-D", "random-S", "random-S-K")
# Above this the sampler's tables, not the networks, would take the time.
MAX_STATES = 1000

# Tomita's seven languages over {0, 1}: transition table (None rejects for good) and accepting states.
_TOMITA: dict[int, tuple[list[tuple[int | None, int | None]], set[int]]] = {
    1: ([(None, 0)], {0}),  # 1*
    2: ([(None, 1), (0, None)], {0}),  # (10)*
    # No odd run of 1s followed by an odd run of 0s; state 2 is inside such a run of 0s, 3 after an even part of it.
    3: ([(0, 1), (2, 0), (3, None), (2, 1)], {0, 1, 3}),
    4: ([(1, 0), (2, 0), (None, 0)], {0, 1, 2}),  # no 000
    5: ([(1, 2), (0, 3), (3, 0), (2, 1)], {0}),  # evenly many 0s and evenly many 1s
    6: ([(2, 1), (0, 2), (1, 0)], {0}),  # as many 1s as 0s modulo 3
    7: ([(0, 1), (2, 1), (2, 3), (None, 3)], {0, 1, 2, 3}),  # 0*1*0*1*
}


def parity() -> DFA:
    """Words with evenly many 1s."""
    return mod(2)


def mod(modulus: int) -> DFA:
    """Words whose number of 1s is a multiple of `modulus` (2 or more)."""
    check_integer("M in dfa:mod-M", modulus, minimum=2, maximum=MAX_STATES)
    return numbered([(q, (q + 1) % modulus) for q in range(modulus)], {0})


def tomita(number: int) -> DFA:
    """Tomita's language 1 .. 7."""
    check_integer("N in dfa:tomita-N", number, minimum=1, maximum=7)
    return numbered(*_TOMITA[number])


def dyck(depth: int) -> DFA:
    """Balanced words of one pair of brackets that never open more than `depth` (1 or more) at a time."""
    check_integer("D in dfa:dyck-D", depth, minimum=1, maximum=MAX_STATES)
    rows = [(q + 1 if q < depth else None, q - 1 if q > 0 else None) for q in range(depth + 1)]
    return numbered(rows, {0}, symbols=("(", ")"))


def random_dfa(n_states: int, rng: np.random.Generator) -> DFA:
    """A random minimal automaton of `n_states` states (2 or more) over {0, 1}.

    At every length from n_states to 4 n_states some words are accepted and some rejected.
    """
    check_integer("S in dfa:random-S", n_states, minimum=2, maximum=MAX_STATES)
    while True:
        accepting = np.flatnonzero(rng.integers(0, 2, size=n_states)).tolist()
        dfa = numbered(_reachable_table(n_states, rng), accepting)
        # A language that depends on the length of a word alone has one class at each length: no task.
        if dfa.is_minimal() and classes_by_length(dfa, 4 * n_states)[n_states:].all():
            return dfa


def _reachable_table(n_states: int, rng: np.random.Generator) -> list[list[int]]:
    """Uniformly random transitions, of which some are chosen so that state 0 reaches every state."""
    table = rng.integers(0, n_states, size=(n_states, 2))
    free = [(0, 0), (0, 1)]
    for new in range(1, n_states):
        q, symbol = free.pop(int(rng.integers(len(free))))
        table[q, symbol] = new
        free += [(new, 0), (new, 1)]
    return table.tolist()


def library_dfa(name: str, rng: np.random.Generator) -> DFA:
    """The automaton called `name`, one of `NAMES`.

    Parameters
    ----------
    name : str
    rng : numpy.random.Generator
        Draws ``random-S``; ``random-S-K`` is drawn from seed K instead and so is the same in every call.

    Raises
    ------
    ValueError
        If the name is unknown or its number out of range.
    """
    match = re.fullmatch(r"(parity|mod|tomita|dyck|random)((?:-\d{1,9})*)", name)
    kind = match[1] if match else ""
    numbers = [int(number) for number in match[2].split("-")[1:]] if match else []
    makers: dict[tuple[str, int], Callable[..., DFA]] = {
        ("parity", 0): parity,
        ("mod", 1): mod,
        ("tomita", 1): tomita,
        ("dyck", 1): dyck,
        ("random", 1): lambda n_states: random_dfa(n_states, rng),
        ("random", 2): lambda n_states, seed: random_dfa(n_states, np.random.default_rng(seed)),
    }
    if (kind, len(numbers)) not in makers:
        near = difflib.get_close_matches(name, ["parity", "mod-3", "tomita-1", "dyck-2", "random-5"], n=1)
        meant = f"did you mean dfa:{near[0]}? " if near else ""
        raise ValueError(f"unknown automaton {name!r} in dfa:{name}; {meant}known are {', '.join(NAMES)} and file:PATH")
    return makers[kind, len(numbers)](*numbers)
