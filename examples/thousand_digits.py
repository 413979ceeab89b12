"""
The sum of two numbers of 1000 digits
=====================================

The network adds two decimal numbers digit by digit, the last digit first, and answers with a digit of the sum and a
carry. It is trained on numbers of five digits, where the right carry is among the inputs. In use it reads its own
carry instead: a closed loop. One wrong carry can spoil what follows, so 1000 digits are a hard test. Python's own
integers say what is right.

python examples/thousand_digits.py
"""

import matplotlib.pyplot as plt
import numpy as np

from convexsnn import FeedbackLoop, Kernels, SpikingClassifier, predict_closed_loop
from convexsnn.display import RasterDisplay
from convexsnn.tasks import TaskSettings, load_task


def number(digits):
    """The integer of decimal digits, the last first."""
    return sum(int(digit) * 10**place for place, digit in enumerate(digits))


def main(digits=1000, n_train=600, last=4000):
    """Train on five digits, add two long numbers, draw; returns the network's sum and the right one."""
    task = load_task("addition:base-10", TaskSettings(n_train=n_train, n_val=10, n_test=10, timesteps=5, seed=0))
    # Each neuron sees the two digits and the carry of one step, and fires above a threshold of its own.
    family = Kernels(last=last, lengths=(1,), readouts=("spike",))
    model = SpikingClassifier(
        witnesses=family, penalty="ridge", loss="squared", beta=1e-3, per_step=True, random_state=0
    )
    model.fit(task.train.X, task.train.y)
    print(model.certificate_)

    first, second = np.random.default_rng(0).integers(10, size=(2, digits))
    X = np.stack([first / 9, second / 9, np.zeros(digits)], axis=1)[None]  # the carry is the network's own
    tokens, shown = predict_closed_loop(model, X, FeedbackLoop.of_task(task), return_inputs=True)
    added = number([*(tokens[0] % 10), tokens[0][-1] // 10])  # a token is a digit, and ten more with a carry
    right = number(first) + number(second)
    print(f"{digits} digits: the sum is {'right' if added == right else 'wrong'}")
    print(f"{str(right)[:20]}... (by Python)\n{str(added)[:20]}... (by the network)")

    _, (above, below) = plt.subplots(2, 1, figsize=(9, 6), layout="constrained", height_ratios=[1, 2])
    few = min(40, digits)
    steps = np.arange(1, few + 1)
    above.step(steps, tokens[0][:few] % 10, where="mid", label="digit of the sum")
    above.bar(steps, tokens[0][:few] // 10, color="C1", label="carry", width=1)
    above.set(xlim=(0.5, few + 0.5), title=f"the first {few} of {digits} digits, the last of the number first")
    above.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    RasterDisplay.from_estimator(model, shown[:, :few], ax=below)
    return added, right


if __name__ == "__main__":
    main()
    plt.show()
