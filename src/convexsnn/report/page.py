"""The page itself: tables, pictures, and plain words where one is missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import PredictionErrorDisplay

from convexsnn.checks import check_integer
from convexsnn.cost import Cost
from convexsnn.display import (
    BoundsDisplay,
    CertificateDisplay,
    ColumnsDisplay,
    ConfusionDisplay,
    CostDisplay,
    RasterDisplay,
    WeightsDisplay,
)
from convexsnn.display.text import readable
from convexsnn.estimators import Estimator, SpikingClassifier
from convexsnn.report import tables
from convexsnn.report.contents import PageContents
from convexsnn.report.figures import Picture, picture
from convexsnn.report.templates import fill, require_pages
from convexsnn.tasks import Split

# Classes beyond which the numbers in a confusion matrix are too many to read.
READABLE = 12


@dataclass(frozen=True)
class Part:
    """Pictures of one section, and what is to be said of them, or why there are none."""

    pictures: tuple[Picture, ...] = ()
    note: str = ""


def render(contents: PageContents) -> str:
    """The page as HTML.

    Raises
    ------
    ImportError
        Without matplotlib or jinja2 (`pip install 'convexsnn[plot]'`).
    ValueError
        When `inputs` names a sequence that there is not, or the data do not fit the network.
    """
    require_pages("a report")
    estimator = contents.estimator
    return fill(
        "page.html",
        contents=contents,
        version=contents.version,
        summary=tables.summary(contents),
        settings=tables.settings(contents),
        training=tables.training(contents),
        certificate=tables.certificates(estimator),
        certified=all(fit.certificate_.holds(estimator.tol) for fit in estimator.fits),
        tol=estimator.tol,
        proved=tables.what_is_proved(estimator),
        scores=tables.score_lines(contents.metrics),
        cost=tables.cost(contents.metrics),
        path=tables.path(estimator),
        parts={
            "certificate": certificate_part(contents),
            "bounds": bounds_part(contents),
            "confusion": confusion_part(contents),
            "raster": raster_part(contents),
            "weights": weights_part(contents),
            "columns": columns_part(contents),
            "cost": cost_part(contents),
        },
    )


def certificate_part(contents: PageContents) -> Part:
    """Objective beside its bounds, of each fit."""
    of = ["the network"] if not contents.estimator.members_ else [f"member {k}" for k in range(contents.members)]
    displays = [CertificateDisplay(fit.certificate_) for fit in contents.estimator.fits]
    return Part(
        tuple(
            picture(shown.plot, f"Training objective of {name}, and its lower bounds", size=(6, 2.2))
            for name, shown in zip(of, displays, strict=True)
        )
    )


def bounds_part(contents: PageContents) -> Part:
    """The course of the search, of each fit."""
    histories = [fit.history_ for fit in contents.estimator.fits if fit.history_]
    if not histories:
        return Part(note="The hidden neurons were not searched, so there is no course of bounds over time.")
    caption = "Objective, lower bound on the dictionary of each round and on any network, against time"
    return Part(tuple(picture(BoundsDisplay(own).plot, caption, size=(8, 4.8), panels=2) for own in histories))


def confusion_part(contents: PageContents) -> Part:
    """Answers against labels, or predictions against targets."""
    name = contents.shown
    if name is None:
        return Part(note=contents.missing)
    estimator, split = contents.estimator, contents.splits[name]
    if isinstance(estimator, SpikingClassifier):
        classes = estimator.classes_ if isinstance(estimator.classes_, list) else [estimator.classes_]
        return Part(tuple(_confusion(estimator, split, name, k, len(classes)) for k in range(len(classes))))
    targets, answers = (_by_output(estimator, values) for values in (split.y, estimator.predict(split.X)))
    return Part(tuple(_errors(*pair, name, k) for k, pair in enumerate(zip(targets, answers, strict=True))))


def _by_output(estimator: Estimator, values: Any) -> np.ndarray:
    """Targets or answers of a regressor, in the form of its `predict`: (C, rows)."""
    rows = np.concatenate([np.asarray(own) for own in values]) if estimator.per_step else np.asarray(values)
    return rows.reshape(len(rows), -1).T


def _confusion(estimator: SpikingClassifier, split: Split, name: str, output: int, outputs: int) -> Picture:
    of = f", output {output}" if outputs > 1 else ""
    classes = estimator.classes_[output] if isinstance(estimator.classes_, list) else estimator.classes_
    few = len(classes) <= READABLE
    settings: dict[str, Any] = {"include_values": few, "cmap": "Blues", "xticks_rotation": "horizontal"}
    if any(len(readable(label)) > 3 for label in classes):
        settings["xticks_rotation"] = "vertical"
    draw = lambda ax: ConfusionDisplay.from_estimator(  # noqa: E731
        estimator, split.X, split.y, output=output, ax=ax, **settings
    )
    return picture(draw, f"Confusion matrix of the {name} split{of}: labels down, answers across", size=(4.8, 4.0))


def _errors(targets: np.ndarray, answers: np.ndarray, name: str, output: int) -> Picture:
    draw = lambda ax: PredictionErrorDisplay(y_true=targets, y_pred=answers).plot(  # noqa: E731
        ax=ax, kind="actual_vs_predicted", scatter_kwargs={"rasterized": True}
    )
    return picture(draw, f"Targets of the {name} split against predictions, output {output}", size=(4.8, 4.0))


def raster_part(contents: PageContents) -> Part:
    """Spikes on chosen inputs."""
    name = contents.shown
    if name is None:
        return Part(note=contents.missing)
    split = contents.splits[name]
    chosen = [check_integer("inputs", i, minimum=0, maximum=len(split) - 1) for i in contents.inputs]
    if not contents.estimator.network_.hidden.branches:
        return Part(note="The network has no neurons: all its weights are zero.")
    return Part(tuple(_raster(contents, split, name, i) for i in chosen or _one_a_class(split)))


def _raster(contents: PageContents, split: Split, name: str, index: int) -> Picture:
    estimator = contents.estimator
    one = split.X[index : index + 1]
    draw = lambda ax: RasterDisplay.from_estimator(estimator, one, ax=ax)  # noqa: E731
    label, answer = _short(split.y[index]), _short(estimator.predict(one)[0])
    caption = f"Spikes of the network on sequence {index} of the {name} split: label {label}, answer {answer}"
    return picture(draw, caption, size=(4.8, 3.6))


def _short(label: Any) -> str:
    """A label, or the first few of those of many steps, in a caption."""
    values = np.asarray(label)
    if values.ndim == 0:
        return f"{values.item():.4g}" if values.dtype.kind == "f" else readable(values.item())
    text = " ".join(map(_short, values[:12]))
    return f"({text}{' ...' if len(values) > 12 else ''})"


def _one_a_class(split: Split) -> list[int]:
    """The first sequence of each of up to three classes; of labels at every step, the first sequence."""
    labels = np.asarray(split.y) if not isinstance(split.y, list) else None
    if labels is None or labels.ndim != 1 or labels.dtype.kind == "f":
        return [0]
    return sorted(np.unique(labels, return_index=True)[1].tolist())[:3]


def weights_part(contents: PageContents) -> Part:
    """Output weights, and what the first layers make of the input."""
    network = contents.estimator.network_
    if not network.hidden.branches:
        return Part(note="The network has no neurons: all its weights are zero.")
    captions = {"readout": "Output weights, the neurons of largest weight first", "input": "Input weights"}
    draw = lambda which: lambda ax: WeightsDisplay.from_network(network, which=which, ax=ax)  # noqa: E731
    return Part(tuple(picture(draw(which), caption, size=(6, 3.2)) for which, caption in captions.items()))


def columns_part(contents: PageContents) -> Part:
    """Score against columns, of each split and of a path."""
    estimator = contents.estimator
    if estimator.members_:
        return Part(note="The network is the mean of several fits: save one of its members_ to see its columns.")
    several = [point for point in estimator.path_ if point.validation_score is not None]
    if not contents.splits and not several:
        return Part(note=contents.missing)

    def draw(ax: Any) -> None:
        for name, split in contents.splits.items():
            ColumnsDisplay.from_estimator(estimator, split.X, split.y, name=f"{name}, largest weights", ax=ax)
        if several:
            ColumnsDisplay.from_path(estimator, name="validation, solved anew for each beta", ax=ax)

    note = "Largest weights: the other weights are set to zero, and nothing is solved again. "
    note += "" if contents.splits else contents.missing
    return Part((picture(draw, "Score against columns with weight", size=(8, 3.4)),), note.strip())


def cost_part(contents: PageContents) -> Part:
    """Operations and spikes of an inference, as `fit` measured them."""
    fields: dict[str, Callable[..., Any]] = Cost.__dataclass_fields__  # type: ignore[assignment]
    if not fields.keys() <= contents.metrics.keys():
        return Part(note="There is no metrics.json beside the model, in which fit writes the cost of inference.")
    shown = CostDisplay(Cost(**{name: contents.metrics[name] for name in fields}))
    return Part((picture(shown.plot, "What an inference costs, averaged over sequences", size=(6, 2.2)),))
