"""Networks proved right on every word of an automaton: proofs hold, counterexamples are really wrong."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convexsnn import LIF, Branch, Hidden, Layer, Network, Threshold
from convexsnn.neurons import RESETS
from convexsnn.proof import words
from convexsnn.proof.words import WordProofError, check_word_proof, seal_words
from convexsnn.simulation import initial_state, step
from convexsnn.tasks import Automaton, TaskSettings, automaton_of, load_task
from convexsnn.words import ProofSettings, ProvedWords, UndecidedWords, WrongWords, prove_words
from convexsnn.words.claim import claim_of
from convexsnn.words.counterexamples import answers_to, first_error
from rational_words import is_held, rational_run, right_answers

QUICK = ProofSettings(states=2000, longest=20, boxes=500, seconds=2.0)


def adder(base, dtype=torch.float64):
    """s_k = 1[a + b + carry >= k], and the carry is s_base; written down by hand."""
    m = 2 * base - 1
    weight = torch.full((2, m), float(base - 1), dtype=dtype)
    recurrent = torch.zeros(m, m, dtype=dtype)
    recurrent[base - 1] = 1.0
    layer = Layer(weight, Threshold(), recurrent, -(torch.arange(1, m + 1, dtype=dtype) - 0.5))
    W = torch.zeros(m, base, dtype=torch.float64)
    for k in range(1, 2 * base):
        W[k - 1, k % base] += 1
        W[k - 1, (k - 1) % base] -= 1
    return Network(Hidden(2, (Branch((layer,)),), "spike", True, dtype), W)


def rule(name):
    return automaton_of(load_task(name, TaskSettings(n_train=1, n_val=1, n_test=1)))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("base", [2, 3, 10])
def test_an_adder_is_proved_for_every_length(base, dtype):
    outcome = prove_words(adder(base, dtype), rule(f"automaton:addition-{base}"))
    assert isinstance(outcome, ProvedWords)
    assert outcome.checked == check_word_proof(outcome.file)
    assert outcome.checked.boxes == 2


def in_branches(network, neurons):
    """The same network; every branch has all neurons, and `neurons` of them are read."""
    layer, (m, C) = network.hidden.branches[0].layers[0], network.W.shape
    W = torch.zeros(0, C, dtype=torch.float64)
    for first in range(0, m, neurons):
        own = (torch.arange(m) >= first) & (torch.arange(m) < first + neurons)
        W = torch.cat([W, network.W * own[:, None]])
    return Network(replace(network.hidden, branches=(Branch((layer,)),) * (len(W) // m)), W)


def test_branches_are_followed_apart_where_that_suffices():
    """Each branch alone, as the least that each adds is enough; joined where it is not."""
    network, automaton = in_branches(adder(5), 3), rule("automaton:addition-5")
    apart = prove_words(network, automaton).checked
    assert (apart.parts, apart.boxes) == (3, 6)
    # A branch that remembers whether the first pair was 0,0 is read twice, and cancels itself.
    one = torch.tensor([[0.0], [0.0]], dtype=torch.float64)
    first = Layer(
        one, Threshold(), torch.tensor([[1.0]], dtype=torch.float64), torch.tensor([-0.5], dtype=torch.float64)
    )
    noise = replace(first, weight=-torch.ones_like(one), bias=torch.tensor([0.0], dtype=torch.float64))
    hidden = replace(network.hidden, branches=(*network.hidden.branches, Branch((noise,)), Branch((noise,))))
    loud = torch.zeros(2, 5, dtype=torch.float64)
    loud[0, 1], loud[1, 1] = 3.0, -3.0
    joined = prove_words(Network(hidden, torch.cat([network.W, loud])), automaton).checked
    assert joined.parts == 4
    loud[1, 1] = 3.0
    assert isinstance(prove_words(Network(hidden, torch.cat([network.W, loud])), automaton), WrongWords)


def test_parts_must_cover_the_network_and_feed_no_other():
    content = json.loads(prove_words(in_branches(adder(2), 1), rule("automaton:addition-2")).file)
    del content["sha256"]
    parts = content["parts"]
    for wrong in (parts[1:], [*parts, parts[0]], [], [parts[0] | {"layers": [0, 1]}, *parts[1:]]):
        with pytest.raises(WordProofError):
            check_word_proof(seal_words(content | {"parts": wrong}))


def test_a_wrong_adder_gets_a_shortest_word_that_is_really_wrong():
    network, automaton = adder(3), rule("automaton:addition-3")
    layer = network.hidden.branches[0].layers[0]
    forgets = replace(layer, recurrent=torch.zeros_like(layer.recurrent))
    wrong = Network(replace(network.hidden, branches=(Branch((forgets,)),)), network.W)
    outcome = prove_words(wrong, automaton)
    assert isinstance(outcome, WrongWords)
    assert outcome.shortest
    for word in outcome.words:
        assert len(word) == 2
        assert first_error(wrong, automaton, word) == 1
    assert all(first_error(wrong, automaton, [a]) is None for a in range(9))


def counter(leak, weight, reset="soft"):
    """Counts ones modulo 3, and forgets where leak < 1; read where v >= 1 and v >= 2."""
    numbers = lambda *values: torch.tensor(values, dtype=torch.float64)  # noqa: E731
    neuron = LIF(numbers(leak, leak), numbers(3.0, 3.0), reset)
    layer = Layer(numbers(weight, weight)[None], neuron)
    hidden = Hidden(1, (Branch((layer,), numbers(1.0, 2.0)),), "membrane", True)
    return Network(hidden, numbers(-2.0, 1.0, 0.0, 0.0, -2.0, 2.5).reshape(2, 3))


THREE = Automaton.moore(("0", "1"), ((0.0,), (1.0,)), ((0, 1), (1, 2), (2, 0)), (0, 1, 2))


@pytest.mark.parametrize("reset", ["soft", "hard", "delayed"])
def test_counting_by_a_membrane_of_leak_one_is_exact(reset):
    outcome = prove_words(counter(1.0, 1.0, reset), THREE)
    if reset == "delayed":  # the membrane falls one step later, so it reads 3
        assert isinstance(outcome, WrongWords)
    else:
        assert isinstance(outcome, ProvedWords)


def test_a_membrane_that_forgets_is_wrong_on_a_long_word():
    outcome = prove_words(counter(0.999, 1.001), THREE, ProofSettings(longest=2000))
    assert isinstance(outcome, WrongWords)
    assert outcome.shortest
    assert first_error(counter(0.999, 1.001), THREE, outcome.words[0]) == len(outcome.words[0]) - 1


def repeater(drop):
    """Fires at a 1, and then forgets; each 0 lowers a membrane of leak 0.99 by `drop`."""
    numbers = lambda *values: torch.tensor(values, dtype=torch.float64)  # noqa: E731
    layer = Layer(numbers(-drop, 5.0)[:, None], LIF(numbers(0.99), numbers(1.0), "hard"))
    return Network(Hidden(2, (Branch((layer,)),), "spike", True), numbers(-1.0, 1.0)[None])


REPEAT = Automaton(("0", "1"), ((1.0, 0.0), (0.0, 1.0)), ((0, 0),), ((0, 1),))


def test_a_leak_near_one_is_proved_or_wrong_after_many_steps():
    kept = prove_words(repeater(0.03), REPEAT)  # the membrane stays above -3
    assert isinstance(kept, ProvedWords)
    assert kept.checked.boxes <= 2
    lost = prove_words(repeater(0.1), REPEAT)  # and above -10: below -4.04 a 1 does not suffice
    assert isinstance(lost, WrongWords)
    assert lost.shortest
    assert lost.words == [(0,) * 52 + (1,)]
    assert rational_answers_are_wrong(lost.words[0], repeater(0.1))


def rational_answers_are_wrong(word, network):
    content = claim_of(network, REPEAT)
    *_, (_, _, last) = rational_run(content, word)
    return last != right_answers(content, word)[-1]


def test_a_network_without_neurons_answers_the_first_class():
    nothing = Network(Hidden(1, (), "spike", True), torch.zeros(0, 3, dtype=torch.float64))
    first = replace(THREE, answers=((0, 0), (0, None), (None, 0)))
    assert isinstance(prove_words(nothing, first), ProvedWords)
    assert prove_words(nothing, THREE).words == [(1,)]


def test_what_drifts_by_rounding_alone_is_not_proved():
    """One tenth ten times is not one; in real arithmetic either, as a float64 is no tenth."""
    outcome = prove_words(
        counter(1.0, 1.0 + 2.0**-40), THREE, ProofSettings(states=100, longest=10, boxes=50, seconds=1.0)
    )
    assert isinstance(outcome, UndecidedWords)
    assert outcome.right_up_to >= 10


def networks(seed, readout="spike"):
    random = np.random.default_rng(seed)
    dtype = [torch.float64, torch.float32][seed % 2]
    numbers = lambda *shape: torch.tensor(random.normal(size=shape), dtype=dtype)  # noqa: E731

    def layer(below, m):
        recurrent = numbers(m, m) if random.random() < 0.5 else None
        leak = torch.tensor(random.choice([0.0, 0.3, 0.7], size=m), dtype=dtype)
        neuron = Threshold() if random.random() < 0.2 else LIF(leak, numbers(m).abs() + 0.1, random.choice(RESETS))
        return Layer(numbers(below, m), neuron, recurrent, numbers(m) if random.random() < 0.5 else None)

    branches = tuple(
        Branch((layer(2, 2), layer(2, 2)) if random.random() < 0.5 else (layer(2, 2),)) for _ in range(1 + seed % 2)
    )
    if readout == "membrane":
        branches = tuple(replace(branch, readout_bias=numbers(2)) for branch in branches)
    return Network(Hidden(2, branches, readout, True, dtype), torch.randn(2 * len(branches), 2, dtype=torch.float64))


SILENT = Automaton(("a", "b"), ((0.25, -1.0), (1.0, 0.5)), ((0, 1), (1, 0)), ((None, None), (None, None)))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["spike", "membrane"]))
def test_boxes_hold_whatever_a_random_network_reaches(seed, readout):
    """No answer is asked, so a proof says where the network may be: in real arithmetic, and in its dtype."""
    network = networks(seed, readout)
    outcome = prove_words(network, SILENT, QUICK)
    if not isinstance(outcome, ProvedWords):
        return
    content = json.loads(outcome.file)
    word = np.random.default_rng(seed).integers(2, size=40).tolist()
    runs = list(rational_run(content, word))
    assert [answer for _, _, answer in runs] == answers_to(network, SILENT, word)
    state = initial_state(network.hidden, 1)
    for a, q, (spikes, membranes, _) in zip(word, SILENT.follow(word), runs, strict=True):
        assert is_held(content, q, spikes, membranes)
        state = step(network.hidden, torch.tensor([SILENT.vectors[a]], dtype=network.hidden.dtype), state).state
        layers = [layer for branch in state.branches for layer in branch.layers]
        seen = [[layer.spikes[0].int().tolist() for layer in layers], [layer.membrane[0].tolist() for layer in layers]]
        assert is_held(content, q, *seen)


@pytest.fixture(scope="module")
def proof():
    """A proof with boxes that have a width, and with recurrence."""
    network = networks(13)
    free = prove_words(network, SILENT, QUICK)
    assert isinstance(free, ProvedWords)
    assert free.checked.boxes > 2
    return free.file


def numbers_in(value, path=()):
    """Where the numbers, and the nulls, of a JSON value are."""
    if isinstance(value, (dict, list)):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from numbers_in(inner, (*path, key))
    elif not isinstance(value, str):
        yield path


def changed(value, path, new):
    for key in path[:-1]:
        value = value[key]
    value[path[-1]] = new


ADDER = prove_words(adder(2), rule("automaton:addition-2")).file


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_mutated_proof_is_refused_or_proves_what_is_true(data):
    content = json.loads(ADDER)
    del content["sha256"]
    path = data.draw(st.sampled_from(list(numbers_in(content))))
    changed(content, path, data.draw(st.sampled_from([0, 1, -1, 2, 2**64, None, True, "1", 0.5])))
    try:
        check_word_proof(seal_words(content))
    except WordProofError:
        return
    for word in ([0, 1, 2, 3, 3, 3, 0, 2], [3, 3, 0, 0, 1, 3, 2, 1], [1], [2], [3, 0], [3, 1], [3, 2], [3, 3]):
        asked = right_answers(content, word)
        if asked is not None:
            given = [answer for _, _, answer in rational_run(content, word)]
            assert all(a is None or a == b for a, b in zip(asked, given, strict=True))


def test_a_file_that_was_not_sealed_anew_is_refused(proof):
    content = json.loads(proof)
    box = content["parts"][0]["boxes"][0]
    box["state"] = 1 - box["state"]
    for text in (
        json.dumps(content),
        proof[:-9],
        proof.replace("[", "{", 1),
        "",
        "[]",
        proof.replace('"start":0', '"start":0,"start":0'),
    ):
        with pytest.raises(WordProofError):
            check_word_proof(text)


def test_the_checker_needs_the_standard_library_alone(tmp_path):
    path = Path(words.__file__)
    assert len(path.read_text().splitlines()) < 400
    file = tmp_path / "proof.json"
    for text, status in ((ADDER, 0), (ADDER.replace('"start":0', '"start":1'), 1)):
        file.write_text(text)
        # Neither this library nor any other is on the path.
        ran = subprocess.run([sys.executable, "-I", "-S", path, file], capture_output=True, text=True, check=False)
        assert ran.returncode == status, ran.stderr
    assert "SHA-256" in ran.stderr


@pytest.mark.parametrize("missing", range(3))
def test_no_box_can_be_missed(proof, missing):
    content = {name: value for name, value in json.loads(proof).items() if name != "sha256"}
    (part,) = content["parts"]
    assert check_word_proof(seal_words(content)).boxes == len(part["boxes"])
    del part["boxes"][missing]
    with pytest.raises(WordProofError, match="box"):
        check_word_proof(seal_words(content))
