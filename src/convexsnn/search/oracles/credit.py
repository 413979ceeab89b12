"""Which oracle pays: effort is shared by what each has lowered the objective."""

from __future__ import annotations

from dataclasses import dataclass, replace

# Every oracle keeps this share of an even part of the effort, so that one that begins to pay is noticed.
LEAST_SHARE = 0.25
# Weight of the newest round in the running mean.
NEWEST = 0.5


@dataclass(frozen=True)
class Credit:
    """Running means of each oracle's gain for each branch simulated.

    Attributes
    ----------
    rates : dict of str to float
    """

    rates: dict[str, float]

    @classmethod
    def equal(cls, names: tuple[str, ...]) -> Credit:
        """Nothing is known yet."""
        return cls(dict.fromkeys(names, 0.0))

    def shares(self, names: list[str]) -> dict[str, float]:
        """Shares of the effort of those oracles that apply; they sum to one."""
        even, total = 1.0 / len(names), sum(self.rates[name] for name in names)
        paid = {name: self.rates[name] / total if total > 0.0 else even for name in names}
        return {name: LEAST_SHARE * even + (1.0 - LEAST_SHARE) * paid[name] for name in names}

    def after(self, gains: dict[str, float], simulated: dict[str, int]) -> Credit:
        """With a round's gains of the oracles that took part."""
        rates = dict(self.rates)
        for name, count in simulated.items():
            rates[name] += NEWEST * (gains.get(name, 0.0) / max(1, count) - rates[name])
        return replace(self, rates=rates)
