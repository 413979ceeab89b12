"""The examples run, and show what they say."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest

from convexsnn import Kernels
from convexsnn.tasks import TaskSettings

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def drawn():
    """pyplot without a screen; afterwards no figure is left."""
    pytest.importorskip("matplotlib").use("Agg")
    import matplotlib.pyplot as plt

    plt.close("all")
    yield lambda: [len(plt.figure(number).axes) for number in plt.get_fignums()]
    plt.close("all")


def run_main(name, **settings):
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"](**settings)


def test_nir_round_trip(drawn, capsys):
    pytest.importorskip("nir")
    assert run_main("nir_round_trip") < 1e-5
    assert "read back" in capsys.readouterr().out
    assert drawn() == [2]


def test_pipeline_cross_validation(drawn, capsys):
    grid, accuracies = run_main("pipeline_cross_validation", n=300, last=64, folds=2)
    assert grid.best_estimator_[-1].certificate_.holds(1e-6)
    assert accuracies.mean() > 0.3  # of ten classes
    assert drawn() == [3]  # two pictures and a colour bar
    assert "cross-validated accuracy" in capsys.readouterr().out


def test_events_tonic(drawn, capsys):
    pytest.importorskip("tonic")
    assert run_main("events_tonic", n=120, last=64) > 0.6  # of four classes
    assert drawn() == [2]
    assert "120 recordings of 8 frames of 128 pixels" in capsys.readouterr().out


def test_spoken_vowels(drawn):
    pytest.importorskip("aeon")
    assert run_main("spoken_vowels", sizes=(60,), witnesses=Kernels(last=120))[0] > 0.8  # of nine speakers
    assert drawn() == [2]


def test_forecast_and_the_pictures_that_are_kept(tmp_path):
    pytest.importorskip("aeon")
    pytest.importorskip("matplotlib")
    run = runpy.run_path(str(EXAMPLES / "run_all.py"))["run"]
    family = Kernels(last=100, lengths=(1, 2), readouts=("rate", "analog"))
    with pytest.warns(UserWarning, match="leaves the range of training"):
        (ahead, real), pictures = run("forecast", tmp_path, witnesses=family)
    assert np.abs(ahead - real).mean() < 60
    assert [picture.name for picture in pictures] == ["forecast-1.png"]
    assert pictures[0].stat().st_size > 1000


def test_digits_as_features(drawn):
    accuracies, sure = run_main("digits_as_features", n=300, last=60, folds=2)
    assert min(accuracies.values()) > 0.6  # of ten classes
    assert 0.1 < sure.min() < sure.max() <= 1.0
    assert drawn() == [2]


def test_proved_automaton(drawn):
    sizes = {"n_train": 60, "n_val": 10, "n_test": 10}
    taught, right = run_main("proved_automaton", task="automaton:modulo-2", **sizes)
    assert right.all()
    assert taught.outcome.checked.boxes > 0
    assert drawn() == [1]


def test_thousand_digits(drawn, capsys):
    added, right = run_main("thousand_digits", digits=10, n_train=300, last=1500)
    assert added == right
    assert "10 digits: the sum is right" in capsys.readouterr().out
    assert drawn() == [2]


def test_certified_xor(drawn, capsys):
    model, exact = run_main("certified_xor", timesteps=4, rounds=3)
    assert model.certificate_.holds(1e-6)
    assert exact.holds
    assert exact.proof.dual <= exact.proof.primal
    assert np.isclose(float(exact.proof.primal), model.certificate_.primal, rtol=1e-9)
    assert len(drawn()) == 3
    assert "problems: none" in capsys.readouterr().out


def test_demo(capsys):
    from convexsnn import Search

    sizes, family = TaskSettings(n_train=200, n_val=50, n_test=50), Search(rounds=3, effort=1e8, population=32)
    model = run_main("demo", sizes=sizes, family=family)
    assert model.certificate_.holds(1e-6)
    assert "Sequential digits: 200 images" in capsys.readouterr().out


def test_every_example_is_run_here_or_by_the_documentation():
    # `make docs` and `python examples/run_all.py` run these; as tests they would take too long.
    elsewhere = {"gestures", "polished_cnn", "power_demand"}
    run = set(re.findall(r'run_main\("(\w+)"', Path(__file__).read_text()))
    assert run | elsewhere | {"forecast", "run_all"} == {path.stem for path in EXAMPLES.glob("*.py")}
