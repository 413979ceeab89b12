"""scikit-learn estimators."""

from convexsnn.estimators.averaging import average
from convexsnn.estimators.base import SpikingEstimator
from convexsnn.estimators.classifier import SpikingClassifier
from convexsnn.estimators.regressor import SpikingRegressor
from convexsnn.estimators.transformer import SpikingTransformer

Estimator = SpikingClassifier | SpikingRegressor

__all__ = ["Estimator", "SpikingClassifier", "SpikingEstimator", "SpikingRegressor", "SpikingTransformer", "average"]
