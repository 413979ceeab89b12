"""Chance, compiled: what a mutation draws is drawn for the numbers that it changes alone."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from convexsnn.compiling import cached

# What a changed number becomes: a step away, drawn anew, of the other sign, or zero.
STEPPED, REDRAWN, FLIPPED = 0.6, 0.25, 0.1


@cached
def vary(numbers, unit, rate, step, anew, seed):
    """Change some of the numbers of each branch where they are.

    Parameters
    ----------
    numbers : float array of shape (B, n_in, m)
    unit : float array of shape (n_in,)
        Their scale.
    rate, step : float arrays of shape (B,)
        How probably each number is changed, and by how much, in units of its scale.
    anew : float
        How probably all numbers of one of the m neurons are drawn anew.
    seed : uint64 array of shape (B,)
        Chance of each branch.
    """
    B, n_in, m = numbers.shape
    for b in range(B):
        state, own = seed[b], numbers[b]
        kept = math.log1p(-rate[b])
        state, u = _uniform(state)
        k = int(math.log(u) / kept)
        while k < n_in * m:
            i, j = k // m, k % m
            state, own[i, j] = _changed(state, own[i, j], unit[i], step[b])
            state, u = _uniform(state)
            # How many numbers are left as they are until the next.
            k += 1 + int(math.log(u) / kept)
        for j in range(m if anew > 0.0 else 0):
            state, u = _uniform(state)
            if u < anew:
                for i in range(n_in):
                    state, noise = _normal(state)
                    own[i, j] = noise * unit[i]


@njit(nogil=True)
def _changed(state, number, unit, step):
    state, kind = _uniform(state)
    if kind < STEPPED + REDRAWN:
        state, noise = _normal(state)
        return state, (number + noise * unit * step if kind < STEPPED else noise * unit)
    return state, (-number if kind < STEPPED + REDRAWN + FLIPPED else 0.0)


@njit(nogil=True)
def _normal(state):
    """A standard normal number, by Box and Muller."""
    state, u = _uniform(state)
    state, v = _uniform(state)
    return state, math.sqrt(-2.0 * math.log(u)) * math.cos(2.0 * math.pi * v)


@njit(nogil=True)
def _uniform(state):
    """The next state, and a number above 0 and at most 1: splitmix64 (Steele, Lea and Flood 2014)."""
    state = state + np.uint64(0x9E3779B97F4A7C15)
    z = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return state, (np.float64(z >> np.uint64(11)) + 1.0) * (1.0 / 9007199254740992.0)
