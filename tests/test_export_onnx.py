"""Networks as programs of torch.export for any number of sequences, and as ONNX files where the packages are there."""

import pytest
import torch

from convexsnn import Sequences
from convexsnn.export import to_onnx
from convexsnn.export.onnx_file import program_of
from convexsnn.simulation import scores
from helpers import generator
from test_export import D, draw


def answers(network, X):
    return scores(network, Sequences(X, torch.full((len(X),), X.shape[1]))).unflatten(0, X.shape[:2])


def test_one_program_takes_any_number_of_sequences():
    network = draw("soft", dyadic=False, readout="membrane")
    module = program_of(network, 2).module()
    for n in (1, 5):
        X = torch.randn(n, 2, D, generator=generator(n), dtype=torch.float64)
        assert torch.allclose(module(X.transpose(0, 1)).transpose(0, 1), answers(network, X))
    with pytest.raises(ValueError, match="steps must be"):
        program_of(network, 0)


def test_without_the_packages_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(ImportError, match="onnx"):
        to_onnx(draw("soft", dyadic=False), tmp_path / "network.onnx", steps=3)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_onnx_runtime_answers_as_the_network(dtype, tmp_path):
    for package in ("onnx", "onnxscript"):
        pytest.importorskip(package)
    runtime = pytest.importorskip("onnxruntime")
    network = draw("hard", dyadic=True, leak=0.5, dtype=dtype)
    to_onnx(network, tmp_path / "network.onnx", steps=4)
    X = torch.randint(2, (7, 4, D), generator=generator(1)).to(dtype)
    (y,) = runtime.InferenceSession(tmp_path / "network.onnx").run(None, {"x": X.transpose(0, 1).numpy()})
    assert torch.allclose(torch.from_numpy(y).transpose(0, 1).double(), answers(network, X), atol=1e-5)
