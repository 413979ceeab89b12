"""Branches over a prefix tree on a GPU: step, spike, reset, recurrence and scoring in one kernel.

A program runs one branch on some paths of a stretch of steps (`stretches.py`). The paths are the lanes of a warp, so
states are in registers from step to step, and the branch's numbers, which all lanes read alike, come from the nearest
cache. Spikes of a layer are the bits of one integer for each path. Sums are taken in another order than in the
reference (`simulator.py`), so a spike within rounding of its threshold may differ.

Nothing imports this file but `walking.py`.
"""

# Triton comes with PyTorch for CUDA alone.
# pyright: reportMissingImports=false
# It compiles sums of tuples, and knows no unpacking.
# ruff: noqa: RUF005

from __future__ import annotations

from typing import Any, NamedTuple

import triton
import triton.language as tl

from convexsnn.search.branches.fused.kernel import ADDED, BIAS, KEPT, LEAK, THRESHOLD

# Where a layer's settings are among its rows, as compiled code may know it.
_BIAS, _LEAK, _THRESHOLD, _KEPT, _ADDED = map(tl.constexpr, (BIAS, LEAK, THRESHOLD, KEPT, ADDED))


class StretchPointers(NamedTuple):
    """A stretch of steps of a prefix tree: pointers to what `Stretch` has, and the number of paths.

    This is a multiple of 16, for which code is compiled: so numbers of four paths are read and written at once.

    Attributes
    ----------
    inputs : float pointer, (steps, d, paths)
    parent : int32 pointer, (paths,)
    place : int32 pointer, (steps,)
        Which of the steps that are read each is, or -1.
    U : float pointer, (steps that are read, C, paths)
    paths : int
    """

    inputs: Any
    parent: Any
    place: Any
    U: Any
    paths: int


class Handed(NamedTuple):
    """What the next step's potentials begin from: pointers to (B, L, V, lanes, paths).

    Attributes
    ----------
    before, after : float pointer
        Before the first step, and after the last one.
    """

    before: Any
    after: Any


class Extent(NamedTuple):
    """Other sizes, for which nothing is compiled anew.

    Attributes
    ----------
    steps, read, outputs : int
        Steps of a stretch, those of them that are read, and C.
    before : int
        Paths of what is handed over before the first step.
    on : int
        Whether anything comes after the last step.
    """

    steps: int
    read: int
    outputs: int
    before: int
    on: int


class Written(NamedTuple):
    """Where to write what is found.

    Attributes
    ----------
    sums : float pointer, (blocks of paths, B, V, lanes, outputs)
        Sums of U over what is seen of every neuron of the last layer.
    seen : int64 pointer, (B, steps that are read, paths)
        The bits of what is seen, if `Shape.keeps`.
    """

    sums: Any
    seen: Any


class Shape(NamedTuple):
    """What code is compiled for.

    Attributes
    ----------
    layers : tuple of L tuples of 4 int
        As in `Genes`: first row, number of inputs, first recurrent row or -1, and row of biases.
    vectors, rows, lanes : int
        Vectors of neurons, rows of numbers of each, and neurons of a vector.
    paths : int
        Of a program; a power of two.
    outputs : int
        Room for the C outputs; a power of two.
    membrane : bool
        Whether membranes are read instead of spikes.
    keeps : bool
        Whether what is seen is written as well.
    """

    layers: tuple[tuple[int, int, int, int], ...]
    vectors: int
    rows: int
    lanes: int
    paths: int
    outputs: int
    membrane: bool
    keeps: bool


@triton.jit(do_not_specialize=["extent"])
def walk_branch(tree, numbers, handed, written, extent, shape: tl.constexpr):
    """Run branch b on a block of paths, where these two numbers are those of the program."""
    b, block = tl.program_id(0).to(tl.int64), tl.program_id(1)
    path = block * shape.paths + tl.arange(0, shape.paths)
    here = path < tree.paths
    genes = numbers + b * (shape.vectors * shape.rows * shape.lanes)
    neuron = tl.arange(0, shape.lanes)[:, None]
    tiles: tl.constexpr = len(shape.layers) * shape.vectors
    parent = tl.load(tree.parent + path, mask=here, other=0)[None, :]
    carried = ()
    for k in tl.static_range(tiles):
        row = (b * tiles + k) * shape.lanes + neuron
        carried = carried + (tl.load(handed.before + row * extent.before + parent),)
    sums = ()
    for _ in tl.static_range(shape.vectors):
        sums = sums + (tl.zeros((shape.lanes, shape.outputs), numbers.dtype.element_ty),)
    for t in range(extent.steps):
        carried, seen = _advance(carried, tree, genes, t, path, shape)
        place = tl.load(tree.place + t)
        if place >= 0:
            if shape.keeps:
                at = (b * extent.read + place) * tree.paths
                tl.store(written.seen + at + path, tl.cast(seen, tl.int64), mask=here)
            for c in range(extent.outputs):
                at = (place * extent.outputs + c).to(tl.int64) * tree.paths
                sums = _scored(sums, seen, tl.load(tree.U + at + path, mask=here, other=0.0), c, shape)
    output = tl.arange(0, shape.outputs)[None, :]
    for v in tl.static_range(shape.vectors):
        row = ((block * tl.num_programs(0) + b) * shape.vectors + v) * shape.lanes + neuron
        tl.store(written.sums + row * shape.outputs + output, sums[v])
    if extent.on:
        for k in tl.static_range(tiles):
            row = (b * tiles + k) * shape.lanes + neuron
            tl.store(handed.after + row * tree.paths + path[None, :], carried[k], mask=here[None, :])


@triton.jit
def _advance(carried, tree, genes, t, path, shape: tl.constexpr):
    """All layers after one more step: what is carried on, and the bits of what is read of the last layer."""
    after, bits = (), tl.zeros((shape.paths,), tl.int64 if shape.vectors * shape.lanes > 32 else tl.int32)
    seen = bits
    for layer in tl.static_range(len(shape.layers)):
        x = ()
        for v in tl.static_range(shape.vectors):
            x = x + (carried[layer * shape.vectors + v],)
        if layer == 0:
            x = _shown(x, tree, genes, t, path, shape)
        else:
            row = shape.layers[layer][0]
            x = _heard(x, bits, genes, row, row + shape.layers[layer][1], shape)
        membranes, bits, seen = _fired(x, genes, layer, shape)
        left = ()
        for v in tl.static_range(shape.vectors):
            leak, bias = _setting(genes, v, layer, _LEAK, shape), _setting(genes, v, layer, _BIAS, shape)
            left = left + (membranes[v] * leak + bias,)
        if shape.layers[layer][2] >= 0:
            left = _heard(left, bits, genes, shape.layers[layer][2], shape.layers[layer][3], shape)
        after = after + left
    return after, seen


@triton.jit
def _fired(x, genes, layer: tl.constexpr, shape: tl.constexpr):
    """Membranes after the reset, spikes as bits, and what is read as bits."""
    membranes, bits, seen = (), 0, 0
    for v in tl.static_range(shape.vectors):
        hit = x[v] >= _setting(genes, v, layer, _THRESHOLD, shape)
        kept, added = _setting(genes, v, layer, _KEPT, shape), _setting(genes, v, layer, _ADDED, shape)
        membranes = membranes + (tl.where(hit, x[v] * kept + added, x[v]),)
        bits += _bits(hit, v, shape)
        if shape.membrane:
            seen += _bits(membranes[v] >= 0.0, v, shape)
    if not shape.membrane:
        seen = bits
    return membranes, bits, seen


@triton.jit
def _bits(hit, v: tl.constexpr, shape: tl.constexpr):
    """Which neurons of a vector are hit, (lanes, paths), as bits of one integer for each path."""
    kind: tl.constexpr = tl.int64 if shape.vectors * shape.lanes > 32 else tl.int32
    return tl.sum(hit.to(kind) << (v * shape.lanes + tl.arange(0, shape.lanes))[:, None], axis=0)


@triton.jit
def _shown(x, tree, genes, t, path, shape: tl.constexpr):
    """Potentials of the first layer with what the input of a step adds."""
    features: tl.constexpr = shape.layers[0][1]
    inputs = tree.inputs + tl.cast(t, tl.int64) * features * tree.paths
    for k in range(features):
        value = tl.load(inputs + k * tree.paths + path, mask=path < tree.paths, other=0.0)[None, :]
        more = ()
        for v in tl.static_range(shape.vectors):
            more = more + (x[v] + _numbers(genes, v, shape.layers[0][0] + k, shape) * value,)
        x = more
    return x


@triton.jit
def _heard(x, bits, genes, first, end, shape: tl.constexpr):
    """Potentials with the weights, from row `first` to before row `end`, of the spikes `bits`."""
    for row in range(first, end):
        spike = ((bits >> row - first) & 1).to(genes.dtype.element_ty)[None, :]
        more = ()
        for v in tl.static_range(shape.vectors):
            more = more + (x[v] + _numbers(genes, v, row, shape) * spike,)
        x = more
    return x


@triton.jit
def _scored(sums, seen, u, c, shape: tl.constexpr):
    """Sums (lanes, outputs) with the numbers `u` of the paths at which each neuron is seen, for output `c`."""
    more, output = (), tl.arange(0, shape.outputs)[None, :]
    for v in tl.static_range(shape.vectors):
        hit = (seen[None, :] >> (v * shape.lanes + tl.arange(0, shape.lanes))[:, None]) & 1
        found = tl.sum(hit.to(u.dtype) * u[None, :], axis=1)
        more = more + (sums[v] + tl.where(output == c, found[:, None], 0.0),)
    return more


@triton.jit
def _setting(genes, v: tl.constexpr, layer: tl.constexpr, which: tl.constexpr, shape: tl.constexpr):
    return _numbers(genes, v, shape.layers[layer][3] + which, shape)


@triton.jit
def _numbers(genes, v: tl.constexpr, row, shape: tl.constexpr):
    """A row of numbers of one vector of neurons, the same for all paths: (lanes, 1)."""
    return tl.load(genes + (v * shape.rows + row) * shape.lanes + tl.arange(0, shape.lanes))[:, None]
