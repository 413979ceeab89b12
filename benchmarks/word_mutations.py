"""Proofs for every word, mutated: how many the checker refuses, and whether what it accepts is true.

    python benchmarks/word_mutations.py [--count 10000] [--seed 0]

Half of the mutations change bytes of the file. The others change its content and seal it anew, so that the digest
does not give them away: a number, a box that is left out or doubled, two numbers that are exchanged. What is accepted
must be the same claim, or a true one: its network is run on words in rational arithmetic.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from convexsnn import Search, SpikingClassifier
from convexsnn.proof.words import WordProofError, check_word_proof, claim_digest, seal_words
from convexsnn.tasks import TaskSettings
from convexsnn.words import ProvedWords, train_until_proved

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from rational_words import rational_run, right_answers

SEARCHES = {
    "dfa:tomita-4": Search(depth=2, neuron="threshold", recurrent=True, readout="spike", effort=5e8, attempts=1),
    "automaton:brackets-2": Search(depth=2, leak=0.5, recurrent=True, readout="membrane", effort=5e8, attempts=1),
    "automaton:modulo-3": Search(depth=2, neuron="threshold", recurrent=True, readout="spike", effort=5e8, attempts=1),
}
# Words that a network is run on to see whether a claim is true, and their length.
WORDS, STEPS = 20, 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    files = [proved(name) for name in SEARCHES]
    outcomes, chance, start = Counter(), random.Random(options.seed), time.process_time()
    for k in range(options.count):
        text = files[k % len(files)]
        mutated = bytes_changed(text, chance) if k % 2 else content_changed(text, chance)
        outcomes[judged(text, mutated, chance)] += 1
    seconds = time.process_time() - start
    for outcome, count in outcomes.most_common():
        print(f"{count:6d}  {outcome}")
    print(f"{options.count} mutations in {seconds:.1f} s of processor time")


def proved(name: str) -> str:
    """The proof file of a network that was searched for."""

    def train(task: Any) -> SpikingClassifier:
        model = SpikingClassifier(witnesses=SEARCHES[name], per_step=True, random_state=0)
        return model.fit(task.train.X, task.train.y, validation=(task.val.X, task.val.y))

    taught = train_until_proved(train, name, TaskSettings(n_train=200, n_val=100, n_test=1, per_step=True))
    assert isinstance(taught.outcome, ProvedWords), (name, taught.outcome)
    checked = taught.outcome.checked
    print(f"{name}: {checked.parts} parts, {checked.boxes} boxes, {len(taught.outcome.file)} bytes", flush=True)
    return taught.outcome.file


def bytes_changed(text: str, chance: random.Random) -> str:
    """The text with one character changed, left out or doubled, or cut off."""
    at = chance.randrange(len(text))
    other = chance.choice('0123456789-,.[]{}:"eaN ')
    return chance.choice(
        [
            text[:at] + other + text[at + 1 :],
            text[:at] + text[at + 1 :],
            text[:at],
            text[:at] + text[at : at + 1] + text[at:],
        ]
    )


def content_changed(text: str, chance: random.Random) -> str:
    """The content with one part changed, and sealed anew."""
    content = json.loads(text)
    del content["sha256"]
    places = list(leaves(content))
    match chance.randrange(5):
        case 0:
            boxes = chance.choice(content["parts"])["boxes"]
            del boxes[chance.randrange(len(boxes))]
        case 1:
            box = chance.choice(chance.choice(content["parts"])["boxes"])
            for name in ("low", "high"):
                box[name] = [value + chance.choice([-1, 1]) * 2 ** chance.randrange(60) for value in box[name]]
        case 2:
            (at, key), (other, name) = chance.sample(places, 2)
            at[key], other[name] = other[name], at[key]
        case _:
            at, key = chance.choice(places)
            at[key] = varied(at[key], chance)
    return seal_words(content)


def varied(value: Any, chance: random.Random) -> Any:
    """Another value in the place of a number, a flag or a null."""
    near = [value + chance.choice([-1, 1]) * 2 ** chance.randrange(70), -value, 2 * value] if type(value) is int else []
    return chance.choice([*near, 0, 1, 2, None, True, False, "1", 0.5, []])


def leaves(value: Any) -> Any:
    """Where the numbers, flags and nulls of a JSON value stand: containers and keys."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(inner, (dict, list)):
            yield from leaves(inner)
        elif not isinstance(inner, str):
            yield value, key


def judged(text: str, mutated: str, chance: random.Random) -> str:
    """What the checker says of a mutation, and whether it is right."""
    try:
        check_word_proof(mutated)
    except WordProofError:
        return "refused"
    before, after = json.loads(text), json.loads(mutated)
    if before == after:
        return "accepted: the content is the same"
    if claim_digest(before) == claim_digest(after):
        return "accepted: the claim is the same, in other boxes"
    return "accepted: another claim, true on all words tried" if is_true(after, chance) else "ACCEPTED, AND FALSE"


def is_true(content: dict[str, Any], chance: random.Random) -> bool:
    """Whether the network of a claim is right on random words, in rational arithmetic."""
    table, start = content["automaton"]["transitions"], content["automaton"]["start"]
    for _ in range(WORDS):
        word, q = [], start
        for _ in range(STEPS):
            allowed = [a for a, target in enumerate(table[q]) if target is not None]
            if not allowed:
                break
            word.append(chance.choice(allowed))
            q = table[q][word[-1]]
        asked = right_answers(content, word) or []
        given = (answer for _, _, answer in rational_run(content, word))
        if any(a is not None and a != b for a, b in zip(asked, given, strict=True)):
            return False
    return True


if __name__ == "__main__":
    main()
