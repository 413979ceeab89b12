"""What results say of themselves, printed and in notebooks."""

from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from torch import nn

from convexsnn import Gaussian, SpikingClassifier, polish
from convexsnn.facts import WithFacts

BITS = np.random.default_rng(0).integers(2, size=(60, 5))
X, Y = np.eye(2)[BITS], BITS[:, 0] ^ BITS[:, -1]


class Odd(WithFacts):
    def facts(self):
        return {"a <b> & c": "<script>alert(1)</script>", "x": '"1"'}


class Steps(nn.Module):
    """Threshold units that see the whole input at once, read once."""

    class LIF(nn.Module):
        def forward(self, x):
            return (x > 0).to(x.dtype)

    def __init__(self):
        super().__init__()
        self.fc, self.lif, self.out = nn.Linear(10, 40), self.LIF(), nn.Linear(40, 2)

    def forward(self, x):
        return self.out(self.lif(self.fc(x)))


@pytest.fixture(scope="module")
def model():
    return SpikingClassifier(witnesses=Gaussian(last=40), beta=0.01, random_state=0).fit(X, Y)


def rows_of(html):
    """The table that a notebook shows, as a mapping; fails where it is not well formed."""
    table = ElementTree.fromstring(html)
    assert table.tag == "table"
    return {row[0].text: row[1].text for row in table.iter("tr")}


def test_any_text_is_shown_as_it_is():
    assert rows_of(Odd()._repr_html_()) == Odd().facts()
    assert str(Odd()) == 'a <b> & c  <script>alert(1)</script>\nx          "1"'


def test_certificate_and_bound(model):
    certificate = model.certificate_
    rows = rows_of(certificate._repr_html_())
    assert float(rows["objective"]) == pytest.approx(certificate.primal)
    assert float(rows["lower bound"]) == pytest.approx(certificate.dual)
    first, *_, last = rows
    assert (first, last) == ("gap to the best network of its family", "no network of any kind is below")
    assert "learn the rows by heart" in rows[last]
    assert str(certificate).startswith("dictionary certificate")


def test_network(model):
    network = model.network_
    rows = rows_of(network._repr_html_())
    assert rows["hidden"].startswith(f"{network.hidden.n_neurons} neurons, ")
    assert rows["synapses"] == str(network.n_synapses)
    assert (rows["neurons"], rows["arithmetic"], rows["outputs"]) == ("lif", "float64", "2")
    assert len(str(network).splitlines()) == len(rows)


def test_polished():
    torch.manual_seed(0)
    loader = [(torch.tensor(X.reshape(60, 10)).float(), torch.tensor(Y))]
    result = polish(Steps(), loader, readout="out", spikes="lif", beta=0.01)
    rows = rows_of(result._repr_html_())
    assert rows["readout"] == "out, which reads lif"
    assert rows["synapses"] == f"{result.before.synapses} -> {result.after.synapses}"
    assert rows["training accuracy"].endswith(f"-> {result.after.accuracy:.2%}")
    assert str(result).splitlines()[1].split() == ["weights", "new"]
