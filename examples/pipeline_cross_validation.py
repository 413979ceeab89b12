"""
A pipeline with cross-validation
================================

The estimators are scikit-learn's: they go into pipelines, grid searches and cross-validation. Small digits are shown
row by row; the penalty is chosen by a grid search, whose score is cross-validated in turn.

python examples/pipeline_cross_validation.py
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler

from convexsnn import Heterogeneous, SpikingClassifier
from convexsnn.display import ColumnsDisplay, ConfusionDisplay


def as_rows(X):
    """Images of 64 pixels as sequences of 8 steps of 8 pixels."""
    return X.reshape(-1, 8, 8)


def main(n=900, last=512, folds=3):
    """Search, cross-validate, draw; returns the fitted search and the cross-validated accuracies."""
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X[:n], y[:n], test_size=0.25, stratify=y[:n], random_state=0)
    model = SpikingClassifier(witnesses=Heterogeneous(depth=2, last=last), random_state=0)
    pipeline = make_pipeline(MinMaxScaler(), FunctionTransformer(as_rows), model)
    splits = StratifiedKFold(folds, shuffle=True, random_state=0)
    grid = GridSearchCV(pipeline, {"spikingclassifier__beta": [0.03, 0.1, 0.3]}, cv=splits)

    accuracies = cross_val_score(grid, X, y, cv=splits)  # the choice of beta is part of what is judged
    print(f"cross-validated accuracy {accuracies.mean():.3f} +- {accuracies.std():.3f}")
    grid.fit(X, y)
    best = grid.best_estimator_
    print(f"picked beta {grid.best_params_['spikingclassifier__beta']}, test accuracy {best.score(X_test, y_test):.3f}")
    print(best[-1].certificate_)

    _, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    shown = best[:-1].transform(X_test)
    ConfusionDisplay.from_estimator(best[-1], shown, y_test, ax=left, cmap="Blues")
    ColumnsDisplay.from_estimator(best[-1], shown, y_test, name="test", ax=right)
    return grid, accuracies


if __name__ == "__main__":
    main()
    plt.show()
