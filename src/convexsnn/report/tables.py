"""The tables of a page: settings, data, certificate, scores, cost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from convexsnn.certificate import NOT_ASKED, Certificate
from convexsnn.display.text import readable
from convexsnn.estimators import Estimator
from convexsnn.families import Mixture
from convexsnn.global_bound import BY_HEART, GlobalBound, shown_gap
from convexsnn.metrics import shown_bound
from convexsnn.report.contents import SHOWN, PageContents
from convexsnn.report.text_table import TextTable
from convexsnn.training import Trained

# Characters of a label, and classes, that a table shows.
LONGEST_LABEL, MOST_CLASSES = 60, 40
Lines = list[tuple[str, str]]
OF_MEAN = "the mean of several fits. Each has a certificate; the mean solves no program, and nothing is proved of it."
PROVED = {
    "dictionary": "No output weights on these hidden neurons reach a training objective below the lower bound, for "
    "this loss, penalty and rho, on these training data, up to rounding in float64. It says nothing about other hidden "
    "weights, nor about data that were not trained on.",
    "search": "No better neuron was found by the search that was made: evidence, not proof. The lower bound itself is "
    "proved for output weights on these hidden neurons only.",
    "global": "No network of the family named below, whatever its hidden weights, reaches a training objective below "
    "the lower bound, at this loss, penalty and rho, on these training data, under the assumptions named. It says "
    "nothing about data that were not trained on.",
}


def number(value: Any) -> str:
    """As a person reads it."""
    if value is None:
        return "none"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def summary(contents: PageContents) -> Lines:
    """The few numbers that a reader looks for first, largest in the page."""
    claims, metrics = [fit.certificate_ for fit in contents.estimator.fits], contents.metrics
    split = next((name for name in SHOWN if metrics.get(name)), None)
    rows = [] if split is None else score_lines({split: metrics[split]})[:1]
    families = [claim.family_bound.relative_gap for claim in claims if claim.family_bound is not None]
    if families and not contents.members:
        rows.append(("gap to the best network of its family", shown_gap(families[0])))
    of = "of each member to the best readout of its" if contents.members else "to the best readout of its"
    rows.append((f"gap {of} neurons", shown_gap(max(claim.relative_gap for claim in claims))))
    network = contents.estimator.network_
    rows += [("neurons", f"{network.hidden.n_neurons:,}"), ("synapses", f"{network.n_synapses:,}")]
    if "effective_acs" in metrics:
        rows.append(("operations an inference", f"{metrics['effective_acs'] + metrics['effective_macs']:,.0f}"))
    return rows


def settings(contents: PageContents) -> Lines:
    """All parameters of the estimator, of its witness families and of the task; those that are None are left out."""
    estimator, family = contents.estimator, contents.estimator.family
    families = family.parts if isinstance(family, Mixture) else (family,)
    parameters: dict[str, Any] = dict(sorted(estimator.get_params(deep=False).items()))
    parameters["witnesses"] = " + ".join(part.name for part in families)
    for part in families:
        parameters |= {f"{part.name}: {name}": value for name, value in part.to_dict().items() if name != "family"}
    parameters |= {f"data: {name}": value for name, value in contents.source.items()}
    lines = [(name, number(value)) for name, value in parameters.items() if value is not None]
    return [("estimator", type(estimator).__name__), *lines]


def training(contents: PageContents) -> Lines:
    """What was trained, on what, and how it went."""
    estimator, metrics, hidden = contents.estimator, contents.metrics, contents.estimator.network_.hidden
    layers = ["-".join(str(layer.m) for layer in branch.layers) for branch in hidden.branches]
    shape = layers[0] if len(layers) == 1 else f"{len(layers)} branches: {', '.join(layers[:6])}"
    rows = [
        ("data", contents.title),
        ("sequences", ", ".join(f"{n} {split}" for split, n in metrics.get("n", {}).items())),
        ("input features", number(estimator.n_features_in_)),
        ("classes", _classes(estimator)),
        ("network", f"the mean of {contents.members} fits, of which nothing is proved" if contents.members else ""),
        ("hidden neurons sampled or found", _each(fit.trained_.witnesses.n_neurons for fit in estimator.fits)),
        ("network kept", (shape if layers else "no neurons") + (", ..." if len(layers) > 6 else "")),
        ("neurons that never spike", f"{hidden.n_silent}, which pass the input on" if hidden.n_silent else ""),
        ("readout", f"{hidden.readout}, {'every step' if hidden.every_step else 'last step'}"),
        ("loss, penalty", _each(f"{f.certificate_.loss_name}, {f.certificate_.penalty_name}" for f in estimator.fits)),
        ("beta", _each(number(fit.beta_) for fit in estimator.fits)),
        ("solver", _each(_course(fit.trained_) for fit in estimator.fits)),
        ("search ended", _each(fit.stopped_ or "" for fit in estimator.fits)),
        ("seconds", ", ".join(f"{k} {v:.2f}" for k, v in _seconds(contents).items())),
    ]
    return [(name, value) for name, value in rows if value]


def _each(values: Iterable[Any]) -> str:
    """What is said of each fit, once where it is the same of all."""
    return "; ".join(dict.fromkeys(map(str, values)))


def _course(trained: Trained) -> str:
    return f"{trained.solver}, {trained.n_iter} iterations: {trained.status.value}"


def _seconds(contents: PageContents) -> Mapping[str, float]:
    fits = [fit.trained_.seconds for fit in contents.estimator.fits]
    return contents.metrics.get("seconds", {stage: sum(own[stage] for own in fits) for stage in fits[0]})


def _classes(estimator: Estimator) -> str:
    classes = getattr(estimator, "classes_", None)
    if classes is None:
        return ""
    each = [_listed(own) for own in (classes if isinstance(classes, list) else [classes])]
    return each[0] if len(each) == 1 else "; ".join(f"output {k}: {text}" for k, text in enumerate(each))


def _listed(classes: Any) -> str:
    """The first of the classes of one output, and how many there are where there are more."""
    text = ", ".join(readable(label, LONGEST_LABEL) for label in classes[:MOST_CLASSES])
    return text if len(classes) <= MOST_CLASSES else f"{text}, ... ({len(classes)} classes)"


def what_is_proved(estimator: Estimator) -> str:
    """In words, what the certificates say."""
    texts = list(dict.fromkeys(PROVED[fit.certificate_.scope] for fit in estimator.fits))
    return " ".join([f"The network is {OF_MEAN}", *texts] if estimator.members_ else texts)


def certificates(estimator: Estimator) -> Lines:
    """The certificate of the fit, or those of the members of a mean, one after the other."""
    each = [certificate(fit.certificate_) for fit in estimator.fits]
    if not estimator.members_:
        return each[0]
    return [line for k, own in enumerate(each) for line in [("member", str(k)), *own]]


def certificate(claim: Certificate) -> Lines:
    """What the certificate says: first how far the best network of the family is, last what any network reaches."""
    family, universal = claim.family_bound, claim.global_bound
    rows = [("gap to the best network of its family", NOT_ASKED)] if family is None else _bound(family, "its family")
    rows += [
        ("scope", claim.scope),
        ("loss", claim.loss_name),
        ("penalty", claim.penalty_name),
        ("rho", number(claim.rho)),
        ("arithmetic", claim.dtype),
        ("objective (primal)", f"{claim.primal:.12g}"),
        ("lower bound (dual)", f"{claim.dual:.12g}" if math.isfinite(claim.dual) else "none"),
        ("gap", f"{claim.gap:.3e}"),
        ("relative gap", f"{claim.relative_gap:.3e}"),
        ("rows n, columns P, outputs C", f"{claim.n}, {claim.P}, {claim.C}"),
        ("support", f"{claim.support} columns, {claim.nonzeros} weights"),
        ("spike margin", _margin(claim.spike_margin)),
    ]
    return rows if universal is None else [*rows, *_bound(universal, "any kind"), ("what that says", BY_HEART)]


def _bound(bound: GlobalBound, kind: str) -> Lines:
    """A bound over networks, and what it rests on."""
    gap = [] if bound.method == "universal" else [(f"gap to the best network of {kind}", shown_gap(bound.relative_gap))]
    return [
        *gap,
        (f"no network of {kind} is below", f"{bound.value:.12g} ({bound.method})"),
        (f"networks of {kind}", bound.family),
        *(("assumption", text) for text in bound.assumptions),
    ]


def _margin(margin: float | None) -> str:
    if margin is None:
        return "unknown"
    return f"{margin:.3e}" if margin else "0: a membrane meets its threshold exactly"


def score_lines(metrics: Mapping[str, Any]) -> Lines:
    """Scores of every split that `fit` wrote down."""
    rows = []
    for split in ("train", "val", "test", "closed_loop"):
        for name, value in metrics.get(split, {}).items():
            shown = f"{value:.4f}" if name == "r2" else f"{100 * value:.2f} %"
            rows.append((f"{split.replace('_', ' ')} {name.replace('_', ' ')}", shown))
    if (most := metrics.get("test_error_bound")) is not None:
        rows.append(("test error", shown_bound(most)))
    if metrics.get("unseen_share") is not None:
        rows.append(("test sequences not seen in training", f"{100 * metrics['unseen_share']:.1f} %"))
    return rows


def cost(metrics: Mapping[str, Any]) -> Lines:
    """The cost of inference that `fit` wrote down."""
    names = {
        "neurons": ("neurons", "{:,}"),
        "silent_neurons": ("of them never spiking: they pass the input on", "{:,}"),
        "synapses": ("synapses, readout included", "{:,}"),
        "connection_sparsity": ("connection sparsity", "{:.1%}"),
        "activation_sparsity": ("activation sparsity", "{:.1%}"),
        "spikes_per_inference": ("spikes per inference", "{:,.1f}"),
        "effective_acs": ("accumulates per inference", "{:,.1f}"),
        "effective_macs": ("multiply-accumulates per inference", "{:,.1f}"),
        "dense_operations": ("operations per inference if none were skipped", "{:,.1f}"),
    }
    return [(text, form.format(metrics[name])) for name, (text, form) in names.items() if name in metrics]


def path(estimator: Estimator) -> TextTable | None:
    """One row for each beta that was compared; None where there was only one, and for a mean of several fits."""
    points = [] if estimator.members_ else estimator.path_
    if len(points) < 2:
        return None
    head = ("beta", "objective", "relative gap", "columns with weight", "train score", "validation score", "choice")
    rows = []
    for point in points:
        scored = ["-" if s is None else f"{s:.4f}" for s in (point.train_score, point.validation_score)]
        own = point.certificate
        numbers = (f"{point.beta:.3g}", f"{own.primal:.6g}", f"{own.relative_gap:.1e}", str(point.support))
        rows.append((*numbers, *scored, "picked" if point.beta == estimator.beta_ else ""))
    return TextTable("Path of betas", head, tuple(rows))
