"""The examples run, and show what they say."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_polish_snntorch(capsys):
    pytest.importorskip("snntorch")
    result = runpy.run_path(str(EXAMPLES / "polish_snntorch.py"))["main"]()
    assert result.certificate.holds(1e-6)
    assert result.after.synapses < 0.5 * result.before.synapses
    assert "polished: test accuracy" in capsys.readouterr().out


def test_nir_round_trip(capsys):
    pytest.importorskip("nir")
    difference = runpy.run_path(str(EXAMPLES / "nir_round_trip.py"))["main"]()
    assert difference < 1e-5
    assert "read back" in capsys.readouterr().out
