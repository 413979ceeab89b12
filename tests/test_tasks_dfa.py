import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from convexsnn.tasks import DFA, TaskSettings, library_dfa, load_task, random_dfa
from convexsnn.tasks.dfa_sampling import classes_by_length, count_words, sample_words


def rng(seed=0):
    return np.random.default_rng(seed)


def words(max_length, symbols=2, min_length=0):
    lengths = range(min_length, max_length + 1)
    return [w for length in lengths for w in itertools.product(range(symbols), repeat=length)]


def balanced(word, depth):
    heights = np.cumsum([1 - 2 * a for a in word]) if word else np.zeros(1)
    return bool(heights.min() >= 0 and heights.max() <= depth and heights[-1] == 0)


def no_odd_ones_then_odd_zeros(text):
    runs = [(bit, len(list(run))) for bit, run in itertools.groupby(text)]
    return not any(a == "1" and m % 2 and n % 2 for (a, m), (_, n) in itertools.pairwise(runs))


LANGUAGES = {
    "parity": lambda s: s.count("1") % 2 == 0,
    "mod-3": lambda s: s.count("1") % 3 == 0,
    "tomita-1": lambda s: "0" not in s,
    "tomita-2": lambda s: re.fullmatch("(10)*", s) is not None,
    "tomita-3": no_odd_ones_then_odd_zeros,
    "tomita-4": lambda s: "000" not in s,
    "tomita-5": lambda s: s.count("0") % 2 == 0 and s.count("1") % 2 == 0,
    "tomita-6": lambda s: (s.count("0") - s.count("1")) % 3 == 0,
    "tomita-7": lambda s: re.fullmatch("0*1*0*1*", s) is not None,
    "dyck-1": lambda s: balanced([int(a) for a in s], 1),
    "dyck-3": lambda s: balanced([int(a) for a in s], 3),
}


@st.composite
def automata(draw):
    n_states, n_symbols = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    target = st.one_of(st.none(), st.integers(0, n_states - 1))
    rows = draw(st.lists(st.tuples(*[target] * n_symbols), min_size=n_states, max_size=n_states).map(tuple))
    accepting = frozenset(draw(st.sets(st.integers(0, n_states - 1))))
    start = draw(st.integers(0, n_states - 1))
    return DFA(tuple(f"q{i}" for i in range(n_states)), tuple("abc"[:n_symbols]), rows, start, accepting)


def follow(dfa, word):
    """Acceptance straight from the definition, without the completed table."""
    q = dfa.start
    for a in word:
        q = dfa.transitions[q][a]
        if q is None:
            return False
    return q in dfa.accepting


@pytest.mark.parametrize("name", LANGUAGES)
def test_library_language(name):
    dfa = library_dfa(name, rng())
    for word in words(9):
        assert dfa.accepts(word) == LANGUAGES[name]("".join(map(str, word)))
    assert dfa.completed().is_minimal()


@given(automata())
@settings(max_examples=60, deadline=None)
def test_prefixes_and_completion_follow_the_definition(dfa):
    W = np.array(words(4, len(dfa.symbols), 4))
    expected = [[follow(dfa, w[: t + 1]) for t in range(4)] for w in W]
    assert (dfa.accepts_prefixes(W) == expected).all()
    assert (dfa.completed().accepts_prefixes(W) == expected).all()
    assert dfa.accepts(()) == (dfa.start in dfa.accepting)


@given(automata())
@settings(max_examples=60, deadline=None)
def test_counts_and_classes_match_enumeration(dfa):
    counts, exists = count_words(dfa, 5), classes_by_length(dfa, 5)
    for length in range(6):
        accepted = sum(follow(dfa, w) for w in words(length, len(dfa.symbols), length))
        rejected = len(dfa.symbols) ** length - accepted
        assert [c[dfa.start] for c in counts[length]] == [rejected, accepted]
        assert exists[length].tolist() == [rejected > 0, accepted > 0]


@given(automata(), st.integers(0, 100))
@settings(max_examples=60, deadline=None)
def test_sampled_words_are_of_the_wanted_class(dfa, seed):
    lengths = rng(seed).integers(1, 8, size=50)
    exists = classes_by_length(dfa, 8)[lengths]
    accepted = np.where(exists.all(axis=1), np.arange(50) % 2 == 0, exists[:, 1])
    sample = sample_words(dfa, lengths, accepted, rng(seed))
    for word, length, wanted in zip(sample, lengths, accepted, strict=True):
        assert follow(dfa, word[:length]) == wanted


@pytest.mark.parametrize("name", ["tomita-3", "tomita-7", "dyck-3", "random-4-1"])
@pytest.mark.parametrize("wanted", [True, False])
def test_sampling_is_uniform_within_a_class(name, wanted):
    dfa = library_dfa(name, rng())
    support = [w for w in words(6, 2, 6) if dfa.accepts(w) == wanted]
    n = 200 * len(support)
    sample = sample_words(dfa, np.full(n, 6), np.full(n, wanted), rng(1))
    drawn, counts = np.unique(sample, axis=0, return_counts=True)
    assert [tuple(w) for w in drawn.tolist()] == support
    assert chisquare(counts).pvalue > 1e-3


def test_sampling_names_the_missing_class():
    with pytest.raises(ValueError, match="accepted word of length 3"):
        sample_words(library_dfa("dyck-2", rng()), np.array([4, 3]), np.array([True, True]), rng())


@given(automata())
@settings(max_examples=40, deadline=None)
def test_is_minimal_means_all_states_reached_and_told_apart(dfa):
    dfa = dfa.completed()
    S, k = len(dfa.states), len(dfa.symbols)
    suffixes = words(max(S - 2, 0), k)  # two of S states that differ do so on a word of length S - 2 or less

    def language(q):
        at_q = DFA(dfa.states, dfa.symbols, dfa.transitions, q, dfa.accepting)
        return tuple(follow(at_q, w) for w in suffixes)

    reached = {dfa.start}
    for _ in range(S):
        reached |= {target for q in reached for target in dfa.transitions[q]}
    assert dfa.is_minimal() == (len(reached) == S and len({language(q) for q in range(S)}) == S)


@pytest.mark.parametrize("n_states", [2, 3, 10, 60])
def test_random_automaton(n_states):
    dfa = random_dfa(n_states, rng(3))
    assert len(dfa.states) == n_states
    assert dfa.is_minimal()
    assert classes_by_length(dfa, 2 * n_states)[n_states:].all()
    assert dfa == random_dfa(n_states, rng(3))


def test_random_automaton_seed_in_settings_or_in_name():
    small = {"n_train": 5, "n_val": 5, "n_test": 5}
    by_seed = [load_task("dfa:random-6", TaskSettings(**small, seed=s)).automaton for s in (0, 0, 1)]
    assert by_seed[0] == by_seed[1] != by_seed[2]
    by_name = [load_task("dfa:random-6-4", TaskSettings(**small, seed=s)).automaton for s in (0, 1)]
    assert by_name[0] == by_name[1]


@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize("timesteps", [12, 200])
def test_task_labels_and_balance(timesteps, per_step):
    chosen = TaskSettings(n_train=101, n_val=10, n_test=40, timesteps=timesteps, per_step=per_step)
    task = load_task("dfa:tomita-4", chosen)
    assert task.per_step is per_step
    assert task.train.X.shape == (101, timesteps, 2)
    assert task.train.X.dtype == np.float64
    accepted = task.automaton.accepts_prefixes(task.train.X.argmax(axis=2))
    final = task.train.y[:, -1] if per_step else task.train.y
    assert final.sum() == 50
    assert (task.train.y == (accepted if per_step else accepted[:, -1])).all()


@pytest.mark.parametrize("per_step", [False, True])
def test_unequal_lengths(per_step):
    chosen = TaskSettings(n_train=600, n_val=5, n_test=5, timesteps=9, min_timesteps=4, per_step=per_step)
    task = load_task("dfa:dyck-3", chosen)
    lengths = np.array([len(x) for x in task.train.X])
    assert chisquare(np.bincount(lengths)[4:]).pvalue > 1e-3
    for x, y in zip(task.train.X, task.train.y, strict=True):
        accepted = task.automaton.accepts_prefixes(x.argmax(axis=1)[None])[0]
        assert np.array_equal(y, accepted if per_step else accepted[-1])
    even = [y if not per_step else y[-1] for x, y in zip(task.train.X, task.train.y, strict=True) if len(x) % 2 == 0]
    assert 0.3 < np.mean(even) < 0.7


def test_one_class_at_a_length():
    with pytest.raises(ValueError, match=r"timesteps: dfa:dyck-2 rejects every word of length 7.*6, 8"):
        load_task("dfa:dyck-2", TaskSettings(timesteps=7))
    prefixes = load_task("dfa:dyck-2", TaskSettings(n_train=50, n_val=5, n_test=5, timesteps=7, per_step=True))
    assert not prefixes.train.y[:, -1].any()
    assert prefixes.train.y.any()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tomita-8", "N in dfa:tomita-N must be an integer from 1 to 7, not 8"),
        ("mod-1", "M in dfa:mod-M"),
        ("dyck-0", "D in dfa:dyck-D"),
        ("random-1", "S in dfa:random-S"),
        ("tomta-1", "did you mean dfa:tomita-1"),
        ("tomita", "unknown automaton"),
        ("parity-2", "unknown automaton"),
    ],
)
def test_library_errors(name, message):
    with pytest.raises(ValueError, match=message):
        load_task(f"dfa:{name}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"symbols": ("a", "a")}, "symbols"),
        ({"states": ()}, "states"),
        ({"transitions": ((0,),)}, "transitions must be 1 rows"),
        ({"transitions": ((0, 1),)}, "transitions names state 1"),
        ({"start": 2}, "start names state 2"),
        ({"accepting": frozenset({-1})}, "accepting names state -1"),
    ],
)
def test_dfa_errors(change, message):
    valid = {"states": ("q",), "symbols": ("a", "b"), "transitions": ((0, 0),), "start": 0, "accepting": frozenset()}
    with pytest.raises(ValueError, match=message):
        DFA(**{**valid, **change})


@pytest.mark.parametrize("bad", [np.zeros(3, dtype=int), np.zeros((1, 3)), np.array([[0, 2]]), np.array([[-1, 0]])])
def test_words_are_checked(bad):
    with pytest.raises(ValueError, match="words must"):
        library_dfa("parity", rng()).accepts_prefixes(bad)
