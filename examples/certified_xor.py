"""
A certified XOR network explained
=================================

The answer is the first bit xor the last, of T bits. Neurons are searched for, the readout is optimal, and three
things are proved of the result, each stronger or surer than the one before:

1. *dictionary*: no other readout of these neurons has a lower training objective (float64);
2. *global*: no network of the family, whatever its hidden weights, has one below the global bound;
3. *exactly*: the first again, in rational arithmetic, by code that shares nothing with the solver.

python examples/certified_xor.py
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt

from convexsnn import Search, SpikingClassifier
from convexsnn.display import BoundsDisplay, CertificateDisplay, RasterDisplay
from convexsnn.proof import verify_exactly
from convexsnn.storage import save_model
from convexsnn.tasks import TaskSettings, load_task


def main(timesteps=6, rounds=12):
    """Search, certify, prove, draw; returns the model and the exact proof."""
    task = load_task("first-last-xor", TaskSettings(timesteps=timesteps, n_train=500, n_val=100, n_test=500, seed=0))
    X, y = task.train.X, task.train.y
    family = Search(rounds=rounds, seconds=30)
    model = SpikingClassifier(witnesses=family, loss="hinge", beta=0.01, random_state=0).fit(X, y)
    certificate, bound = model.certificate_, model.certificate_.global_bound
    print(f"test accuracy {model.score(task.test.X, task.test.y):.3f}; the search ended: {model.stopped_}\n")

    print(f"1. On these {certificate.P} columns, {certificate.support} with weight:")
    print(f"   {certificate.dual:.9f} <= best objective <= {certificate.primal:.9f}\n")
    print(f"2. {bound}")
    print(f"   so no network of these lowers the objective by more than {100 * bound.relative_gap:.2g} %\n")

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        save_model(model, path)
        exact = verify_exactly(path, X, y)  # the command line: convexsnn verify --exact
    facts = exact.to_dict()
    print(f"3. Proved in {facts['arithmetic']}: {facts['dual']} <= best objective <= {facts['primal']}")
    print(f"   relative gap at most {facts['relative_gap']}; problems: {list(exact.problems) or 'none'}")

    CertificateDisplay.from_estimator(model)
    BoundsDisplay.from_estimator(model)
    RasterDisplay.from_estimator(model, X, index=0).ax_.set_title(f"first bit xor last bit is {y[0]}")
    return model, exact


if __name__ == "__main__":
    main()
    plt.show()
