"""Pictures of a fitted network, as scikit-learn's displays: `from_estimator(...)`, `.plot(ax=)`, `.ax_`, `.figure_`."""

from convexsnn.display.bounds import BoundsDisplay
from convexsnn.display.certificate import CertificateDisplay
from convexsnn.display.columns import ColumnsDisplay
from convexsnn.display.confusion import ConfusionDisplay
from convexsnn.display.cost import CostDisplay
from convexsnn.display.raster import RasterDisplay
from convexsnn.display.weights import WeightsDisplay

__all__ = [
    "BoundsDisplay",
    "CertificateDisplay",
    "ColumnsDisplay",
    "ConfusionDisplay",
    "CostDisplay",
    "RasterDisplay",
    "WeightsDisplay",
]
