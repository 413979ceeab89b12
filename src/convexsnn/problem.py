"""The training problem: what is to be learned, at which penalty, and everything that is derived from the two."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from convexsnn.bounds import universal_certificate
from convexsnn.column_blocks import ColumnBlocks
from convexsnn.columns import Columns, RealColumns
from convexsnn.dictionary import Dictionary, build_dictionary
from convexsnn.global_bound import GlobalBound
from convexsnn.losses import Loss, Squared
from convexsnn.merged import MergedRows, merge_sequences
from convexsnn.network import Hidden, Network
from convexsnn.penalties import Penalty, PenaltyAboveNorm, Ridge
from convexsnn.prefixes import equal_prefixes, prefixes_of
from convexsnn.program import ConvexProgram, uniform_weights
from convexsnn.ranks import Alone, Ranks
from convexsnn.regularisation import check_rho
from convexsnn.rowwise import by_rows
from convexsnn.sequences import Sequences, SequenceSource, in_memory
from convexsnn.sharded import ShardedSequences, whole
from convexsnn.simulation import scores
from convexsnn.tensors import digest_of
from convexsnn.validation import Score, Validation
from convexsnn.witnesses import constant_place
from convexsnn.witnesses.input_view import InputView


@dataclass(frozen=True, eq=False)
class Problem:
    """min over all weights of f of sum_i w_i loss(y_i, f(x_i)) + rho * Omega(W) (theory.md section 2).

    Every part of the library that learns from sequences is given one. What is derived from the data is computed once
    and kept, also for the same data at another rho (`at`).

    Attributes
    ----------
    sequences : SequenceSource
        The input, in memory (`Sequences`) or read batch by batch (`Batches`). None where only the columns are known, as
        of a torch module that was recorded: then nothing that needs the input can be asked for.
    targets : float64 tensor of shape (rows, C)
        Encoded labels (`Loss.encode`), or real targets. A row is a sequence, or with `every_step` a pair of sequence
        and step, ordered by sequence, then step.
    loss : Loss
    penalty : Penalty
        The penalty Omega of the output weights.
    rho : float
        The weight of the penalty, at least 1e-100.
    row_weights : float64 tensor of shape (rows,), optional
        Positive; `weights` are these scaled to sum to one. None is 1 each.
    every_step : bool
        Whether the output is read at every step, instead of at the last of each sequence.
    intercept : bool
        Whether an always-firing neuron is among those that the output reads.
    free_intercept : bool
        Whether the weights of that neuron are left out of the penalty; only with `intercept`.
    score : Score, optional
        How outputs are scored on the training rows.
    score_weights : float64 tensor of shape (rows,), optional
        Weights of the rows in the score; None is 1 each.
    validation : Validation, optional
        Data that are not trained on.

    Raises
    ------
    ValueError
        When rows, weights and steps do not fit together, or rho is out of range; names the argument.
    """

    sequences: SequenceSource | None
    targets: Tensor
    loss: Loss
    penalty: Penalty
    rho: float
    row_weights: Tensor | None = None
    every_step: bool = False
    intercept: bool = False
    free_intercept: bool = False
    score: Score | None = None
    score_weights: Tensor | None = None
    validation: Validation | None = None

    def __post_init__(self) -> None:
        check_rho(self.rho)
        if self.targets.ndim != 2:
            raise ValueError(f"targets must have shape (rows, C), got {tuple(self.targets.shape)}")
        if self.free_intercept and not self.intercept:
            raise ValueError("free_intercept needs the always-firing neuron: set intercept too")
        rows = len(self.targets)
        if self.sequences is not None and rows != self.sequences.rows(self.every_step):
            what = "steps of all sequences" if self.every_step else "sequences"
            raise ValueError(f"targets has {rows} rows, but there are {self.sequences.rows(self.every_step)} {what}")
        if self.validation is not None:
            self._check_validation(self.validation)
        if self.row_weights is None:
            return
        if self.row_weights.shape != (rows,):
            raise ValueError(f"row_weights must have shape ({rows},), got {tuple(self.row_weights.shape)}")
        if not bool((self.row_weights > 0).all()):
            raise ValueError("row_weights must be positive: drop the rows of weight zero first")
        if not math.isfinite(float(self.row_weights.sum())):
            raise ValueError("row_weights must be finite, and so must their sum")

    def _check_validation(self, held: Validation) -> None:
        expected, found = (held.source.rows(self.every_step), self.n_outputs), tuple(held.targets.shape)
        if found != expected:
            raise ValueError(f"validation must have targets of shape {expected}, got {found}")
        if self.sequences is not None and held.source.n_features != self.sequences.n_features:
            raise ValueError(
                f"validation has {held.source.n_features} features, but the training sequences have "
                f"{self.sequences.n_features}"
            )

    # The same problem, changed in one respect.

    def at(self, rho: float) -> Problem:
        """The same problem at another rho; what was derived from the data is kept."""
        if rho == self.rho:
            return self
        other = replace(self, rho=rho)
        other.__dict__.update({name: self.__dict__[name] for name in _OF_DATA if name in self.__dict__})
        return other

    def take(self, chosen: np.ndarray) -> Problem:
        """The problem on the sequences that the bool mask `chosen` of shape (n,) names."""
        rows = self.rows_of(chosen)
        of_rows = lambda weights: None if weights is None else weights[rows]  # noqa: E731
        return replace(
            self,
            sequences=self.source.take(torch.from_numpy(np.flatnonzero(chosen))),
            targets=self.targets[rows],
            row_weights=of_rows(self.row_weights),
            score_weights=of_rows(self.score_weights),
        )

    def rows_of(self, chosen: np.ndarray) -> Tensor:
        """The rows of the sequences that the bool mask `chosen` of shape (n,) names, int64 in ascending order."""
        steps = self.source.lengths.cpu().numpy() if self.every_step else 1
        return torch.from_numpy(np.flatnonzero(np.repeat(chosen, steps)))

    def split(self, held: np.ndarray) -> Problem:
        """The problem without the sequences that the bool mask `held` (n,) names, which become its validation data."""
        rest, part = self.take(~held), self.take(held)
        return replace(rest, validation=part.scored)

    def over(self, ranks: Ranks | None) -> Problem:
        """The problem whose rows, and those of the validation data, are spread over ranks; None changes nothing."""
        if ranks is None:
            return self
        held = self.validation
        spread = None if held is None else replace(held, source=ShardedSequences(held.source, ranks))
        return replace(self, sequences=ShardedSequences(self.source, ranks), validation=spread)

    def seen(self, view: InputView) -> Problem:
        """The problem with all input, also that of validation, as it is seen; ValueError where it is not in memory."""
        if view.plain:
            return self
        held = self.validation
        if held is not None:
            held = replace(held, source=view.applied(held.sequences))
        return replace(self, sequences=view.applied(self.input), validation=held)

    # What is derived from the data.

    def view(self, *, standardise: bool, centred: bool = True) -> InputView:
        """The input as it is, or in units of its spread, for which it must be in memory: see `InputView.of`."""
        if not standardise:
            return InputView.as_is(self.source.n_features)
        return InputView.of(self.input, centred=centred)

    @property
    def source(self) -> SequenceSource:
        """The sequences, however they are kept; ValueError where only the columns are known."""
        if self.sequences is None:
            raise ValueError("the problem has no sequences: only the columns of its program are known")
        return self.sequences

    @property
    def input(self) -> Sequences:
        """The sequences, for what needs all of them at once; ValueError where they are not in memory."""
        return in_memory(whole(self.source))

    @property
    def ranks(self) -> Ranks:
        """The processes over which rows are spread."""
        return self.source.ranks if isinstance(self.source, ShardedSequences) else Alone()

    @property
    def n_outputs(self) -> int:
        """C, the number of outputs."""
        return self.targets.shape[1]

    @property
    def scored(self) -> Validation:
        """The training rows with their score; ValueError where the problem has none."""
        if self.score is None:
            raise ValueError("the problem must have a score to pick one of several rho by")
        return Validation(self.source, self.targets, self.score, self.score_weights)

    @cached_property
    def weights(self) -> Tensor:
        """w, the weights of the rows in the program: float64 of shape (rows,), summing to one."""
        if self.row_weights is None:
            return uniform_weights(len(self.targets))
        total = self.row_weights.sum()
        return self.row_weights if abs(float(total) - 1.0) <= 1e-9 else self.row_weights / total

    @cached_property
    def groups(self) -> Tensor:
        """The same number for rows of equal input, which every network answers alike; int64 of shape (rows,)."""
        return equal_prefixes(whole(self.source), every_step=self.every_step)

    def merged_rows(self, dtype: torch.dtype) -> MergedRows:
        """Rows of equal input and equal target as one of their total weight, with the prefixes that they end."""
        prefixes = prefixes_of(self.input, every_step=self.every_step, dtype=dtype)
        return MergedRows.of(prefixes, self.targets, self.weights)

    @property
    def without_validation(self) -> Problem:
        """The same problem without validation data."""
        return self if self.validation is None else replace(self, validation=None)

    @cached_property
    def merged_sequences(self) -> Problem:
        """The same problem with equal sequences of equal targets as one of their total weight.

        Objective and gradients are the same up to rounding: 2000 random sequences of 8 bits are 256.
        """
        merged = merge_sequences(self.input, self.targets, self.weights, every_step=self.every_step)
        if merged is None:
            return self
        sequences, targets, weights = merged
        return replace(self, sequences=sequences, targets=targets, row_weights=weights, score_weights=None)

    @cached_property
    def digests(self) -> tuple[str, str]:
        """SHA-256 of the sequences, and of sequences and targets; one pass over the sequences gives both."""
        digest = hashlib.sha256()
        _update_sequences(digest, self.source)
        alone = digest.hexdigest()
        _update(digest, self.targets.to(torch.float64))
        return alone, digest.hexdigest()

    @property
    def data_digest(self) -> str:
        """SHA-256 of sequences and targets, by which training data are recognised."""
        return self.digests[1]

    @property
    def digest(self) -> str:
        """SHA-256 of everything that training depends on: data, weights, program and validation data."""
        intercept = (self.intercept, self.free_intercept)
        facts = (self.loss, self.penalty, self.rho, self.every_step, intercept, self.score)
        digest = hashlib.sha256(repr((self.data_digest, facts)).encode())
        _update(digest, self.weights)
        if self.validation is not None:
            held = self.validation
            digest.update(repr(held.score).encode())
            _update_sequences(digest, held.source)
            _update(digest, held.targets, held.weights)
        return digest.hexdigest()

    @property
    def leaves_one_out(self) -> bool:
        """Whether one solution tells what rows get when they are left out, and a row is a whole sequence."""
        return isinstance(self.loss, Squared) and isinstance(self.penalty, Ridge) and not self.every_step

    # What the program says.

    def dictionary(
        self,
        witnesses: Hidden,
        on_chunk: Callable[[int, int], None] | None = None,
        checkpoint: str | Path | None = None,
    ) -> Dictionary:
        """The columns of witnesses, which are kept in the folder `checkpoint` while they are made.

        With a free intercept the column of ones is given by the always-firing neuron of the witnesses.
        """
        blocks = None
        if checkpoint is not None:
            of = f"{self.digests[0]} {digest_of(witnesses)} {witnesses.device.type}"
            blocks = ColumnBlocks(Path(checkpoint), hashlib.sha256(of.encode()).hexdigest())
        dictionary = build_dictionary(witnesses, self.source, on_chunk, blocks)
        place = constant_place(witnesses) if self.free_intercept else None
        return dictionary if place is None else dictionary.given_by(place)

    def program(self, columns: Columns) -> ConvexProgram:
        """The convex program over these columns, on their device."""
        device = columns.device
        targets, weights = self.targets.to(device), self.weights.to(device)
        return ConvexProgram(columns, targets, self.loss, self.penalty, self.rho, weights, self.free_intercept)

    @cached_property
    def bare_program(self) -> ConvexProgram:
        """The program without any column, on the CPU."""
        return self.program(RealColumns(torch.zeros(0, len(self.targets), dtype=torch.float64)))

    def universal_certificate(self, hidden: Hidden, U: Tensor, primal: float) -> GlobalBound | None:
        """The bound over networks of any hidden weights, the better for a good U; None where there is none.

        There is none for some readouts, and for a penalty that is not above a norm.
        """
        if not isinstance(self.penalty, PenaltyAboveNorm):
            return None
        return universal_certificate(self.bare_program, self.groups, hidden, self.source.n_steps, U, primal)

    def objective(self, network: Network) -> float:
        """The objective of a network, by running it: F(f(x)) + rho * Omega(W), in float64."""
        if network.hidden.every_step != self.every_step:
            raise ValueError("network must be read at the steps of the problem's rows: its every_step is another")
        S = scores(network, self.source).to(self.targets.device)
        data = self.weights @ by_rows(lambda rows: self.loss.value(S[rows], self.targets[rows]), len(S))
        return float(data + self.rho * self.penalty.value(self.penalised(network)))

    def penalised(self, network: Network) -> Tensor:
        """The output weights (P_last, C) of a network as the penalty has them: zero where they are not penalised."""
        place = constant_place(network.hidden) if self.free_intercept else None
        return network.W if place is None else network.W.index_fill(0, torch.tensor([place]).to(network.W.device), 0.0)


# What does not depend on rho.
_OF_DATA = ("weights", "groups", "digests")


def _update(digest, *tensors: Tensor | None) -> None:
    """Feed the dtype, shape and bytes of tensors to a hash; None feeds the word "none"."""
    for tensor in tensors:
        if tensor is None:
            digest.update(b"none")
            continue
        array = tensor.detach().cpu().numpy()
        _update_array(digest, array, array.shape)


def _update_sequences(digest, sequences: SequenceSource) -> None:
    """Feed the same as `_update` of all values, as float64, and of the lengths."""
    shape: tuple[int, ...] | None = (len(sequences), sequences.n_steps, sequences.n_features)
    for chunk in sequences.in_numbers():
        _update_array(digest, chunk.values.to(torch.float64).cpu().numpy(), shape)
        shape = None
    _update(digest, sequences.lengths)


def _update_array(digest, array: np.ndarray, shape: tuple[int, ...] | None) -> None:
    """Feed dtype and `shape`, or nothing where it is None, and the bytes of an array."""
    if shape is not None:
        digest.update(f"{array.dtype.str}{shape}".encode())
    digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8))
