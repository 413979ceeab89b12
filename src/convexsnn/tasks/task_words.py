"""Tasks whose inputs are words: the automaton that says what is right, and words of one's own for training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import assert_never

import numpy as np

from convexsnn.tasks.arithmetic import OPERATIONS, Operation, parameters_of
from convexsnn.tasks.automaton import Automaton
from convexsnn.tasks.automaton_task import label_words
from convexsnn.tasks.base import Split, TaskData
from convexsnn.tasks.dfa import DFA


def automaton_of(task: TaskData) -> Automaton:
    """What is right at every step of every word of a task; its labels are the task's.

    Of arithmetic tasks, the input that holds what is carried on is the right one. A network that is right on all such
    words is right in closed loop, too, by induction.

    Raises
    ------
    ValueError
        If the inputs of the task are no words of an automaton.
    """
    match task.automaton:
        case Automaton() as automaton:
            return automaton
        case DFA() as dfa:
            return Automaton.accepting(dfa)
        case None:
            pass
        case other:
            assert_never(other)
    operation = OPERATIONS.get(task.name.partition(":")[0])
    if operation is None:
        raise ValueError(f"the inputs of task {task.name} are no words of a finite automaton")
    return _of_operation(operation, *parameters_of(task.name))


def with_words(task: TaskData, words: Sequence[Sequence[int]]) -> TaskData:
    """The task with these words of symbol indices among its training data; see `label_words` for what is refused.

    They are validation data, too, so that what is chosen by these does not forget them.
    """
    added = label_words(automaton_of(task), [list(word) for word in words], per_step=task.per_step)

    def longer(split: Split) -> Split:
        y = [*split.y, *added.y] if task.per_step else np.concatenate([np.asarray(split.y), np.asarray(added.y)])
        return Split([*split.X, *added.X], y)

    return replace(task, train=longer(task.train), val=None if task.val is None else longer(task.val))


def _of_operation(operation: Operation, base: int, factor: int | None) -> Automaton:
    """The state is what was carried on, and the second digit where that is the same at every step (-1 at first)."""
    joint = operation.joint(base)
    triples = list(product(range(base), range(base), range(joint.sizes[1])))
    a, b, carried = (np.array(part) for part in zip(*triples, strict=True))
    possible = (b > 0) | (operation.carried != "remainder")
    possible &= (factor is None) | (b == factor)
    digit, following = operation.step(a, np.where(possible, b, 1), carried, base)
    # A remainder is less than its divisor, and what is carried on less than the multiplier.
    possible &= (following < joint.sizes[1]) & (digit < base)
    states, transitions, answers = [(-1, 0)], [], []
    for fixed, before in states:
        allowed = possible & (carried == before) & ((fixed < 0) | (b == fixed))
        row: list[int | None] = [None] * len(triples)
        for i in np.flatnonzero(allowed).tolist():
            state = (int(b[i]) if operation.many_carries else -1, int(following[i]))
            if state not in states:
                states.append(state)
            row[i] = states.index(state)
        tokens = joint.join(np.where(allowed, digit, 0), np.where(allowed, following, 0)).tolist()
        transitions.append(tuple(row))
        answers.append(tuple(token if ok else None for token, ok in zip(tokens, allowed.tolist(), strict=True)))
    vectors = tuple(tuple(value / (base - 1) for value in triple) for triple in triples)
    names = tuple(f"{x},{y},{c}" for x, y, c in triples)
    return Automaton(names, vectors, tuple(transitions), tuple(answers))
