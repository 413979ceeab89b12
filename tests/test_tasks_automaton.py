"""Automata that answer: what they refuse, their files, and that they say what the tasks say."""

import json

import numpy as np
import pytest

from convexsnn.tasks import Automaton, TaskSettings, automaton_from_dict, automaton_of, load_task, read_automaton
from convexsnn.tasks.automaton_library import library_automaton

GOOD = {"symbols": {"0": [1, 0], "1": [0, 1]}, "start": 0, "transitions": [[0, 1], [None, 1]], "answers": [7, 3]}


def test_a_file_gives_the_automaton_that_it_says(tmp_path):
    path = tmp_path / "own.json"
    path.write_text(json.dumps(GOOD))
    automaton = read_automaton(path)
    assert automaton.run([0, 1, 1]) == [7, 3, 3]
    assert automaton.answers == ((7, 3), (None, 3))
    assert automaton.labels == (3, 7)
    assert automaton_from_dict(automaton.to_dict()) == automaton
    assert automaton.in_classes([3, 7]).answers == ((1, 0), (None, 0))
    with pytest.raises(ValueError, match="may not follow at step 1"):
        automaton.run([1, 0])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"symbols": {}}, "symbols must be one or more"),
        ({"symbols": {"0": [1, 0], "1": [0]}}, "vectors of one length"),
        ({"symbols": [[1, 0]]}, "symbols must be an object"),
        ({"start": 2}, "start must be"),
        ({"start": "0"}, "start must be"),
        ({"transitions": [[0, 1], [None, 2]]}, "right form"),
        ({"transitions": [[0, 1], [None, None]]}, "at least one symbol follow in every state, but 1 has none"),
        ({"transitions": [[0, 1]]}, "one label for each of 1 states"),
        ({"transitions": [0, 1]}, "right form"),
        ({"answers": [[0, 1], [0]]}, "answers must be 2 rows"),
        ({"answers": [-1, 0]}, "answers must be"),
        ({"more": 1}, "has no field 'more'"),
    ],
)
def test_what_is_no_automaton_is_refused_by_name(change, reason):
    with pytest.raises(ValueError, match=reason):
        automaton_from_dict(GOOD | change)


@pytest.mark.parametrize("name", ["addition-0", "addition-2-3", "modulo-1", "brackets", "nothing-2", "file:none.json"])
def test_names_of_no_automaton_are_refused(name):
    with pytest.raises(ValueError, match=r"automaton|must be"):
        library_automaton(name)


@pytest.mark.parametrize(
    "name",
    [
        *(
            f"{kind}:base-{base}"
            for kind in ("addition", "subtraction", "multiplication", "division")
            for base in (2, 5)
        ),
        "multiplication:base-10-by-3",
        "dfa:tomita-3",
        "dfa:dyck-2",
        "automaton:subtraction-3",
        "automaton:brackets-2",
    ],
)
def test_the_automaton_of_a_task_gives_its_labels(name):
    settings = TaskSettings(n_train=40, n_val=1, n_test=1, per_step=True)
    task = load_task(name, settings)
    automaton = automaton_of(task)
    number = {vector: a for a, vector in enumerate(automaton.vectors)}
    for x, y in zip(task.train.X, task.train.y, strict=True):
        word = [number[tuple(row)] for row in x.tolist()]
        assert automaton.run(word) == y.tolist()
        assert np.array_equal(automaton.shown(word), x)


def test_streamed_sums_are_sums():
    automaton = library_automaton("addition-10")
    pairs = [(7, 5), (9, 9), (0, 0)]  # 97 + 95, least significant digits first
    assert automaton.run([10 * a + b for a, b in pairs]) == [2, 9, 1]
    assert library_automaton("subtraction-10").run([10 * 2 + 5, 10 * 4 + 1, 0]) == [7, 2, 0]
    assert library_automaton("modulo-3").run([1, 1, 0, 1]) == [1, 2, 2, 0]


def test_words_are_added_to_the_training_data_alone():
    words = ((0, 1, 0), (1,))
    given = {"n_train": 5, "n_val": 4, "n_test": 3, "timesteps": 6}
    with_words = load_task("automaton:modulo-2", TaskSettings(**given, words=words))
    without = load_task("automaton:modulo-2", TaskSettings(**given))
    assert [len(split) for split in with_words.splits.values()] == [7, 6, 3]
    assert [y.tolist() for y in with_words.train.y[5:]] == [[0, 1, 1], [1]]
    assert all(np.array_equal(a, b) for a, b in zip(with_words.train.X[:5], without.train.X, strict=True))
    assert np.array_equal(with_words.test.X, without.test.X)
    last = load_task("automaton:modulo-2", TaskSettings(**given, words=words, per_step=False))
    assert last.train.y[5:].tolist() == [1, 1]


@pytest.mark.parametrize("words", [((),), ((-1,),), 3, (3,), (("a",),)])
def test_words_that_are_none_are_refused(words):
    with pytest.raises(ValueError, match="words must"):
        TaskSettings(words=words)


def test_words_go_with_tasks_of_symbols_only():
    with pytest.raises(ValueError, match=r"words is .* has no such setting"):
        load_task("first-last-xor", TaskSettings(words=((0, 1),)))
    with pytest.raises(ValueError, match="no words of a finite automaton"):
        automaton_of(load_task("first-last-xor"))


def test_no_label_without_an_answer():
    silent = Automaton(("a",), ((1.0,),), ((0,),), ((None,),))
    assert silent.labels == ()
    assert silent.run([0, 0]) == [None, None]
