"""What the module makes of its readout: found by letting the readout say random numbers and listening to the module.

Numbers are drawn anew for every step and sequence, so that nothing but the reading which was declared explains what
the module answers: its output must be the pooled numbers times a fixed matrix, the head.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from convexsnn.polishing.batches import ShownBatch
from convexsnn.polishing.head import SAME, OutputMap
from convexsnn.polishing.output import FINAL, POOLED, own_output
from convexsnn.polishing.pooling import POOLINGS, Pooling
from convexsnn.polishing.tape import Heard, Tape

# The numbers are as large as the readout's own, and eight times as large: what saturates shows.
SCALES = (1.0, 8.0)
MOST_RUNS = 256


class OutputReading(NamedTuple):
    """How the module's output is found, and what it is of the pooled readout.

    Attributes
    ----------
    head : OutputMap
    how : {"pooled", "final"}
        See `output.own_output`.
    shifted : bool
        Whether the output is that of the head but for one number a row, as a log-softmax gives.
    """

    head: OutputMap
    how: str
    shifted: bool


class ProbeAnswer(NamedTuple):
    """What was said in place of the readout on one run, and what was heard."""

    said: Tensor
    heard: Heard


def find_reading(
    tape: Tape, batch: ShownBatch, heard: Heard, pooling: Pooling, declared: OutputMap | None, *, shifts: bool
) -> OutputReading:
    """The head of the module, found or, where `declared`, checked; `shifts` allows outputs up to one number a row.

    Raises
    ------
    ValueError
        When the module's output is not such a function of the pooled readout: with both numbers, and what would fit.
    """
    readout = tape.parts.readout
    size = max(float(heard.said.double().square().mean().sqrt()), 1e-3)
    generator = torch.Generator("cpu").manual_seed(0)
    answers = [_ask(tape, batch, heard, size * scale, generator) for scale in SCALES]
    for how in (POOLED, FINAL):
        reading = _fit(tape, batch, answers, pooling, how, declared, shifts=shifts)
        if reading is not None:
            return reading
    rows = len(pooling.reduce(answers[0].said, batch.lengths))
    more = math.ceil(2 * (readout.out_features + 1) / rows)
    if declared is None and more > MOST_RUNS:
        raise ValueError(
            f"first batch has {rows} rows, too few to find what the module makes of {readout.out_features} readout "
            "outputs: give larger batches, or pass head=, the matrix from readout outputs to the module's outputs"
        )
    answers += [_ask(tape, batch, heard, size, generator) for _ in range(more)] if declared is None else []
    for how in (POOLED, FINAL) if declared is None else ():
        matrix = _solve(tape, batch, answers, pooling, how)
        if matrix is not None:
            return OutputReading(OutputMap(matrix), how, shifted=False)
    raise ValueError(_describe(tape, batch, heard, pooling, declared, answers))


def tolerance(eps: float, terms: int) -> float:
    """Relative to the sum of absolute terms: what rounding of a sum of `terms` may come to."""
    return 16.0 * eps * (4.0 + math.sqrt(terms))


def rounding(heard: Heard) -> float:
    """The eps of the coarsest arithmetic in which the module was seen to compute."""
    returned = [part for part in _tensors(heard.returned) if part.is_floating_point()]
    return max(torch.finfo(part.dtype).eps for part in (heard.said, *returned))


def centred(outputs: Tensor) -> Tensor:
    """Outputs (rows, C) less the mean of each row."""
    return outputs - outputs.mean(dim=1, keepdim=True)


def shown(outputs: Tensor) -> str:
    """The first few of the outputs (C,) of a row."""
    return "[" + ", ".join(f"{value:.6g}" for value in outputs[:4].tolist()) + (", ...]" if len(outputs) > 4 else "]")


def _tensors(returned: object) -> list[Tensor]:
    if isinstance(returned, Tensor):
        return [returned]
    return [t for part in returned for t in _tensors(part)] if isinstance(returned, (tuple, list)) else []


def _ask(tape: Tape, batch: ShownBatch, first: Heard, size: float, generator: torch.Generator) -> ProbeAnswer:
    said = size * torch.randn(first.said.shape, generator=generator)
    said = said.to(first.said.dtype)
    heard = tape(batch.x, batch.n, said)
    if heard.read.shape != first.read.shape or not torch.equal(heard.read, first.read):
        raise ValueError(
            f"what the readout {tape.parts.readout_name!r} reads depends on what it said before (feedback): other "
            "weights would change the spikes that they are solved for"
        )
    return ProbeAnswer(said, heard)


def _fit(
    tape: Tape,
    batch: ShownBatch,
    answers: list[ProbeAnswer],
    pooling: Pooling,
    how: str,
    declared: OutputMap | None,
    *,
    shifts: bool,
) -> OutputReading | None:
    """The head that was declared, or none at all, where it explains the answers."""
    head = declared or OutputMap(torch.eye(tape.parts.readout.out_features, dtype=torch.float64))
    for shifted in (False, True) if shifts else (False,):
        if all(_explains(head.matrix, tape, batch, answer, pooling, how, shifted=shifted) for answer in answers):
            return OutputReading(head, how, shifted)
    return None


def _explains(
    matrix: Tensor,
    tape: Tape,
    batch: ShownBatch,
    answer: ProbeAnswer,
    pooling: Pooling,
    how: str,
    *,
    shifted: bool = False,
) -> bool:
    own = own_output(tape, answer.heard, pooling, batch.lengths, how)
    Z = pooling.reduce(answer.said, batch.lengths)
    expected = Z @ matrix.T
    if own.shape != expected.shape:
        return False
    if shifted:
        own, expected = centred(own), centred(expected)
    terms = pooling.reduce(answer.said.abs(), batch.lengths) @ matrix.abs().T
    allowed = tolerance(rounding(answer.heard), answer.said.shape[0] * answer.said.shape[2]) + SAME
    return bool(((own - expected).abs() <= allowed * terms.amax(dim=1, keepdim=True)).all())


def _solve(tape: Tape, batch: ShownBatch, answers: list[ProbeAnswer], pooling: Pooling, how: str) -> Tensor | None:
    """The matrix that explains all answers, or None; fitted on those at the scale of the readout."""
    fitted = [answers[0], *answers[2:]]
    own = torch.cat([own_output(tape, answer.heard, pooling, batch.lengths, how) for answer in fitted])
    Z = torch.cat([pooling.reduce(answer.said, batch.lengths) for answer in fitted])
    if len(own) != len(Z) or not bool(torch.isfinite(own).all()):
        return None
    matrix = torch.linalg.lstsq(Z, own).solution.T
    matrix = _tidy(matrix, SAME + tolerance(rounding(answers[0].heard), 1))
    explains = (_explains(matrix, tape, batch, answer, pooling, how) for answer in answers)
    return matrix if bool(matrix.any()) and all(explains) else None


def _tidy(matrix: Tensor, allowed: float) -> Tensor:
    """Rounding taken out: entries that are nearly zero become zero, and nearly equal ones equal."""
    near = allowed * float(matrix.abs().max())
    values, entry = torch.where(matrix.abs() > near, matrix, 0.0).unique(return_inverse=True)
    group = torch.cat([torch.zeros(1), (values.diff() > near).double()]).cumsum(0).long()
    total = torch.zeros(int(group[-1]) + 1, dtype=torch.float64)
    means = total.index_add(0, group, values) / group.bincount()
    return means[group][entry].reshape(matrix.shape)


def _describe(
    tape: Tape,
    batch: ShownBatch,
    heard: Heard,
    pooling: Pooling,
    declared: OutputMap | None,
    answers: list[ProbeAnswer],
) -> str:
    """The declared and the heard numbers in words, and which declaration would fit."""
    what = "pooled readout" if declared is None else "pooled readout through head"

    def pair(said: Tensor, answered: Heard) -> tuple[Tensor, Tensor]:
        read = pooling.reduce(said, batch.lengths).cpu()
        read = read if declared is None else declared.through(read)
        return read, own_output(tape, answered, pooling, batch.lengths)

    # The first where it shows: the readout's own outputs may be too small for that.
    pairs = [pair(heard.said, heard), *(pair(*answer) for answer in answers)]
    differ = (a.shape != b.shape or not torch.allclose(a, b, rtol=1e-3) for a, b in pairs)
    read, own = pairs[next((i for i, differs in enumerate(differ) if differs), 0)]
    text = (
        f"module does not answer what polish would solve for: the {what} ({pooling}) of the first sequence is "
        f"{shown(read[0])}, the module's own output {shown(own[0])}"
    )
    for other in _others(pooling, answers):
        if any(_solve(tape, batch, answers, other, how) is not None for how in (POOLED, FINAL)):
            return f"{text}. {other} fits: pass that"
    if tape.time != "steps" and answers[0].said.shape[0] == batch.n:  # as many steps as sequences
        turned = [ProbeAnswer(answer.said.transpose(0, 1), answer.heard) for answer in answers]
        if any(_solve(tape, batch, turned, pooling, how) is not None for how in (POOLED, FINAL)):
            return f"{text}. time={'batch' if tape.time == 'first' else 'first'!r} fits: pass that"
    return (
        f"{text}. None of {', '.join(map(repr, POOLINGS))} fits: the output is not linear in the readout (a maximum, "
        "spikes, a softmax or another nonlinearity), adds a constant, or `time` or `run` is not as declared. A run= "
        "may return the output before a nonlinearity, or the last membrane in place of the largest"
    )


def _others(pooling: Pooling, answers: list[ProbeAnswer]) -> list[Pooling]:
    """The other poolings; of leaky integrators those of common leaks."""
    if pooling.every_step or len(answers[0].said) == 1:
        return []
    plain = [Pooling(kind) for kind in POOLINGS if kind not in ("leaky", pooling.kind)]
    return plain + [Pooling("leaky", percent / 100) for percent in range(5, 100, 5)]
