"""
A network that is proved right on every input
=============================================

This network reads two binary numbers, one digit of each at a step, and answers with a digit of their sum. It has to
remember the carry. Whatever the test data are, they say nothing about longer numbers. So the network is proved: a
finite automaton says what is right, and the network agrees with it on numbers of every length.

A network that is wrong somewhere gets the words on which it is wrong as training data, until there is a proof.

python examples/proved_automaton.py
"""

import matplotlib.pyplot as plt
import numpy as np

from convexsnn import Search, SpikingClassifier
from convexsnn.display import RasterDisplay
from convexsnn.tasks import TaskSettings, automaton_of, load_task
from convexsnn.words import ProvedWords, train_until_proved

FAMILY = Search(neuron="threshold", recurrent=True, depth=2, readout="spike", attempts=1, effort=1e8)


def train(task):
    """A classifier of threshold units with recurrent weights, trained on a task."""
    model = SpikingClassifier(witnesses=FAMILY, beta=0.3, per_step=True, random_state=0)
    return model.fit(task.train.X, task.train.y)


def main(task="automaton:addition-2", **sizes):
    """Train until there is a proof, run the network on long numbers, draw; returns the outcome and what was right."""
    settings = TaskSettings(seed=0, **sizes)
    taught = train_until_proved(train, task, settings)
    assert isinstance(taught.outcome, ProvedWords)
    checked = taught.outcome.checked
    print(f"trained {taught.rounds} times; proved by {checked.boxes} boxes of states and {checked.transitions} steps")

    automaton = automaton_of(load_task(task, settings))
    word = np.random.default_rng(0).integers(len(automaton.symbols), size=1000)
    X = np.array(automaton.vectors)[word][None]
    right = taught.model.predict(X)[0] == np.array(automaton.run(word))
    print(f"1000 digits: {int(right.sum())} are right, as they must be")

    _, ax = plt.subplots(figsize=(9, 4), layout="constrained")
    RasterDisplay.from_estimator(taught.model, X[:, :40], ax=ax)
    ax.set_title(f"the first 40 digits; {taught.model.network_.hidden.n_neurons} neurons, proved for every length")
    return taught, right


if __name__ == "__main__":
    main()
    plt.show()
