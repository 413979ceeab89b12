"""Automata that answer at every step, by name."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import product

from convexsnn.checks import check_integer
from convexsnn.tasks.automaton import Automaton, StateTable, read_automaton

BITS = ("0", "1")
ONE_HOT = ((1.0, 0.0), (0.0, 1.0))
NAMES = ("addition-B", "subtraction-B", "modulo-M", "brackets-D", "file:PATH")
LARGEST_BASE, MOST_STATES = 16, 1000


def addition(base: int) -> Automaton:
    """The sum of two numbers, digit by digit, the least significant first; the state is the carry."""
    return _digitwise(base, lambda a, b, carry: divmod(a + b + carry, base))


def subtraction(base: int) -> Automaton:
    """The difference of two numbers, modulo a power of the base; the state is the borrow."""

    def step(a: int, b: int, borrow: int) -> tuple[int, int]:
        rest = a - b - borrow
        return int(rest < 0), rest % base

    return _digitwise(base, step)


def _digitwise(base: int, step: Callable[[int, int, int], tuple[int, int]]) -> Automaton:
    """Two digits a step, each divided by base - 1; `step` gives what is carried on and what is written."""
    check_integer("B", base, minimum=2, maximum=LARGEST_BASE)
    pairs = list(product(range(base), repeat=2))
    names = tuple(f"{a},{b}" for a, b in pairs)
    vectors = tuple((a / (base - 1), b / (base - 1)) for a, b in pairs)
    rows = [[step(a, b, carried) for a, b in pairs] for carried in (0, 1)]
    return Automaton(names, vectors, _column(rows, 0), _column(rows, 1))


def modulo(modulus: int) -> Automaton:
    """How many 1s there were, modulo a number."""
    check_integer("M", modulus, minimum=2, maximum=MOST_STATES)
    rows = tuple((q, (q + 1) % modulus) for q in range(modulus))
    return Automaton.moore(BITS, ONE_HOT, rows, range(modulus))


def brackets(depth: int) -> Automaton:
    """How many brackets are open, in words that never open more than `depth` and never close one that is not open."""
    check_integer("D", depth, minimum=1, maximum=MOST_STATES)
    rows = tuple((q + 1 if q < depth else None, q - 1 if q else None) for q in range(depth + 1))
    return Automaton.moore(("(", ")"), ONE_HOT, rows, range(depth + 1))


def _column(rows: list[list[tuple[int, int]]], which: int) -> StateTable:
    return tuple(tuple(pair[which] for pair in row) for row in rows)


def library_automaton(name: str) -> Automaton:
    """The automaton called `name`, one of `NAMES`; ValueError where the name is unknown or a number out of range."""
    kind, colon, path = name.partition(":")
    if kind == "file" and colon:
        return read_automaton(path)
    match = re.fullmatch(r"(addition|subtraction|modulo|brackets)((?:-\d{1,9})+)", name)
    makers: dict[tuple[str, int], Callable[..., Automaton]] = {
        ("addition", 1): addition,
        ("subtraction", 1): subtraction,
        ("modulo", 1): modulo,
        ("brackets", 1): brackets,
    }
    numbers = [int(number) for number in match[2].split("-")[1:]] if match else []
    maker = makers.get((match[1] if match else "", len(numbers)))
    if maker is None:
        raise ValueError(f"unknown automaton {name!r} in automaton:{name}; known are {', '.join(NAMES)}")
    return maker(*numbers)
