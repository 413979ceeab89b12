"""Networks that read symbols: found, and proved right on words of every length; a Markdown table.

    python benchmarks/words.py [--only NAMES] [--rounds 10] [--spoil 100]
                               [--words N] [--steps T] [--beta BETA] [--effort E] [--all-columns]

Each task is learned by a search, whose network is proved or gets words that it answers wrong, which it is then trained
on. Seconds are of processor time, of all rounds together. With --spoil, so many copies of the proved networks have one
weight changed: each is proved still, or gets a word that it is shown to answer wrong. The other options try other
settings than those of `CASES`: N words of T symbols, beta, effort, and networks from which no column is left out. Uses
one thread unless OMP_NUM_THREADS says otherwise.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import torch

from convexsnn import Branch, Network, Search, SpikingClassifier
from convexsnn.tasks import Automaton, TaskData, TaskSettings, automaton_of, load_task
from convexsnn.words import ProofSettings, ProvedWords, Taught, WrongWords, going_on, prove_words, train_until_proved
from convexsnn.words.counterexamples import first_error

Case = tuple[Search, TaskSettings, float]
"""Neurons, words, and beta."""
BASES = (2, 3, 5, 7, 10)
# Sequences that read their symbols one after another keep what they need in recurrent threshold units.
STREAM = (
    Search(depth=2, neuron="threshold", recurrent=True, readout="spike", effort=3e9, attempts=1),
    TaskSettings(n_train=300, n_val=100, n_test=1, timesteps=12, per_step=True),
    0.3,
)
# Counting far takes longer words, so that a count that is only nearly right is wrong often, and more effort.
LONG = (
    Search(depth=2, neuron="threshold", recurrent=True, readout="spike", width=6, effort=3e10, attempts=1),
    TaskSettings(n_train=150, n_val=100, n_test=1, timesteps=24, per_step=True),
    0.1,
)
# Sums need the step before alone, but of many pairs of digits: many short words have more beginnings than a few long
# ones.
SUMS = (
    Search(depth=2, neuron="threshold", recurrent=True, readout="spike", width=6, effort=1.2e10, attempts=1),
    TaskSettings(n_train=1000, n_val=200, n_test=1, timesteps=5, per_step=True),
    0.1,
)
# In closed loop the carry is an input.
LOOP = (
    Search(depth=2, readout="spike", effort=1e10, jury=1),
    TaskSettings(n_train=1000, n_val=500, n_test=1),
    0.01,
)
CASES: dict[str, Case] = {
    **{f"addition:base-{base}": LOOP for base in BASES},
    **{f"subtraction:base-{base}": LOOP for base in BASES},
    "multiplication:base-5-by-3": LOOP,
    "multiplication:base-10-by-3": LOOP,
    **{f"automaton:addition-{base}": STREAM for base in (2, 3)},
    **{f"automaton:subtraction-{base}": STREAM for base in (2, 3)},
    **{f"automaton:addition-{base}": SUMS for base in (5, 7, 10)},
    **{f"automaton:subtraction-{base}": SUMS for base in (5, 7, 10)},
    **{f"automaton:modulo-{modulus}": STREAM for modulus in (2, 3)},
    **{f"automaton:modulo-{modulus}": LONG for modulus in (4, 5, 7)},
    **{f"automaton:brackets-{depth}": STREAM for depth in (1, 2, 3)},
    **{f"dfa:tomita-{number}": STREAM for number in range(1, 8)},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--spoil", type=int, default=0, help="networks with one weight changed")
    parser.add_argument("--words", type=int)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--beta", type=float)
    parser.add_argument("--effort", type=float)
    parser.add_argument("--all-columns", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    print(
        f"torch {torch.__version__}, {platform.machine()}, {os.cpu_count()} cores, threads {torch.get_num_threads()}\n"
    )
    print("| task | outcome | rounds | neurons | parts | boxes | transitions | margin | seconds | last proof |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    proved = []
    for name in options.only:
        taught = report(name, tried(CASES[name], options), options.rounds)
        if isinstance(taught.outcome, ProvedWords):
            proved.append((taught.model, automaton_of(load_task(name, taught.settings))))
    if options.spoil and proved:
        print(f"\n{options.spoil} networks with one weight changed: {spoil(proved, options.spoil)}")


def tried(case: Case, options: argparse.Namespace) -> Case:
    """A case with the settings that options name in place of its own."""
    search, settings, beta = case
    searched = {"effort": options.effort} | ({"slim": False, "prune": 0} if options.all_columns else {})
    words = {"n_train": options.words, "timesteps": options.steps}
    given = [{name: value for name, value in own.items() if value is not None} for own in (searched, words)]
    return replace(search, **given[0]), replace(settings, **given[1]), options.beta or beta


def report(name: str, case: Case, rounds: int) -> Taught:
    """Learn and prove one task, and print its line."""
    search, settings, beta = case

    models: list[SpikingClassifier] = []

    def train(task: TaskData) -> SpikingClassifier:
        family = going_on(models[-1]) if models else search
        model = SpikingClassifier(witnesses=family, per_step=task.per_step, beta=beta, random_state=0)
        models.append(model.fit(task.train.X, task.train.y, validation=(task.val.X, task.val.y)))
        return models[-1]

    start = time.process_time()
    taught = train_until_proved(train, name, settings, rounds=rounds)
    seconds, start = time.process_time() - start, time.process_time()
    prove_words(taught.model, automaton_of(load_task(name, taught.settings)))
    last, neurons = time.process_time() - start, taught.model.network_.hidden.n_neurons
    match taught.outcome:
        case ProvedWords(checked=checked):
            size = f"{checked.parts} | {checked.boxes} | {checked.transitions} | {float(checked.margin or 0):.2f}"
            facts = f"proved | {taught.rounds} | {neurons} | {size}"
        case WrongWords(words=words):
            facts = f"wrong on {len(words[0])} symbols | {taught.rounds} | {neurons} | | | |"
        case undecided:
            facts = f"undecided: {undecided.reason} | {taught.rounds} | {neurons} | | | |"
    print(f"| {name} | {facts} | {seconds:.1f} | {last:.1f} |", flush=True)
    return taught


def spoil(proved: list[tuple[SpikingClassifier, Automaton]], count: int) -> Counter[str]:
    """What becomes of networks in which one weight is changed; each word that is found is run."""
    random, outcomes = np.random.default_rng(0), Counter()
    for k in range(count):
        model, automaton = proved[k % len(proved)]
        automaton = automaton.in_classes(model.classes_.tolist())
        network = changed(model.network_, random)
        outcome = prove_words(network, automaton, ProofSettings(seconds=20.0))
        if isinstance(outcome, WrongWords):
            real = all(first_error(network, automaton, word) == len(word) - 1 for word in outcome.words)
            outcomes["wrong, and really so" if real else "WRONG BY MISTAKE"] += 1
        else:
            outcomes["still proved" if isinstance(outcome, ProvedWords) else f"undecided: {outcome.reason}"] += 1
    return outcomes


def changed(network: Network, random: np.random.Generator) -> Network:
    """The network with one weight of a hidden layer, or of the output, drawn anew."""
    W = network.W.clone()
    if random.random() < 0.3:
        W[tuple(random.integers(W.shape))] = float(random.normal()) * float(W.abs().max())
        return Network(network.hidden, W)
    at = int(random.integers(len(network.hidden.branches)))
    branch = network.hidden.branches[at]
    weight = branch.last.weight.clone()
    weight[tuple(random.integers(weight.shape))] = float(random.normal()) * float(weight.abs().max())
    layers = (*branch.layers[:-1], replace(branch.last, weight=weight))
    branches = list(network.hidden.branches)
    branches[at] = Branch(layers, branch.readout_bias)
    return Network(replace(network.hidden, branches=tuple(branches)), W)


if __name__ == "__main__":
    main()
