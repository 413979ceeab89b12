"""Branches over a prefix tree, compiled: step, spike, reset, recurrence and scoring in one pass over what is in cache.

Neurons are the lanes of vectors. What spikes add to a potential, from below and from the step before, is looked up:
six spikes are a number below 64, and a table has the sum of their weights for each of these. The dynamics are those of
`LIF.step`; sums are taken in another order than in the reference (`simulator.py`), so a spike within rounding of its
threshold may differ.
"""

# Numba gives functions of vectors another signature: without the typing context.
# pyright: reportCallIssue=false

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from convexsnn.compiling import cached
from convexsnn.lanes import load, muladd, plus, pointer, reached, spread, store, where, zeros

# Spikes that are looked up together, and how many numbers they make.
GROUP, CODES = 6, 64
# Inputs that are multiplied with weights at once, so that their sums stay in registers.
TOGETHER = 8
# Nodes that are run side by side, as a processor does more of what does not wait; blocks have whole groups of them.
ABREAST = 4
# Numbers that each block has.
FIELDS = 6
# Rows of numbers that each layer has after its weights, by their place.
BIAS, LEAK, THRESHOLD, KEPT, ADDED, REST = range(6)


class Tree(NamedTuple):
    """A prefix tree in tiles; see `tiles.py`.

    Attributes
    ----------
    tiles : int64 array of shape (tiles + 1,)
        First block of each tile, and the number of blocks. A tile is run for all branches before the next one.
    blocks : int64 array of shape (blocks, 6)
        The nodes of one tile and step each. The numbers are: first node, number of nodes, whether they are at the root,
        first group of inputs, number of groups. The last is the place of its first node among those of all blocks that
        are read, or -1.
    parent : int32 array of shape (nodes,)
        Place in the block before.
    code : int32 array of shape (nodes,)
        Which input of its block each is shown; where that has none, of the last block that has some.
    inputs : float array of shape (groups * d * TOGETHER,)
        In groups of eight, feature by feature within a group.
    U : float array of shape (C, places)
        What a spike counts after each node of the blocks that are read.
    """

    tiles: NDArray
    blocks: NDArray
    parent: NDArray
    code: NDArray
    inputs: NDArray
    U: NDArray


class Genes(NamedTuple):
    """Branches, ready for vectors; see `genes.py`.

    Attributes
    ----------
    numbers : float array of shape (B * V * R * lanes,)
        For each branch and each vector of neurons, all layers' rows.
    layers : int64 array of shape (L, 4)
        First row of a layer, its number of inputs, the row of its first recurrent weight or -1, its row of biases.
    sizes : int64 array of shape (4,)
        V, R, lanes, and groups of spikes in a layer.
    membrane : bool
        Whether membranes are read instead of spikes.
    """

    numbers: NDArray
    layers: NDArray
    sizes: NDArray
    membrane: bool


class Room(NamedTuple):
    """Memory for one thread; see `room_for`.

    Attributes
    ----------
    current : float array, (V, inputs, lanes)
    tables : float array, (L, 2, V, groups, CODES, lanes)
    carried : float array, (2, L, V, nodes, lanes)
        What the next step's potentials begin from: of the block before, and of this one.
    spikes : uint64 array, (2 L + 1, nodes)
        Of the block before and of this one, as bits; and what is read of membranes.
    extent : int64 array of shape (2,)
        Most nodes and most inputs of a block.
    """

    current: NDArray
    tables: NDArray
    carried: NDArray
    spikes: NDArray
    extent: NDArray


class _Machine(NamedTuple):
    """All of the above as pointers, of which compiled code keeps no count, and sizes."""

    blocks: Any
    parent: Any
    code: Any
    inputs: Any
    numbers: Any
    layers: Any
    current: Any
    tables: Any
    carried: Any
    spikes: Any
    features: int
    L: int
    V: int
    R: int
    lanes: int
    groups: int
    nodes: int
    shown: int
    membrane: int


@cached
def run(tree, genes, room, seen, total):
    """Run branches over a tree.

    What is read after each node of a block that is read is written to `seen`, uint64 of shape (B, places), where that
    has any; and d^T U is added to `total`, (B, V, C, lanes) laid flat.
    """
    machine, (C, places) = _machine(tree, genes, room), tree.U.shape
    blocks, U, out, V = machine.blocks, pointer(tree.U), pointer(total), machine.V
    for tile in range(len(tree.tiles) - 1):
        for b in range(len(seen)):
            _prepare(machine, b)
            for k in range(tree.tiles[tile], tree.tiles[tile + 1]):
                _advance(machine, b, k)
                count, read = blocks[FIELDS * k + 1], _seen(machine, k)
                place = blocks[FIELDS * k + 5]
                if place < 0:
                    continue
                for i in range(min(count, seen.shape[1])):
                    seen[b, place + i] = machine.spikes[read + i]
                for v in range(V):
                    for c in range(C):
                        sums, shift = (b * V + v) * C + c, np.uint64(v * machine.lanes)
                        score = _score(machine.spikes, read, count, shift, U, c * places + place)
                        store(out, sums, plus(load(out, sums), score))


@njit(nogil=True)
def _machine(tree, genes, room):
    return _Machine(
        pointer(tree.blocks),
        pointer(tree.parent),
        pointer(tree.code),
        pointer(tree.inputs),
        pointer(genes.numbers),
        pointer(genes.layers),
        pointer(room.current),
        pointer(room.tables),
        pointer(room.carried),
        pointer(room.spikes),
        genes.layers[0, 1],
        len(genes.layers),
        genes.sizes[0],
        genes.sizes[1],
        genes.sizes[2],
        genes.sizes[3],
        room.extent[0],
        room.extent[1],
        genes.membrane,
    )


@njit(nogil=True)
def _seen(machine, k):
    """Where the spikes of the last layer are that block `k` leaves, or what its membranes are read as."""
    return 2 * machine.L * machine.nodes if machine.membrane else _spikes(machine, k % 2, machine.L - 1)


@njit(nogil=True)
def _spikes(machine, half, layer):
    """Where the spikes of a layer are, in one of two halves: blocks write to them in turn."""
    return (half * machine.L + layer) * machine.nodes


@njit(nogil=True)
def _carried(machine, half, layer, v):
    return ((half * machine.L + layer) * machine.V + v) * machine.nodes


@njit(nogil=True)
def _table(machine, layer, recurrent, v):
    return ((2 * layer + recurrent) * machine.V + v) * machine.groups * CODES


@njit(nogil=True)
def _prepare(machine, b):
    """The tables of a branch."""
    for layer in range(machine.L):
        row, count, recurrent, settings = _layer(machine, layer)
        for v in range(machine.V):
            start = (b * machine.V + v) * machine.R
            if layer > 0:
                _tabulate(machine, start + row, count, _table(machine, layer, 0, v))
            if recurrent >= 0:
                _tabulate(machine, start + recurrent, settings - recurrent, _table(machine, layer, 1, v))


@njit(nogil=True)
def _tabulate(machine, row, count, at):
    """Sums of `count` rows of weights from number `row` on: one for each number that six spikes make."""
    numbers, tables = machine.numbers, machine.tables
    for g in range(machine.groups):
        here = at + g * CODES
        store(tables, here, zeros(tables))
        for j in range(GROUP):
            known = 1 << j
            for k in range(known):
                base = load(tables, here + k)
                if g * GROUP + j < count:
                    base = plus(base, load(numbers, row + g * GROUP + j))
                store(tables, here + known + k, base)


@njit(nogil=True)
def _advance(machine, b, k):
    """One block: all layers after one more step."""
    root = machine.blocks[FIELDS * k + 2]
    first, groups = machine.blocks[FIELDS * k + 3], machine.blocks[FIELDS * k + 4]
    for v in range(machine.V):
        _drive(machine, (b * machine.V + v) * machine.R, first, groups, v * machine.shown)
    for layer in range(machine.L):
        if root:
            machine.spikes[_spikes(machine, 1 - k % 2, layer)] = 0
        for v in range(machine.V):
            if root:
                rest = (b * machine.V + v) * machine.R + machine.layers[4 * layer + 3] + REST
                store(machine.carried, _carried(machine, 1 - k % 2, layer, v), load(machine.numbers, rest))
            _step(machine, b, k, layer, v)


@njit(nogil=True)
def _step(machine, b, k, layer, v):
    """One vector of neurons of one layer: drive, fire, reset, and what is carried on, for all nodes of a block."""
    numbers, carried, spikes = machine.numbers, machine.carried, machine.spikes
    parent, code, at, count = machine.parent, machine.code, machine.blocks[FIELDS * k], machine.blocks[FIELDS * k + 1]
    recurrent = machine.layers[4 * layer + 2] >= 0
    own = (b * machine.V + v) * machine.R + machine.layers[4 * layer + 3]
    shown, feed, echo = v * machine.shown, _table(machine, layer, 0, v), _table(machine, layer, 1, v)
    before, after = _carried(machine, 1 - k % 2, layer, v), _carried(machine, k % 2, layer, v)
    heard, fired = _spikes(machine, 1 - k % 2, layer), _spikes(machine, k % 2, layer)
    below = fired - machine.nodes
    seen, read = _seen(machine, k), machine.membrane and layer == machine.L - 1
    bias, leak, threshold = load(numbers, own + BIAS), load(numbers, own + LEAK), load(numbers, own + THRESHOLD)
    kept, added, zero = load(numbers, own + KEPT), load(numbers, own + ADDED), zeros(numbers)
    for i in range(0, count, ABREAST):
        p, q, r, s = _four(parent, at + i)
        x, y = load(carried, before + p), load(carried, before + q)
        z, w = load(carried, before + r), load(carried, before + s)
        if layer == 0:
            e, f, g, h = _four(code, at + i)
            x, y = plus(x, load(machine.current, shown + e)), plus(y, load(machine.current, shown + f))
            z, w = plus(z, load(machine.current, shown + g)), plus(w, load(machine.current, shown + h))
        else:
            n = below + i
            bits = spikes[n], spikes[n + 1], spikes[n + 2], spikes[n + 3]
            x, y, z, w = _look_up(x, y, z, w, bits, machine, feed)
        if recurrent:
            bits = spikes[heard + p], spikes[heard + q], spikes[heard + r], spikes[heard + s]
            x, y, z, w = _look_up(x, y, z, w, bits, machine, echo)
        hits = reached(x, threshold), reached(y, threshold), reached(z, threshold), reached(w, threshold)
        _note(spikes, fired + i, hits, v, machine.lanes)
        x, y = where(hits[0], muladd(x, kept, added), x), where(hits[1], muladd(y, kept, added), y)
        z, w = where(hits[2], muladd(z, kept, added), z), where(hits[3], muladd(w, kept, added), w)
        if read:
            hits = reached(x, zero), reached(y, zero), reached(z, zero), reached(w, zero)
            _note(spikes, seen + i, hits, v, machine.lanes)
        store(carried, after + i, muladd(x, leak, bias))
        store(carried, after + i + 1, muladd(y, leak, bias))
        store(carried, after + i + 2, muladd(z, leak, bias))
        store(carried, after + i + 3, muladd(w, leak, bias))


@njit(nogil=True)
def _four(numbers, at):
    """Four integers that follow one another."""
    return np.int64(numbers[at]), np.int64(numbers[at + 1]), np.int64(numbers[at + 2]), np.int64(numbers[at + 3])


@njit(nogil=True)
def _note(spikes, at, hits, v, lanes):
    """Write which neurons of vector number `v` fired at four nodes, beside those of the vectors before."""
    if v == 0:
        spikes[at], spikes[at + 1], spikes[at + 2], spikes[at + 3] = hits
        return
    shift = np.uint64(v * lanes)
    a, b, c, d = hits
    spikes[at] |= a << shift
    spikes[at + 1] |= b << shift
    spikes[at + 2] |= c << shift
    spikes[at + 3] |= d << shift


@njit(nogil=True)
def _look_up(x, y, z, w, bits, machine, at):
    """Four potentials and the weights of the spikes `bits` of each, by the tables from `at` on."""
    a, b, c, d = bits
    tables, mask = machine.tables, np.uint64(CODES - 1)
    for g in range(machine.groups):
        here, shift = at + g * CODES, np.uint64(g * GROUP)
        x = plus(x, load(tables, here + np.int64((a >> shift) & mask)))
        y = plus(y, load(tables, here + np.int64((b >> shift) & mask)))
        z = plus(z, load(tables, here + np.int64((c >> shift) & mask)))
        w = plus(w, load(tables, here + np.int64((d >> shift) & mask)))
    return x, y, z, w


@njit(nogil=True)
def _drive(machine, row, first, groups, at):
    """What groups of eight inputs add to the potentials of one vector of neurons, into `current`."""
    numbers, current = machine.numbers, machine.current
    for group in range(groups):
        a = b = c = d = e = f = g = h = zeros(numbers)
        for k in range(machine.features):
            x, w = ((first + group) * machine.features + k) * TOGETHER, load(numbers, row + k)
            a, b = _times(machine, x, w, a), _times(machine, x + 1, w, b)
            c, d = _times(machine, x + 2, w, c), _times(machine, x + 3, w, d)
            e, f = _times(machine, x + 4, w, e), _times(machine, x + 5, w, f)
            g, h = _times(machine, x + 6, w, g), _times(machine, x + 7, w, h)
        here = at + group * TOGETHER
        store(current, here, a)
        store(current, here + 1, b)
        store(current, here + 2, c)
        store(current, here + 3, d)
        store(current, here + 4, e)
        store(current, here + 5, f)
        store(current, here + 6, g)
        store(current, here + 7, h)


@njit(nogil=True)
def _times(machine, x, weights, sums):
    return muladd(spread(machine.inputs[x]), weights, sums)


@njit(nogil=True)
def _score(spikes, seen, count, shift, U, at):
    """Sums of U from number `at` on over the nodes at which each neuron of a vector is seen."""
    a = b = c = d = zeros(U)
    for i in range(0, count, ABREAST):
        a = where(spikes[seen + i] >> shift, plus(a, spread(U[at + i])), a)
        b = where(spikes[seen + i + 1] >> shift, plus(b, spread(U[at + i + 1])), b)
        c = where(spikes[seen + i + 2] >> shift, plus(c, spread(U[at + i + 2])), c)
        d = where(spikes[seen + i + 3] >> shift, plus(d, spread(U[at + i + 3])), d)
    return plus(plus(a, b), plus(c, d))


@njit(nogil=True)
def _layer(machine, layer):
    """First row, inputs, first recurrent row and first row of settings of a layer."""
    at = 4 * layer
    return machine.layers[at], machine.layers[at + 1], machine.layers[at + 2], machine.layers[at + 3]
