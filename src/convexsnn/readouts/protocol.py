"""What a readout is: the vocabulary of every file in this folder (theory.md sections 1 and 7).

A readout says what the output weights see of each neuron of a branch's last layer: one column a neuron, or several
(`parts`). A kind is a frozen dataclass that derives from `Readout`; its fields are settings, as JSON has them. It may
look at the last step alone (`read`), or carry tensors over time, one value a neuron, which it makes at the start and
changes at every step (`start`, `update`); `over_time.py` has what such kinds share. And it says of what kind its
columns are: 0/1 bits or real numbers, and the box in which they lie, from which alone a bound over all networks can be
had.

To add a kind: a file in this folder, and an entry in `READOUTS`. The simulator, the dictionary, training, certificates,
files, costs and predictions then take it, and with `kappa` the search. What knows how a readout is computed, such as
exports and the bounds by enumeration, takes the kinds it names and refuses others by name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

Accumulated = tuple[Tensor, ...]
"""What a readout carries over time: float tensors of shape (n, m), or (n, m, ...), as many as it likes."""

Box = tuple[float, float]
"""The smallest and the largest entry that a column may have, whatever the network and the input."""


class LastLayer(NamedTuple):
    """What a readout may look at after a step.

    Attributes
    ----------
    spikes : float tensor of shape (n, m)
        0 or 1, of this step.
    membrane : float tensor of shape (n, m)
        The membrane potentials after the reset.
    accumulated : Accumulated
        Up to this step and with it (in `update`: without it).
    steps : int64 tensor of shape (n, 1)
        Steps that each sequence has seen, this one with it.
    bias : float tensor of shape (m,), optional
        The branch's readout_bias.
    """

    spikes: Tensor
    membrane: Tensor
    accumulated: Accumulated
    steps: Tensor
    bias: Tensor | None


class Reading(NamedTuple):
    """What was read.

    Attributes
    ----------
    features : tensor of shape (n, m * parts)
        The parts of the first neuron, then those of the second, and so on. bool where the columns are bits, else float.
    margin : float tensor of shape (), optional
        The smallest distance of what the readout itself compared with a threshold; None where it compares nothing.
    """

    features: Tensor
    margin: Tensor | None = None


@dataclass(frozen=True)
class Readout(ABC):
    """What the output weights see of the last layers; see the module."""

    name: ClassVar[str]
    """Of the kind, in files, messages and `READOUTS`."""
    bits: ClassVar[bool]
    """Whether its columns are 0/1 patterns, kept at one bit an entry."""
    biased: ClassVar[bool] = False
    """Whether it looks at the branch's readout_bias."""

    @property
    def parts(self) -> int:
        """Columns that each neuron gives."""
        return 1

    @abstractmethod
    def box(self, steps: int, dtype: torch.dtype) -> Box | None:
        """Where the entries of its columns lie, for every network of `dtype` and every input of 1 to `steps` steps.

        None where nothing bounds them.
        """

    def cap(self, steps: int, dtype: torch.dtype) -> float | None:
        """The largest entry, where all entries are at least 0, and one may be more; else None. See `box`."""
        box = self.box(steps, dtype)
        return None if box is None or box[0] < 0.0 or box[1] <= 0.0 else box[1]

    def start(self, zeros: Tensor) -> Accumulated:  # noqa: ARG002 - most carry nothing
        """What is carried before the first step; `zeros` has shape (n, m), and the network's dtype and device."""
        return ()

    def update(self, last: LastLayer) -> Accumulated:
        """What is carried on after a step; `last` has this step's spikes, and what was carried up to the one before."""
        return last.accumulated

    def after(self, spikes: Tensor, lengths: Tensor) -> Accumulated | None:  # noqa: ARG002
        """What `update` has accumulated at the end of each sequence, for those who have the spikes of all steps.

        Parameters
        ----------
        spikes : bool tensor of shape (n, T, m)
            False beyond the end of a sequence.
        lengths : int64 tensor of shape (n,)

        Returns
        -------
        Accumulated, or None
            To the last bit that of `update`; None where it has to be made step by step.
        """
        return None if self.start(torch.zeros(0, 1)) else ()

    def kappa(self, reads: Sequence[int]) -> Tensor | None:  # noqa: ARG002
        """What a spike counts in a column, where columns are sums of spikes with weights (theory.md section 7).

        Parameters
        ----------
        reads : sequence of int
            After how many steps it is read, at least 1 each.

        Returns
        -------
        float64 tensor of shape (len(reads), max(reads), parts), or None
            Entry (i, t, j) belongs to a spike at step t, where part j is read after `reads[i]` steps; zero beyond
            these. None where a column is no such sum.
        """
        return None

    @abstractmethod
    def read(self, last: LastLayer) -> Reading:
        """The features at a step that is read."""

    def describe(self) -> str | dict[str, Any]:
        """As JSON has it: the name, or where there are settings a mapping with them; `as_readout` is the inverse."""
        settings = asdict(self)
        return {"kind": self.name} | settings if settings else self.name

    def __str__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in asdict(self).items())
        return f"{self.name}({settings})" if settings else self.name
