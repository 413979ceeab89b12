"""Public architectures through `polish`: each is improved, left as it is, or refused with the nearest thing that works.

    OMP_NUM_THREADS=1 python benchmarks/polish_architectures.py [--n 300] [--epochs 3]

They are written small after the tutorials and examples of snnTorch, SpikingJelly, Norse and SpyTorch, for the digits of
scikit-learn. Each is trained on its own outputs and polished on the same images. The objective is the module's own,
computed here by running it before and after. Where a network is refused, the next row is what the message or
docs/polish.md says instead.
"""

import argparse
import warnings

import torch
from torch import nn

from polish_networks import Case, Fire
from polish_safety import digits, try_one

T, WIDTH, CLASSES, BETA = 6, 40, 10, 0.9
IMAGE = (1, 8, 8)
SPIKES_FOLLOW = "is followed by the spiking layer"
NOT_LINEAR = "not linear in the readout"


class Torch(nn.Module):
    """snnTorch's tutorial networks: `body` to the last hidden spikes, a Linear, and an output neuron.

    `answer` says what is returned of the output layer: "spikes", "membranes", "max membrane", "last membrane" or
    "currents", the outputs of the Linear itself.
    """

    def __init__(self, body, features, answer="spikes", outputs=CLASSES, reset="subtract"):
        import snntorch as snn

        super().__init__()
        self.body, self.fc, self.answer = body, nn.Linear(features, outputs), answer
        self.out = snn.Leaky(BETA, reset_mechanism=reset) if answer != "currents" else None

    def forward(self, x):
        for part in self.body:
            if hasattr(part, "reset_mem"):
                part.reset_mem()
        mem, found = torch.zeros(1), {"spikes": [], "membranes": [], "currents": []}
        for _ in range(T):
            current = self.fc(self.body(x))
            if self.out is not None:
                spikes, mem = self.out(current, mem)
                found["spikes"].append(spikes)
                found["membranes"].append(mem)
            found["currents"].append(current)
        if self.answer == "max membrane":
            return torch.stack(found["membranes"]).amax(0)
        return mem if self.answer == "last membrane" else torch.stack(found[self.answer]).sum(0)


def dense(kind="Leaky", width=WIDTH):
    """Tutorials 3 to 5, and their neurons of second order and with recurrence."""
    import snntorch as snn

    neurons = {
        "Leaky": lambda: snn.Leaky(BETA, init_hidden=True),
        "Synaptic": lambda: snn.Synaptic(0.8, BETA, init_hidden=True),
        "Alpha": lambda: snn.Alpha(0.9, 0.8, init_hidden=True),
        "RLeaky": lambda: snn.RLeaky(BETA, linear_features=width, init_hidden=True),
    }
    return nn.Sequential(nn.Linear(64, width), neurons[kind]())


def convolution():
    """Tutorial 6."""
    import snntorch as snn

    lif = lambda: snn.Leaky(0.5, threshold=0.5, init_hidden=True)  # noqa: E731
    first = nn.Sequential(nn.Unflatten(1, IMAGE), nn.Conv2d(1, 4, 3, padding=1), nn.MaxPool2d(2), lif())
    return nn.Sequential(*first, nn.Conv2d(4, 8, 3, padding=1), nn.MaxPool2d(2), lif(), nn.Flatten())


class Population(nn.Module):
    """The tutorial on population codes: several outputs a class, summed."""

    def __init__(self, answer, each=3):
        super().__init__()
        self.net, self.each = Torch(dense(), WIDTH, answer, CLASSES * each), each

    def forward(self, x):
        return self.net(x).unflatten(1, (CLASSES, self.each)).sum(2)


class Jelly(nn.Module):
    """SpikingJelly's examples: modules in multi-step mode, and the mean over the steps."""

    def __init__(self, *modules):
        super().__init__()
        self.net = nn.Sequential(*modules)

    def forward(self, x):
        from spikingjelly.activation_based import functional

        functional.reset_net(self)
        return self.net(2 * x.repeat(T, 1, 1)).mean(0)


def jelly(name):
    from spikingjelly.activation_based import layer, neuron, surrogate

    multi = {"step_mode": "m"}
    lif = lambda: neuron.LIFNode(tau=2.0, v_threshold=0.1, surrogate_function=surrogate.ATan(), **multi)  # noqa: E731
    stem = lambda: (  # noqa: E731
        nn.Unflatten(2, IMAGE), layer.Conv2d(1, 4, 3, padding=1, **multi), layer.BatchNorm2d(4, **multi), lif(),
        layer.MaxPool2d(2, 2, **multi),
    )  # fmt: skip
    flat = lambda: layer.Flatten(**multi)  # noqa: E731
    linear = lambda n, m: layer.Linear(n, m, **multi)  # noqa: E731
    parts = {
        "lif_fc_mnist": lambda: (linear(64, CLASSES), lif()),
        "CSNN": lambda: (*stem(), flat(), linear(64, WIDTH), lif(), linear(WIDTH, CLASSES), lif()),
        "CSNN, read": lambda: (*stem(), flat(), linear(64, WIDTH), lif(), linear(WIDTH, CLASSES)),
        "DVSGestureNet": lambda: (
            *stem(), flat(), layer.Dropout(0.5, **multi), linear(64, 2 * CLASSES), lif(),
            layer.VotingLayer(2, **multi),
        ),
        "DVSGestureNet, read": lambda: (
            *stem(), flat(), layer.Dropout(0.5, **multi), linear(64, 2 * CLASSES), layer.VotingLayer(2, **multi),
        ),
        "spiking VGG": lambda: (
            *stem(), layer.Conv2d(4, 8, 3, padding=1, **multi), lif(), layer.AdaptiveAvgPool2d((2, 2), **multi), flat(),
            linear(32, CLASSES),
        ),
        "1 x 1 convolution": lambda: (
            *stem(), layer.AdaptiveAvgPool2d((1, 1), **multi), layer.Conv2d(4, CLASSES, 1, **multi), flat(),
        ),
        "1 x 1 convolution, averaged": lambda: (
            *stem(), layer.Conv2d(4, CLASSES, 1, **multi), layer.AdaptiveAvgPool2d((1, 1), **multi), flat(),
        ),
        "1 x 1 convolution, as Linear": lambda: (
            *stem(), layer.AdaptiveAvgPool2d((1, 1), **multi), flat(), linear(4, CLASSES),
        ),
    }  # fmt: skip
    return Jelly(*parts[name]())


class Sew(nn.Module):
    """A block of SEW-ResNet: spikes are added, then read."""

    def __init__(self):
        from spikingjelly.activation_based import layer, neuron

        super().__init__()
        lif = lambda: neuron.IFNode(v_threshold=0.5, step_mode="m")  # noqa: E731
        conv = lambda n: layer.Conv2d(n, 4, 3, padding=1, step_mode="m")  # noqa: E731
        self.conv1, self.sn1, self.conv2, self.sn2 = conv(1), lif(), conv(4), lif()
        self.pool, self.fc = layer.AvgPool2d(2, step_mode="m"), nn.Linear(64, CLASSES)

    def forward(self, x):
        from spikingjelly.activation_based import functional

        functional.reset_net(self)
        first = self.sn1(self.conv1(2 * x.repeat(T, 1, 1).unflatten(2, IMAGE)))
        return self.fc(self.pool(self.sn2(self.conv2(first)) + first).flatten(2)).mean(0)


class Norse(nn.Module):
    """Norse's examples: cells in a loop, a leaky integrator, and its last or its largest membrane."""

    def __init__(self, cell, output="LIBoxCell", largest=False):
        import norse.torch as norse

        super().__init__()
        recurrent = cell in ("LIFRecurrentCell", "LSNNRecurrentCell")
        self.inp = nn.Identity() if recurrent else nn.Linear(64, WIDTH)
        self.cell = getattr(norse, cell)(64, WIDTH) if recurrent else getattr(norse, cell)()
        self.largest, self.whole = largest, output == "LILinearCell"
        self.out = nn.Identity() if self.whole else nn.Linear(WIDTH, CLASSES, bias=False)
        self.li = norse.LILinearCell(WIDTH, CLASSES) if self.whole else norse.LIBoxCell(dt=0.001)

    def forward(self, x):
        s, v, found = None, None, []
        for _ in range(10):
            z, s = self.cell(20 * self.inp(x), s)
            y, v = self.li(self.out(z), v)
            found.append(y)
        return torch.stack(found).amax(0) if self.largest else found[-1]


class SpyTorch(nn.Module):
    """Zenke's SpyTorch: synaptic currents, spikes, and readout membranes, of which the last or the largest is read."""

    def __init__(self, largest):
        super().__init__()
        self.inp, self.out, self.largest = nn.Linear(64, WIDTH), nn.Linear(WIDTH, CLASSES, bias=False), largest
        self.spike = nn.Identity()

    def forward(self, x):
        syn, mem, flow, found = 0.0, torch.zeros(len(x), WIDTH), torch.zeros(len(x), CLASSES), []
        for _ in range(T):
            spikes = self.spike(Fire.apply(mem - 1.0))
            syn = 0.8 * syn + self.inp(x)
            mem = (0.9 * mem + syn) * (1.0 - spikes)
            flow = 0.9 * flow + self.out(spikes)
            found.append(flow)
        return torch.stack(found).amax(0) if self.largest else flow


def said(net, x):
    """What the readout of a network says at every step, whatever the network itself returns."""
    heard = []
    hook = net.fc.register_forward_hook(lambda *parts: heard.append(parts[-1]))
    net(x)
    hook.remove()
    return heard


COUNT, MEAN = {"pooling": "count"}, {"pooling": "mean", "time": "first"}
LEAKY = {"pooling": "leaky", "leak": BETA}
NAMED = COUNT | {"readout": "fc", "spikes": "body.1"}
ARCHITECTURES = {
    "snnTorch tutorial 5: dense, spiking output, ce_rate_loss": Case(
        lambda: Torch(dense(), WIDTH), COUNT, refused=SPIKES_FOLLOW
    ),
    "the same, what its last Linear says summed": Case(
        lambda: Torch(dense(), WIDTH), NAMED | {"run": said}, lambda net, x: torch.stack(said(net, x)).sum(0)
    ),
    "snnTorch tutorial 5: membranes of spiking output": Case(
        lambda: Torch(dense(), WIDTH, "membranes"), NAMED, refused=NOT_LINEAR
    ),
    "snnTorch: ce_max_membrane_loss": Case(
        lambda: Torch(dense(), WIDTH, "max membrane", reset="none"), NAMED, refused=NOT_LINEAR
    ),
    "the same, last membrane of output without reset": Case(
        lambda: Torch(dense(), WIDTH, "last membrane", reset="none"), LEAKY | {"readout": "fc", "spikes": "body.1"}
    ),
    "snnTorch tutorial 6: convolutions, spiking output": Case(
        lambda: Torch(convolution(), 32), COUNT, refused=SPIKES_FOLLOW
    ),
    "the same, currents summed": Case(lambda: Torch(convolution(), 32, "currents"), COUNT),
    "snnTorch population code, spiking output": Case(lambda: Population("spikes"), COUNT, refused=SPIKES_FOLLOW),
    "the same, currents summed by threes": Case(lambda: Population("currents"), COUNT),
    "snnTorch: Synaptic neurons": Case(lambda: Torch(dense("Synaptic"), WIDTH, "currents"), COUNT),
    "snnTorch: Alpha neurons": Case(lambda: Torch(dense("Alpha"), WIDTH, "currents"), COUNT),
    "snnTorch: RLeaky, recurrent": Case(lambda: Torch(dense("RLeaky"), WIDTH, "currents"), COUNT),
    "SpikingJelly lif_fc_mnist: one spiking layer": Case(lambda: jelly("lif_fc_mnist"), MEAN, refused=SPIKES_FOLLOW),
    "SpikingJelly conv_fashion_mnist (CSNN)": Case(lambda: jelly("CSNN"), MEAN, refused=SPIKES_FOLLOW),
    "the same without its last neurons": Case(lambda: jelly("CSNN, read"), MEAN),
    "SpikingJelly DVSGestureNet: spikes vote": Case(lambda: jelly("DVSGestureNet"), MEAN, refused=SPIKES_FOLLOW),
    "the same, currents vote": Case(lambda: jelly("DVSGestureNet, read"), MEAN),
    "SpikingJelly spiking VGG": Case(lambda: jelly("spiking VGG"), MEAN | {"beta": 1e-4}),
    "SpikingJelly SEW-ResNet": Case(Sew, MEAN),
    "SpikingJelly: readout is a 1 x 1 convolution": Case(lambda: jelly("1 x 1 convolution"), MEAN | {"beta": 1e-3}),
    "the same before the average over places": Case(
        lambda: jelly("1 x 1 convolution, averaged"), MEAN, refused="let the pooling over places come before it"
    ),
    "the same as a Linear": Case(lambda: jelly("1 x 1 convolution, as Linear"), MEAN | {"beta": 1e-3}),
    "Norse MNIST: LILinearCell": Case(lambda: Norse("LIFCell", "LILinearCell"), LEAKY, refused="LICell instead"),
    "Norse MNIST: Linear and LI, largest membrane": Case(
        lambda: Norse("LIFCell", largest=True), LEAKY, refused=NOT_LINEAR
    ),
    "the same, last membrane": Case(lambda: Norse("LIFCell"), LEAKY),
    "Norse: LIFRecurrentCell": Case(lambda: Norse("LIFRecurrentCell"), LEAKY),
    "Norse: LSNNRecurrentCell": Case(lambda: Norse("LSNNRecurrentCell"), LEAKY),
    "SpyTorch: largest readout membrane": Case(
        lambda: SpyTorch(True), LEAKY | {"spikes": "spike", "readout": "out"}, refused=NOT_LINEAR
    ),
    "SpyTorch: last readout membrane": Case(lambda: SpyTorch(False), LEAKY | {"spikes": "spike", "readout": "out"}),
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=300)
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    parts, counts = digits(options.n), {"improved": 0, "left": 0, "refused": 0, "misread": 0}
    print("| architecture | own objective, before | after | training accuracy % | what polish says |")
    print("|---|---|---|---|---|")
    for name, case in ARCHITECTURES.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result, objectives, accuracies, _ = try_one(case, parts, options.epochs)
        if isinstance(result, ValueError):
            kind = "refused" if case.refused is not None and case.refused in str(result) else "misread"
            print(f"| {name} | | | | refused: {result} |", flush=True)
        else:
            kind = "improved" if result.improved else "left"
            if case.refused is not None or objectives[1] > objectives[0]:
                kind = "misread"
            percent = " to ".join(f"{100 * own:.1f}" for own in accuracies)
            print(f"| {name} | {objectives[0]:.4f} | {objectives[1]:.4f} | {percent} | {kind} |", flush=True)
        counts[kind] += 1
    print(f"\n{len(ARCHITECTURES)} architectures: {', '.join(f'{n} {kind}' for kind, n in counts.items())}")


if __name__ == "__main__":
    main()
