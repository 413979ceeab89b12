"""Words that a network answers wrong, the shortest first, found by running it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from convexsnn.labels import decide
from convexsnn.network import Network
from convexsnn.simulation import State, initial_state, read, step, take_states
from convexsnn.tasks import Automaton
from convexsnn.words.machine import Indices, Machine

# Words of one length that are run; states are drawn at random where all of them would give more.
MOST_AT_ONCE = 2**16
# Words that are named of those that are wrong, drawn at random: the first in order have their beginning in common.
MOST_NAMED = 256


@dataclass(frozen=True)
class Hunt:
    """What running a network on words came to.

    Attributes
    ----------
    words : list of tuple of int
        Wrong at their last step and right before it; all of one length.
    complete : int
        All words of up to this length were run, and are right.
    states : int
        Pairs of states, of the network and of the automaton, that were seen.
    """

    words: list[tuple[int, ...]]
    complete: int
    states: int


def answers_to(network: Network, automaton: Automaton, word: Sequence[int]) -> list[int]:
    """The classes that the network answers at each step of a word."""
    vectors = torch.tensor(automaton.shown(word), dtype=network.hidden.dtype)
    state, given = initial_state(network.hidden, 1), []
    for x in vectors:
        state = step(network.hidden, x[None], state).state
        given.append(int(_decided(network, state)[0]))
    return given


def first_error(network: Network, automaton: Automaton, word: Sequence[int]) -> int | None:
    """The first step of a word at which the network answers wrong; None where it is right."""
    pairs = zip(answers_to(network, automaton, word), automaton.run(word), strict=True)
    return next((t for t, (given, right) in enumerate(pairs) if right is not None and given != right), None)


def hunt(network: Network, automaton: Automaton, machine: Machine, *, most: int, longest: int, seed: int = 0) -> Hunt:
    """Run a network on all words, the shortest first, until one is answered wrong.

    Words that lead to the same state are one. Where more states are reached than can be followed, a random part of them
    is.

    Parameters
    ----------
    machine : Machine
        Of the two.
    most : int
        States that are reached, all words together.
    longest : int
        Steps of a word.
    seed : int
        Of what is drawn at random.
    """
    random = np.random.default_rng(seed)
    vectors = torch.tensor(automaton.vectors, dtype=network.hidden.dtype)
    state, q = initial_state(network.hidden, 1), np.array([automaton.start])
    words, seen = np.zeros((1, 0), dtype=np.int64), set(_keys(machine, state, q))
    complete, whole = 0, True
    for length in range(1, longest + 1):
        source, symbol = np.nonzero(machine.transitions[q] >= 0)
        state = step(network.hidden, vectors[symbol], take_states(state, torch.from_numpy(source))).state
        right, q = machine.answers[q[source], symbol], machine.transitions[q[source], symbol]
        words = np.concatenate([words[source], symbol[:, None]], axis=1)
        wrong = (right >= 0) & (_decided(network, state) != right)
        if wrong.any():
            some = np.sort(random.permutation(np.flatnonzero(wrong))[:MOST_NAMED])
            return Hunt(list(map(tuple, words[some].tolist())), complete, len(seen))
        complete = length if whole else complete
        new = _unseen(_keys(machine, state, q), seen)
        if len(new) == 0 or len(seen) > most:
            break
        if len(new) * len(vectors) > MOST_AT_ONCE:
            few = max(1, MOST_AT_ONCE // len(vectors))
            new, whole = np.sort(random.permutation(new)[:few]), False
        state, q, words = take_states(state, torch.from_numpy(new)), q[new], words[new]
    return Hunt([], complete, len(seen))


def _decided(network: Network, state: State) -> Indices:
    nothing = torch.zeros(len(state.steps), 0)
    features = read(network.hidden, state)[0] if network.hidden.branches else nothing
    return decide(features.to(torch.float64) @ network.W.to(torch.float64)).numpy()


def _keys(machine: Machine, state: State, q: Indices) -> list[bytes]:
    """What of each state matters for what follows."""
    layers = [layer for branch in state.branches for layer in branch.layers]
    empty = torch.zeros(len(q), 0)
    membranes = torch.cat([empty, *(layer.membrane for layer in layers)], dim=1).numpy()[:, machine.lasting]
    spikes = torch.cat([empty, *(layer.spikes for layer in layers)], dim=1).numpy()[:, machine.echoing]
    # Adding zero makes one of both zeros.
    columns = np.concatenate([membranes + 0.0, spikes, q[:, None]], axis=1)
    return [row.tobytes() for row in columns]


def _unseen(keys: list[bytes], seen: set[bytes]) -> Indices:
    """The numbers of those that are seen for the first time, which are put among the seen."""
    new = []
    for i, key in enumerate(keys):
        if key not in seen:
            seen.add(key)
            new.append(i)
    return np.array(new, dtype=np.int64)
