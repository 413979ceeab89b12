"""What was proved, as a picture: the objective beside its lower bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from convexsnn.certificate import Certificate
from convexsnn.display.axes import axes_for
from convexsnn.estimators import Estimator


@dataclass(eq=False)
class CertificateDisplay:
    """Bars of the objective and of its lower bounds: over the family, over readouts, over networks of any kind.

    Parameters
    ----------
    certificate : Certificate

    Attributes
    ----------
    bars_ : matplotlib BarContainer
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    """

    certificate: Certificate
    bars_: Any = field(init=False, repr=False)
    ax_: Any = field(init=False, repr=False)
    figure_: Any = field(init=False, repr=False)

    @classmethod
    def from_estimator(cls, estimator: Estimator, *, ax: Any = None) -> CertificateDisplay:
        """Plot `estimator.certificate_`."""
        return cls(estimator.certificate_).plot(ax)

    @property
    def values(self) -> dict[str, float]:
        """The finite numbers that are drawn, by name."""
        certificate = self.certificate
        values = {"objective": certificate.primal}
        if certificate.family_bound is not None:
            values["lower bound, networks of its family"] = certificate.family_bound.value
        if certificate.scope != "global":
            values["lower bound, readouts of its neurons"] = certificate.dual
        if certificate.global_bound is not None:
            values["lower bound, networks of any kind"] = certificate.global_bound.value
        return {name: value for name, value in values.items() if math.isfinite(value)}

    def plot(self, ax: Any = None) -> CertificateDisplay:
        """Draw on `ax`, or in a new figure. Raises ImportError without matplotlib."""
        self.ax_ = axes_for("CertificateDisplay", ax, figsize=(6.4, 2.2))
        self.figure_ = self.ax_.figure
        values = self.values
        self.bars_ = self.ax_.barh(list(values), list(values.values()), color=["C0", "C1", "C2", "C3"][: len(values)])
        self.ax_.bar_label(self.bars_, labels=[f"{value:.6g}" for value in values.values()], padding=3)
        self.ax_.margins(x=0.25)  # room for the numbers
        self.ax_.locator_params(axis="x", nbins=5)
        self.ax_.invert_yaxis()
        self.ax_.set_xlabel("training objective")
        return self
