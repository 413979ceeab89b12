"""The networks that a bound speaks of: what is fixed and what is free."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from convexsnn.checks import check_choice
from convexsnn.network import Branch, Hidden, Layer
from convexsnn.neurons import LIF, Threshold, lif
from convexsnn.readouts import Membrane, Readout, Spike, as_readout
from convexsnn.witnesses import Architecture
from convexsnn.witnesses.constant import with_constant, without_constant


@dataclass(frozen=True)
class Unit:
    """One kind of last-layer neuron; its incoming weights (and biases) are free.

    Attributes
    ----------
    neuron : {"lif", "threshold"}
    reset : str
        Of LIF neurons.
    leak, threshold : float
        Of LIF neurons. Only the sign of the threshold matters, as incoming weights can be scaled.
    bias : bool
        A free bias.
    self_recurrent : bool
        A free weight from its own spike one step before.
    readout_bias : bool
        A free readout bias, where the membrane is read.
    """

    neuron: str = "lif"
    reset: str = "soft"
    leak: float = 0.9
    threshold: float = 1.0
    bias: bool = False
    self_recurrent: bool = False
    readout_bias: bool = False

    def __post_init__(self) -> None:
        check_choice("neuron", self.neuron, ("lif", "threshold"))
        check_choice("reset", self.reset, ("soft", "hard", "none", "delayed"))

    @property
    def memoryless(self) -> bool:
        """Whether it sees the present step alone."""
        return self.neuron == "threshold" and not self.self_recurrent

    @classmethod
    def of(cls, branch: Branch, index: int, readout: Readout) -> Unit:
        """Neuron number `index` of a branch's last layer."""
        layer, biased = branch.last, branch.readout_bias is not None and readout.biased
        known = {"bias": layer.bias is not None, "self_recurrent": layer.recurrent is not None}
        match layer.neuron:
            case LIF() as lifs:
                leak, threshold = float(lifs.leak[index]), float(lifs.threshold[index])
                return cls("lif", lifs.reset, leak, threshold, readout_bias=biased, **known)
            case Threshold():
                return cls("threshold", "none", 0.0, 0.0, readout_bias=biased, **known)
            case other:
                raise ValueError(f"no family of networks with neurons of kind {other.name!r} is known, to be bounded")

    def branch(self, p: torch.Tensor, n_features: int, dtype: torch.dtype) -> Branch:
        """A branch of one such neuron from its parameters p = [w, recurrent weight, bias, threshold, readout bias].

        Parameters that the unit does not have are left out of `p`; of the threshold the sign and size in `p` are
        scaled to the unit's own.
        """
        rest = list(p[n_features:])
        recurrent = rest.pop(0) if self.self_recurrent else None
        bias = rest.pop(0) if self.bias else None
        scale = 1.0 if not self.has_threshold else abs(self.threshold) / float(rest.pop(0))
        read = rest.pop(0) if self.readout_bias else None
        kind = Threshold() if self.neuron == "threshold" else lif(1, self.leak, self.threshold, self.reset, dtype)  # type: ignore[arg-type]
        shaped = lambda value, *shape: None if value is None else (value * scale).to(dtype).reshape(shape)  # noqa: E731
        weight = (p[:n_features, None] * scale).to(dtype)
        return Branch((Layer(weight, kind, shaped(recurrent, 1, 1), shaped(bias, 1)),), shaped(read, 1))

    @property
    def has_threshold(self) -> bool:
        """Whether a threshold other than 0 sets the scale of the weights."""
        return self.neuron == "lif" and self.threshold != 0.0

    @property
    def reset_at_first(self) -> bool:
        """Whether the first step is after a reset: the membrane of the start, 0, is above a negative threshold."""
        return self.neuron == "lif" and self.reset == "delayed" and self.threshold < 0.0

    def __str__(self) -> str:
        if self.neuron == "threshold":
            name = "threshold units"
        else:
            sign = "positive" if self.threshold > 0 else "negative" if self.threshold < 0 else "zero"
            name = f"LIF neurons of leak {self.leak:g}, {self.reset} reset and {sign} threshold"
        extras = [word for word, has in (("bias", self.bias), ("readout bias", self.readout_bias)) if has]
        recurrence = " each with a weight from its own last spike," if self.self_recurrent else ""
        return f"{name},{recurrence} {'with ' + ' and '.join(extras) if extras else 'without bias'}"


@dataclass(frozen=True)
class Family:
    """Networks of any number of branches whose last-layer neurons are of the given kinds, all weights free.

    Attributes
    ----------
    n_features : int
        d.
    units : tuple of Unit
        Kinds of last-layer neurons.
    layers : int
        Most hidden layers of a branch.
    lateral : bool
        Whether neurons of a layer feed one another.
    readout : Readout
        Or the name of a kind, such as "spike".
    every_step : bool
    constant : bool
        Whether there is an always-firing neuron beside (an intercept).
    """

    n_features: int
    units: tuple[Unit, ...]
    layers: int = 1
    lateral: bool = False
    readout: Readout = field(default_factory=Spike)
    every_step: bool = False
    constant: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "readout", as_readout(self.readout))

    @classmethod
    def of(cls, hidden: Hidden, *, intercept: bool = False) -> Family:
        """The family of a network; with `intercept` its last branch is the always-firing neuron."""
        hidden = without_constant(hidden) if intercept else hidden
        kinds = {Unit.of(b, j, hidden.readout): None for b in hidden.branches for j in range(b.last.m)}
        return cls(
            hidden.n_features,
            tuple(kinds),
            max((len(branch.layers) for branch in hidden.branches), default=1),
            any(layer.recurrent is not None and layer.m > 1 for layer in hidden.layers()),
            hidden.readout,
            hidden.every_step,
            intercept,
        )

    @classmethod
    def of_architecture(cls, architecture: Architecture, *, intercept: bool = False) -> Family:
        """The family of all networks of this shape, with any number of branches."""
        a = architecture
        lif_only = (a.reset, a.leak, a.threshold) if a.neuron == "lif" else ("none", 0.0, 0.0)
        unit = Unit(a.neuron, *lif_only, a.bias, a.recurrent)
        wide = max(max(a.layer_sizes(k)) for k in range(a.branches)) > 1
        return cls(a.n_features, (unit,), a.depth - 1, a.recurrent and wide, a.read_by, a.every_step, intercept)

    def simplest(self, dtype: torch.dtype = torch.float64) -> Hidden:
        """One neuron of each kind, with zero weights, and the always-firing one: `of` gives the family back."""
        zeros = torch.zeros(self.n_features + 5, dtype=dtype)
        branches = []
        for unit in self.units:
            p = zeros.clone()
            if unit.has_threshold:
                p[self.n_features + unit.self_recurrent + unit.bias] = 1.0
            branches.append(unit.branch(p, self.n_features, dtype))
        hidden = Hidden(self.n_features, tuple(branches), self.readout, self.every_step, dtype)
        return with_constant(hidden) if self.constant else hidden

    def check_enumerable(self) -> None:
        """Raise ValueError where patterns of the family are not those of single neurons on the input."""
        reasons = {
            "has more than one hidden layer": self.layers > 1,
            "has layers whose neurons feed one another (give each recurrent neuron a branch of its own)": self.lateral,
            f"has the {self.readout} readout": not isinstance(self.readout, Spike | Membrane),
        }
        for reason, applies in reasons.items():
            if applies:
                raise ValueError(
                    f"family must be one of single neurons on the input; it {reason}: only the universal "
                    "bound, which every fit has, covers it"
                )

    def __str__(self) -> str:
        layers = "one hidden layer" if self.layers == 1 else f"up to {self.layers} hidden layers"
        lateral = " with lateral recurrence" if self.lateral else ""
        rows = "at every step" if self.every_step else "at the last step"
        constant = ", and an always-firing neuron" if self.constant else ""
        kinds = "; or ".join(map(str, self.units))
        return (
            f"networks of any number of branches of {layers}{lateral} of {kinds}; weights unrestricted, "
            f"{self.readout} readout {rows}{constant}"
        )
