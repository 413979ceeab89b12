"""Targets in units of their own spread, and networks that answer in the units of the user all the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from convexsnn.checks import check_names, check_real
from convexsnn.network import Network
from convexsnn.witnesses import with_offset


@dataclass(frozen=True)
class TargetScale:
    """The unit of each of C outputs, and its zero: the program has targets (y - offset) / unit.

    Attributes
    ----------
    offset, unit : tuple of C floats
        The unit is positive.
    """

    offset: tuple[float, ...]
    unit: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.unit or len(self.offset) != len(self.unit):
            raise ValueError("offset and unit must have one number an output each")
        for offset, unit in zip(self.offset, self.unit, strict=True):
            check_real("offset", offset)
            check_real("unit", unit, 0.0, open_minimum=True)

    @classmethod
    def of(cls, values: np.ndarray, weights: np.ndarray, *, centred: bool) -> TargetScale:
        """The scale of targets.

        Parameters
        ----------
        values : float64 array of shape (rows, C)
        weights : float64 array of shape (rows,)
            The weights of the rows, at least 0 and not all zero.
        centred : bool
            Whether the zero is the weighted mean, and not that of the user.
        """
        shares = (weights / weights.sum())[:, None]
        mean = (shares * values).sum(axis=0)
        offset = mean if centred else np.zeros_like(mean)
        largest = np.maximum(np.abs(values - mean).max(axis=0), np.finfo(np.float64).tiny)
        deviation = largest * np.sqrt((shares * ((values - mean) / largest) ** 2).sum(axis=0))
        varies = deviation > 1e-12 * np.abs(values).max(axis=0)  # else what varies is rounding
        return cls(tuple(offset.tolist()), tuple(np.where(varies, deviation, 1.0).tolist()))

    def scaled(self, values: np.ndarray) -> Tensor:
        """Targets (rows, C), or (rows,) of one output, as the program has them: float64 of shape (rows, C).

        Raises
        ------
        ValueError
            When there are others than C outputs.
        """
        columns = values.reshape(len(values), -1)
        if columns.shape[1] != len(self.unit):
            raise ValueError(f"y has {columns.shape[1]} outputs, but y in fit has {len(self.unit)} outputs")
        return torch.from_numpy((columns - np.array(self.offset)) / np.array(self.unit))

    def unfolded(self, network: Network) -> Network:
        """The network of the program as one that answers in the units of the user."""
        unit = torch.tensor(self.unit, dtype=torch.float64, device=network.W.device)
        offset = torch.tensor(self.offset, dtype=torch.float64, device=network.W.device)
        in_units = replace(network, W=network.W * unit)
        return with_offset(in_units, offset) if bool(offset.any()) else in_units

    def to_dict(self) -> dict[str, list[float]]:
        """Both fields as JSON has them."""
        return {name: list(values) for name, values in asdict(self).items()}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> TargetScale:
        """Inverse of `to_dict`; ValueError or TypeError on anything else."""
        check_names("a scale of targets", fields, cls.__dataclass_fields__)
        return cls(**{name: tuple(values) for name, values in fields.items()})
