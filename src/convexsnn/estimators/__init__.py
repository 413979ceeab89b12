"""scikit-learn estimators."""

from convexsnn.estimators.base import SpikingEstimator
from convexsnn.estimators.classifier import SpikingClassifier
from convexsnn.estimators.regressor import SpikingRegressor

__all__ = ["SpikingClassifier", "SpikingEstimator", "SpikingRegressor"]
