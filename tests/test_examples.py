"""The examples run, and show what they say."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest

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


def test_time_series_aeon(drawn):
    pytest.importorskip("aeon")
    assert min(run_main("time_series_aeon", seconds=None, rounds=1)) > 0.6  # of two classes
    assert len(drawn()) == 2


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
    from convexsnn.tasks import TaskSettings

    sizes, family = TaskSettings(n_train=200, n_val=50, n_test=50), Search(rounds=3, effort=1e8, population=32)
    model = run_main("demo", sizes=sizes, family=family)
    assert model.certificate_.holds(1e-6)
    assert "Sequential digits: 200 images" in capsys.readouterr().out


def test_every_example_is_run_here():
    run = set(re.findall(r'run_main\("(\w+)"', Path(__file__).read_text()))
    assert run == {path.stem for path in EXAMPLES.glob("*.py")}
