"""Several families in one dictionary."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Self

from convexsnn.checks import check_choice
from convexsnn.families.base import Run, SampledFamily, WitnessFamily, family, simulated
from convexsnn.families.search import Search
from convexsnn.network import Hidden
from convexsnn.problem import Problem
from convexsnn.training import ColumnSource
from convexsnn.witnesses import mix


@family
class Mixture(WitnessFamily):
    """Families joined by ``+``. Each samples neurons of its own, and a search may start from all of them.

    Attributes
    ----------
    parts : tuple of WitnessFamily
        The families in their order. Only the last may be a `Search`.
    """

    name: ClassVar[str] = "mixture"

    parts: tuple[WitnessFamily, ...]

    def __post_init__(self) -> None:
        if len(self.parts) < 2:
            raise ValueError("a mixture needs at least two families")
        for i, part in enumerate(self.parts):
            last = i == len(self.parts) - 1
            if isinstance(part, Search) and not last:
                raise ValueError("witnesses must name a search once and last, as in 'gaussian+search'")
            if isinstance(part, Search) and (part.standardise or part.delays != (0,)):
                raise ValueError("a search with standardise or delays must stand alone, and begin from nothing")
            if not isinstance(part, (SampledFamily, Search)):
                raise ValueError(f"witnesses={part.name!r} must stand alone, as it covers every neuron there is")
        # Families without such a setting are checked when their layers are there (`mix`).
        for name in ("readout", "dtype"):
            values = [getattr(part, name) for part in self.parts if hasattr(part, name)]  # others say when they sample
            if len(set(values)) > 1:
                raise ValueError(f"witnesses of one network must have the same {name}, got {values}")

    @property
    def searches(self) -> bool:  # type: ignore[override] - as its search does
        """Whether neurons are searched."""
        return isinstance(self.parts[-1], Search)

    @property
    def label_free(self) -> bool:  # type: ignore[override] - as its parts are
        """Whether no part looks at labels."""
        return all(part.label_free for part in self.parts)

    @property
    def batchwise(self) -> bool:  # type: ignore[override] - as its parts are
        """Whether no part looks at all sequences."""
        return all(part.batchwise for part in self.parts)

    @property
    def shared(self) -> bool:  # type: ignore[override] - as its parts are
        """Whether processes can share the work of every part."""
        return all(part.batchwise or part.shared for part in self.parts)

    @property
    def n_last(self) -> int:
        """P_last in rho = beta / sqrt(P_last): that of the search, or the neurons of all parts."""
        *_, last = self.parts
        return last.n_last if isinstance(last, Search) else sum(part.n_last for part in self.parts)

    @property
    def n_at_once(self) -> int:
        """See `WitnessFamily`."""
        return max(part.n_at_once for part in self.parts)

    def n_last_of(self, witnesses: Hidden) -> int:
        """See `WitnessFamily`."""
        *_, last = self.parts
        return last.n_last_of(witnesses) if isinstance(last, Search) else witnesses.n_last

    @property
    def given(self) -> tuple[Hidden, ...]:
        """The hidden layers that all parts hold as settings, in the order of the parts."""
        return tuple(layers for part in self.parts for layers in part.given)

    def check(self, *, every_step: bool, device: str = "cpu") -> None:
        """See `WitnessFamily`."""
        for part in self.parts:
            part.check(every_step=every_step, device=device)

    def columns(self, problem: Problem, run: Run) -> ColumnSource:
        """See `WitnessFamily`."""
        generator = run.generator
        sampled = [part.sample(problem, run, generator) for part in self.parts if isinstance(part, SampledFamily)]
        hidden, last = mix(*sampled), self.parts[-1]
        if isinstance(last, Search):
            return last.columns_after(hidden, problem, run)
        return simulated(hidden, problem, run)

    # Settings are those of the parts, under their names: witnesses__gaussian__depth.

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parts by name, and with `deep` their settings."""
        named = dict(zip(self._names(), self.parts, strict=True))
        if not deep:
            return {"parts": self.parts}
        own = {f"{name}__{key}": value for name, part in named.items() for key, value in part.get_params().items()}
        return {"parts": self.parts} | named | own

    def with_params(self, **changes: Any) -> Self:
        """The same families with some settings changed, as in ``gaussian__depth=3``; a part before its settings."""
        if "parts" in changes:
            return replace(self, parts=tuple(changes.pop("parts"))).with_params(**changes)
        parts = dict(zip(self._names(), self.parts, strict=True))
        for name in sorted(changes, key=lambda name: "__" in name):
            part, _, setting = name.partition("__")
            check_choice("parts of witnesses", part, parts)
            parts[part] = parts[part].with_params(**{setting: changes[name]}) if setting else changes[name]
        return replace(self, parts=tuple(parts.values()))

    def to_dict(self) -> dict[str, Any]:
        """See `WitnessFamily`."""
        return {"family": self.name, "parts": [part.to_dict() for part in self.parts]}

    def __repr__(self) -> str:
        return " + ".join(map(repr, self.parts))

    def _names(self) -> list[str]:
        """The name of each part, with a number where several have one name."""
        names = [part.name for part in self.parts]
        return [n if names.count(n) == 1 else f"{n}_{names[:i].count(n) + 1}" for i, n in enumerate(names)]


def joined(first: WitnessFamily | Hidden | str, second: WitnessFamily | Hidden | str) -> Mixture:
    """Two families, or mixtures of several, as one."""
    from convexsnn.families.table import family_of

    flat: list[WitnessFamily] = []
    for part in map(family_of, (first, second)):
        flat += part.parts if isinstance(part, Mixture) else [part]
    return Mixture(parts=tuple(flat))
