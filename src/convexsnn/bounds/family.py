"""The networks that a bound speaks of: what is fixed and what is free."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, assert_never, get_args

import torch
from torch import Tensor

from convexsnn.checks import check_choice, check_integer, check_real
from convexsnn.network import Branch, Hidden, Layer, without_delays
from convexsnn.neurons import LIF, RESETS, Neuron, Reset, Threshold
from convexsnn.readouts import Membrane, Readout, Spike, as_readout
from convexsnn.witnesses import Architecture
from convexsnn.witnesses.constant import with_constant, without_constant

UnitKind = Literal["lif", "threshold"]
# Neurons of a first layer below the last one: what they can do together is counted by tuples of their spike trains.
WIDEST = 3


@dataclass(frozen=True)
class Unit:
    """One kind of last-layer neuron; its incoming weights (and biases) are free.

    Attributes
    ----------
    neuron : {"lif", "threshold"}
    reset : {"soft", "hard", "none", "delayed"}
        "none" of threshold units.
    leak : float
        In [0, 1]; 0 of threshold units.
    leak_to : float, optional
        Where it is given, every neuron has a leak of its own, any from `leak` to this one.
    threshold : float
        0 of threshold units. Of LIF neurons only its sign says which patterns there are, as incoming weights can be
        scaled.
    bias : bool
        A free bias.
    self_recurrent : bool
        A free weight from its own spike one step before.
    readout_bias : bool
        A free readout bias, where the membrane is read.

    Raises
    ------
    ValueError
        For a kind of neuron or reset that is not known, and for settings that the kind does not have.
    """

    neuron: UnitKind = "lif"
    reset: Reset = "soft"
    leak: float = 0.9
    threshold: float = 1.0
    bias: bool = False
    self_recurrent: bool = False
    readout_bias: bool = False
    leak_to: float | None = None

    def __post_init__(self) -> None:
        check_choice("neuron", self.neuron, get_args(UnitKind))
        check_choice("reset", self.reset, RESETS)
        _ = self.after_spike  # refuses a reset of which it does not know
        check_real("leak", self.leak, 0.0, 1.0)
        check_real("threshold", self.threshold)
        if self.leak_to is not None:
            check_real("leak_to", self.leak_to, self.leak, 1.0)
        if self.neuron == "threshold" and (self.reset, self.leak, self.threshold) != ("none", 0.0, 0.0):
            raise ValueError(
                f"a threshold unit has no reset, leak and threshold: they must be 'none', 0.0 and 0.0, got "
                f"{self.reset!r}, {self.leak!r} and {self.threshold!r}"
            )

    @classmethod
    def of(cls, branch: Branch, index: int, readout: Readout) -> Unit:
        """Neuron number `index` of a branch's last layer.

        Raises
        ------
        ValueError
            For a kind of neuron that bounds do not know, and for delays.
        """
        for own in branch.layers:
            without_delays(own, "a bound over networks")
        layer, biased = branch.last, branch.readout_bias is not None and readout.biased
        known = {"bias": layer.bias is not None, "self_recurrent": layer.recurrent is not None, "readout_bias": biased}
        match layer.neuron:
            case LIF(leak=leak, threshold=threshold, reset=reset):
                return cls("lif", reset, float(leak[index]), float(threshold[index]), **known)
            case Threshold():
                return cls("threshold", "none", 0.0, 0.0, **known)
            case other:
                raise ValueError(
                    f"there are no bounds over neurons of kind {other.name!r}: 'lif' and 'threshold' have some"
                )

    @property
    def memoryless(self) -> bool:
        """Whether a neuron sees the present step alone."""
        return self.neuron == "threshold" and not self.self_recurrent

    @property
    def has_threshold(self) -> bool:
        """Whether a threshold other than 0 sets the scale of the weights."""
        return self.threshold != 0.0

    @property
    def threshold_sign(self) -> int:
        """-1, 0 or 1."""
        return (self.threshold > 0.0) - (self.threshold < 0.0)

    @property
    def after_spike(self) -> Literal["keep", "subtract", "zero"]:
        """What becomes of the membrane at once when the neuron fires: nothing, less the threshold, or zero."""
        match self.reset:
            case "none" | "delayed":
                return "keep"
            case "soft":
                return "subtract"
            case "hard":
                return "zero"
            case _:
                assert_never(self.reset)

    @property
    def reset_at_first(self) -> bool:
        """Whether the first step is after a reset: the membrane of the start, 0, is above a negative threshold."""
        return self.reset == "delayed" and self.threshold < 0.0

    def branch(self, p: Tensor, n_features: int, dtype: torch.dtype) -> Branch:
        """A branch of m such neurons from their parameters p = [w, recurrent weight, bias, threshold, readout bias].

        Parameters
        ----------
        p : float tensor of shape (r, m)
            Parameters that the unit does not have are left out. Of the threshold the size is given, and all is scaled
            so that it becomes the unit's own. Where leaks are free, they are one more row, the last.
        n_features : int
        dtype : torch.dtype
        """
        rest = list(p[n_features:])
        leaks = torch.full_like(p[0], self.leak) if self.leak_to is None else rest.pop()
        recurrent = rest.pop(0) if self.self_recurrent else None
        bias = rest.pop(0) if self.bias else None
        scale = abs(self.threshold) / rest.pop(0) if self.has_threshold else torch.ones_like(p[0])
        read = rest.pop(0) if self.readout_bias else None
        scaled = lambda values: None if values is None else (values * scale).to(dtype)  # noqa: E731
        own = None if recurrent is None else torch.diag((recurrent * scale).to(dtype))
        neuron = self.neurons(leaks.to(dtype))
        return Branch((Layer((p[:n_features] * scale).to(dtype), neuron, own, scaled(bias)),), scaled(read))

    def neurons(self, leaks: Tensor) -> Neuron:
        """Neurons of these leaks (m,)."""
        match self.neuron:
            case "lif":
                return LIF(leaks, torch.full_like(leaks, self.threshold), self.reset)
            case "threshold":
                return Threshold()

    def __str__(self) -> str:
        name = "threshold units"
        if self.neuron == "lif":
            leak, threshold = float(self.leak) + 0.0, float(self.threshold) + 0.0  # -0.0 is 0.0
            to = "" if self.leak_to is None else f" to {float(self.leak_to)!r}, each its own"
            name = f"LIF neurons of leak {leak!r}{to}, threshold {threshold!r} and {self.reset} reset"
        extras = [word for word, has in (("bias", self.bias), ("readout bias", self.readout_bias)) if has]
        recurrence = ", each with a weight from its own last spike," if self.self_recurrent else ""
        return f"{name}{recurrence} {'with ' + ' and '.join(extras) if extras else 'without bias'}"


@dataclass(frozen=True)
class FirstLayer:
    """A first hidden layer of few neurons, which the last-layer neurons of its branch read.

    Attributes
    ----------
    unit : Unit
        Of a fixed leak, without a weight from its own last spike.
    width : int
        At most so many neurons, 1 to 3.
    """

    unit: Unit
    width: int

    def __post_init__(self) -> None:
        check_integer("width", self.width)
        if self.width > WIDEST:
            raise ValueError(f"width must be at most {WIDEST}, got {self.width}")
        if self.unit.leak_to is not None or self.unit.self_recurrent or self.unit.readout_bias:
            raise ValueError("unit must be of neurons of a fixed leak, without recurrent weight and readout bias")

    @classmethod
    def of(cls, hidden: Hidden) -> FirstLayer | None:
        """That of a network; None where a branch has not two layers, or where the first layers are of another kind."""
        layers = [branch.layers[0] for branch in hidden.branches]
        if not layers or any(len(branch.layers) != 2 for branch in hidden.branches):
            return None
        width, kinds = max(layer.m for layer in layers), set[Unit]()
        if width > WIDEST or any(layer.recurrent is not None for layer in layers):
            return None
        for layer in layers:
            kinds |= {Unit.of(Branch((layer,)), j, hidden.readout) for j in range(layer.m)}
        return cls(kinds.pop(), width) if len(kinds) == 1 else None

    def __str__(self) -> str:
        return f"the first of at most {self.width} {self.unit}"


@dataclass(frozen=True)
class NetworkFamily:
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
    below : FirstLayer, optional
        Of two layers, the first one where it has few neurons. Each branch has one of its own.
    """

    n_features: int
    units: tuple[Unit, ...]
    layers: int = 1
    lateral: bool = False
    readout: Readout = field(default_factory=Spike)
    every_step: bool = False
    constant: bool = False
    below: FirstLayer | None = None

    def __post_init__(self) -> None:
        check_integer("n_features", self.n_features)
        check_integer("layers", self.layers)
        if self.below is not None and self.layers != 2:
            raise ValueError(f"layers must be 2 where a first layer lies below the last one, got {self.layers}")
        object.__setattr__(self, "readout", as_readout(self.readout))

    @classmethod
    def of(cls, hidden: Hidden, *, intercept: bool = False) -> NetworkFamily:
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
            FirstLayer.of(hidden),
        )

    @classmethod
    def of_architecture(cls, architecture: Architecture, *, intercept: bool = False) -> NetworkFamily:
        """The family of all networks of this shape, with any number of branches."""
        a = architecture
        match a.neuron:
            case "lif":
                unit = Unit("lif", a.reset, a.leak, a.threshold, a.bias, a.recurrent)
            case "threshold":
                unit = Unit("threshold", "none", 0.0, 0.0, a.bias, a.recurrent)
            case other:
                raise ValueError(f"there are no bounds over neurons of kind {other!r}: 'lif' and 'threshold' have some")
        wide = max(max(a.layer_sizes(k)) for k in range(a.branches)) > 1
        return cls(a.n_features, (unit,), a.depth - 1, a.recurrent and wide, a.read_by, a.every_step, intercept)

    def with_leaks(self, low: float, high: float) -> NetworkFamily:
        """The same networks with any leaks from `low` to `high`, each neuron its own.

        Raises
        ------
        ValueError
            When the family has a LIF neuron with a leak outside the range, which it would no longer cover.
        """
        check_real("leaks[0]", low, 0.0, 1.0)
        check_real("leaks[1]", high, low, 1.0)
        if self.layers > 1:
            raise ValueError("leaks are free in families of one hidden layer only: leave leaks out")
        for unit in self.units:
            if unit.neuron == "lif" and not low <= unit.leak <= high:
                raise ValueError(
                    f"leaks must include those of the neurons: {unit.leak!r} is not in [{low!r}, {high!r}]"
                )
        low, high = float(low), float(high)
        to = high if high > low else None
        free = (replace(unit, leak=low, leak_to=to) if unit.neuron == "lif" else unit for unit in self.units)
        return replace(self, units=tuple(dict.fromkeys(free)))

    @property
    def leaks(self) -> tuple[float, float] | None:
        """The range of the neurons' leaks, where they are free; None where each kind has a leak of its own."""
        free = [(unit.leak, unit.leak_to) for unit in self.units if unit.leak_to is not None]
        return (min(low for low, _ in free), max(high for _, high in free)) if free else None

    @property
    def inputs(self) -> int:
        """What last-layer neurons read: the features, or the spikes of the first layer."""
        return self.n_features if self.below is None else self.below.width

    def simplest(self, dtype: torch.dtype = torch.float64) -> Hidden:
        """One neuron of each kind, with zero weights, and the always-firing one: `of` gives fixed leaks back."""
        branches = tuple(_zero_neurons(unit, self.inputs, 1, dtype) for unit in self.units)
        if self.below is not None:
            first = _zero_neurons(self.below.unit, self.n_features, self.below.width, dtype)
            branches = tuple(replace(branch, layers=first.layers + branch.layers) for branch in branches)
        hidden = Hidden(self.n_features, branches, self.readout, self.every_step, dtype)
        return with_constant(hidden) if self.constant else hidden

    @property
    def reads_membrane(self) -> bool:
        """Whether the sign of the membrane after reset is read, and not the spike.

        Raises
        ------
        ValueError
            For a readout whose columns are no 0/1 patterns.
        """
        match self.readout:
            case Spike():
                return False
            case Membrane():
                return True
            case other:
                raise ValueError(f"the columns of readout {other.name!r} are not 0/1 patterns of known neurons")

    def check_enumerable(self) -> None:
        """Raise ValueError where patterns of the family are not those of single neurons on the input."""
        if self.below is not None:
            raise ValueError("the patterns of two layers are not listed: bound them by the method 'pricing'")
        self.check_priceable()

    def check_priceable(self) -> None:
        """Raise ValueError where patterns are those neither of single neurons nor of few neurons below them."""
        reasons = {
            f"has more than one hidden layer (of two, the first may have {WIDEST} neurons at most a branch, all of "
            "one kind and without recurrent weights)": self.layers > 1 and self.below is None,
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
        layers = "one hidden layer" if self.layers == 1 else f"at most {self.layers} hidden layers"
        layers = layers if self.below is None else f"two hidden layers, {self.below}, the last"
        lateral = "any" if self.lateral else "no"
        rows = "at every step" if self.every_step else "at the last step"
        constant = ", and an always-firing neuron" if self.constant else ""
        kinds = "; or ".join(map(str, self.units))
        return (
            f"networks on {self.n_features} features, of any number of branches of {layers} of {kinds}; with {lateral} "
            f"weights from one neuron of a layer to another; all weights are any real numbers; {self.readout} readout "
            f"{rows}{constant}"
        )


def _zero_neurons(unit: Unit, inputs: int, m: int, dtype: torch.dtype) -> Branch:
    p = torch.zeros(inputs + 5, m, dtype=dtype)
    if unit.has_threshold:
        p[inputs + unit.self_recurrent + unit.bias] = 1.0
    if unit.leak_to is not None:
        p[-1] = unit.leak
    return unit.branch(p, inputs, dtype)
