"""The cost of inference as a picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sklearn.utils.validation import check_is_fitted

from convexsnn.cost import Cost, inference_cost
from convexsnn.display.axes import axes_for
from convexsnn.estimators import Estimator


@dataclass(eq=False)
class CostDisplay:
    """Bars of what an inference costs, in NeuroBench's terms (`convexsnn.cost`).

    Parameters
    ----------
    cost : Cost

    Attributes
    ----------
    bars_ : matplotlib BarContainer
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    """

    cost: Cost
    bars_: Any = field(init=False, repr=False)
    ax_: Any = field(init=False, repr=False)
    figure_: Any = field(init=False, repr=False)

    @classmethod
    def from_estimator(cls, estimator: Estimator, X: Any, *, ax: Any = None) -> CostDisplay:
        """Run the trained network on `X`, count, and plot."""
        check_is_fitted(estimator)
        return cls(inference_cost(estimator.network_, estimator.sequences(X))).plot(ax)

    @property
    def values(self) -> dict[str, float]:
        """What is drawn, by name; per inference."""
        cost = self.cost
        return {
            "operations if none were skipped": cost.dense_operations,
            "multiply-accumulates": cost.effective_macs,
            "accumulates": cost.effective_acs,
            "spikes": cost.spikes_per_inference,
        }

    def plot(self, ax: Any = None) -> CostDisplay:
        """Draw on `ax`, or in a new figure. Raises ImportError without matplotlib."""
        self.ax_ = axes_for("CostDisplay", ax, figsize=(6.4, 2.4))
        self.figure_ = self.ax_.figure
        values = self.values
        self.bars_ = self.ax_.barh(list(values), list(values.values()), color=["C7", "C1", "C0", "C2"])
        self.ax_.bar_label(self.bars_, labels=[f"{value:,.0f}" for value in values.values()], padding=3)
        self.ax_.set_xscale("symlog", linthresh=1)
        self.ax_.margins(x=0.2)
        self.ax_.invert_yaxis()
        self.ax_.set_xlabel("per inference")
        return self
