"""`convexsnn prove`, and training until proved."""

import json
import re

import pytest

from convexsnn import Search, SpikingClassifier
from convexsnn.cli import proving
from convexsnn.cli.app import run
from convexsnn.tasks import TaskSettings, automaton_of, load_task
from convexsnn.words import ProvedWords, WrongWords, going_on, train_until_proved
from convexsnn.words.counterexamples import first_error

SMALL = ["--neuron", "threshold", "--recurrent", "--depth", "2", "--readout", "spike", "--attempts", "1", "--n-train"]


@pytest.fixture(scope="module")
def proved(tmp_path_factory):
    """Tomita's first language, 1*, at every step."""
    out = tmp_path_factory.mktemp("proved") / "model"
    few = [*SMALL, "40", "--n-val", "20", "--n-test", "20", "--timesteps", "6", "--per-step", "--effort", "2e7"]
    assert run(["fit", "--task", "dfa:tomita-1", *few, "--until-proved", "--out", str(out)]) == 0
    return out


def test_fit_until_proved_leaves_a_proof_that_prove_finds_again(proved, capsys):
    before = (proved / "proof.json").read_bytes()
    assert run(["prove", "--model", str(proved), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["outcome"] == "proved"
    assert report["margin"] > 0
    assert (proved / "proof.json").read_bytes() == before
    assert run(["prove", "--model", str(proved), "--automaton", "dfa:tomita-1"]) == 0
    assert "words of every length right" in capsys.readouterr().out


def test_verify_holds_the_proof_against_the_model(proved, capsys):
    verify = ["verify", "--model", str(proved), "--task", "dfa:tomita-1"]
    assert run(verify) == 0
    text = (proved / "proof.json").read_text()
    try:
        assert "proof.json" in (proved / "SHA256SUMS").read_text()
        (proved / "proof.json").write_text(text.replace('"start":0', '"start":1'))
        assert run(verify) == 1
        said = " ".join(capsys.readouterr().out.split())
        assert "proof.json is not the file that was written with the model" in said
        assert "SHA-256" in said
        # What was changed is not sealed again.
        assert run(["prove", "--model", str(proved)]) == 2
    finally:
        (proved / "proof.json").write_text(text)


def test_the_page_of_a_report_says_what_is_proved(proved, tmp_path):
    page = tmp_path / "page.html"
    assert run(["report", str(proved), "--out", str(page), "--no-verify"]) == 0
    text = page.read_text()
    assert "Right on every input" in text
    assert json.loads((proved / "proof.json").read_text())["sha256"] not in text
    assert re.search(r"boxes that hold the membranes</dt><dd>\d+: \d+ in state 0", text)


def test_another_automaton_is_answered_wrong(proved, tmp_path, capsys):
    own = tmp_path / "no_one.json"
    symbols, table = {"0": [1.0, 0.0], "1": [0.0, 1.0]}, [[0, 1], [1, 1]]
    own.write_text(json.dumps({"symbols": symbols, "start": 0, "transitions": table, "answers": [1, 0]}))
    target = tmp_path / "proof.json"
    assert run(["prove", "--model", str(proved), "--automaton", str(own), "--out", str(target), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["outcome"], report["words"], report["right_answer"]) == ("wrong", ["0", "1"], 1)
    assert not target.exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--automaton", "first-last-xor"], "no words of a finite automaton"),
        (["--automaton", "missing.json"], "holds no automaton"),
        (["--automaton", "automaton:addition-3"], "the labels [2], but the network knows [0, 1]"),
        (["--automaton", "addition:base-2"], "the labels [2, 3]"),
        (["--boxes", "0"], "--boxes must be an integer of at least 1"),
        (["--out", "MODEL/certificate.json"], "file of a model"),
    ],
)
def test_what_cannot_be_proved_is_refused_by_name(proved, arguments, reason, capsys):
    given = [argument.replace("MODEL", str(proved)) for argument in arguments]
    assert run(["prove", "--model", str(proved), *given]) == 2
    assert reason in re.sub(r"\s+", " ", capsys.readouterr().err)


def test_words_that_were_wrong_are_trained_on():
    """Few and short words leave the network wrong at first."""
    seen = []

    def train(task):
        seen.append(len(task.train))
        search = Search(depth=2, neuron="threshold", recurrent=True, readout="spike", effort=2e7, attempts=1)
        return SpikingClassifier(witnesses=search, per_step=True, random_state=0).fit(task.train.X, task.train.y)

    settings = TaskSettings(n_train=2, n_val=1, n_test=1, timesteps=8, per_step=True)
    taught = train_until_proved(train, "dfa:tomita-2", settings, rounds=6)
    assert taught.rounds == len(seen) > 1
    assert seen == sorted(set(seen))
    assert seen[-1] == 2 + len(taught.settings.words)
    assert isinstance(taught.outcome, ProvedWords)


def test_a_search_goes_on_from_the_network_of_the_round_before():
    few = Search(depth=2, neuron="threshold", recurrent=True, readout="spike", effort=2e7, attempts=1)
    task = load_task("dfa:tomita-1", TaskSettings(n_train=20, n_val=1, n_test=1, timesteps=4, per_step=True))
    model = SpikingClassifier(witnesses=few, per_step=True, random_state=0).fit(task.train.X, task.train.y)
    begun = going_on(model)
    given, search = begun.parts
    assert given.layers.equals(model.network_.hidden)
    assert search == few
    again = SpikingClassifier(witnesses=begun, per_step=True, random_state=0).fit(task.train.X, task.train.y)
    assert again.certificate_.primal <= model.certificate_.primal * (1 + 1e-6)
    assert going_on(again) == few
    drawn = SpikingClassifier(witnesses="gaussian", per_step=True, random_state=0).fit(task.train.X, task.train.y)
    assert going_on(drawn) == drawn.family


def test_the_last_round_says_what_is_still_wrong():
    automaton = automaton_of(load_task("automaton:modulo-3"))

    def train(task):
        return SpikingClassifier(witnesses="gaussian", per_step=True, random_state=0).fit(task.train.X, task.train.y)

    settings = TaskSettings(n_train=10, n_val=1, n_test=1, timesteps=4)
    taught = train_until_proved(train, "automaton:modulo-3", settings, rounds=1)
    assert isinstance(taught.outcome, WrongWords)
    assert taught.settings.words == ()
    network = taught.model.network_
    for word in taught.outcome.words:
        assert first_error(network, automaton.in_classes(taught.model.classes_.tolist()), word) == len(word) - 1


def test_training_until_proved_goes_on_after_a_kill(tmp_path):
    """Killed in its second round, it goes on with that round's words and ends as if it had not been killed."""

    small = SpikingClassifier(witnesses="gaussian", per_step=True, random_state=0)

    def trained(until=None):
        rounds = []

        def train(task):
            rounds.append(len(task.train))
            if len(rounds) == until:
                raise KeyboardInterrupt
            return small.fit(task.train.X, task.train.y)

        return train, rounds

    settings = TaskSettings(n_train=10, n_val=1, n_test=1, timesteps=4)
    work = ("automaton:modulo-3", settings)
    train, whole = trained()
    taught = train_until_proved(train, *work, rounds=3)
    path = tmp_path / "rounds.safetensors"
    train, first = trained(until=2)
    with pytest.raises(KeyboardInterrupt):
        train_until_proved(train, *work, rounds=3, checkpoint=path)
    train, rest = trained()
    again = train_until_proved(train, *work, rounds=3, checkpoint=path)
    assert [*first[:1], *rest] == whole
    assert (again.settings, again.rounds, again.outcome) == (taught.settings, taught.rounds, taught.outcome)
    with pytest.raises(ValueError, match="of other data, settings or seed"):
        train_until_proved(train, *work, checkpoint=path, of="another classifier")


def test_fit_until_proved_goes_on_after_a_kill(tmp_path, capsys, monkeypatch):
    few = [*SMALL, "2", "--n-val", "1", "--n-test", "1", "--timesteps", "8", "--per-step", "--effort", "2e7"]
    out = tmp_path / "model"
    command = ["fit", "--task", "dfa:tomita-2", *few, "--until-proved", "--json", "--out", str(out)]
    fits = []

    def killed(*given, **named):
        fits.append(given)
        if len(fits) == 2:
            raise KeyboardInterrupt
        return fit(*given, **named)

    fit = proving.fit
    with monkeypatch.context() as patched:
        patched.setattr(proving, "fit", killed)
        assert run(command) == 130
    assert (out / "rounds.safetensors").exists()
    capsys.readouterr()
    assert run(command) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["proof"]["outcome"] == "proved"
    assert report["metrics"]["n"]["train"] > 2  # with the words of the round before the kill
    assert not (out / "rounds.safetensors").exists()
