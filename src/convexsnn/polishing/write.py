"""Writing solved weights into a module, judging them by what it then answers, and keeping the old ones otherwise."""

from __future__ import annotations

import time as clock
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from torch import Tensor

from convexsnn.labels import decide
from convexsnn.polishing.batches import Labels, read_labels
from convexsnn.polishing.context import surroundings
from convexsnn.polishing.layer import OutputLayer
from convexsnn.polishing.readout_program import Candidate, ReadoutProgram
from convexsnn.polishing.record import Listened, Recorded, Showing, answers
from convexsnn.polishing.result import Measured, Old, Polished, PolishPoint
from convexsnn.polishing.targets import encode
from convexsnn.solvers import SolverOptions


@dataclass(frozen=True, eq=False)
class Polishing:
    """All that is known before anything is written.

    Attributes
    ----------
    setup : Showing
    loader : iterable
    labels : Labels
    listened : Listened
    recorded : Recorded
    program : ReadoutProgram
    old : Old
    seconds : dict of str to float
    """

    setup: Showing
    loader: Iterable[Any]
    labels: Labels
    listened: Listened
    recorded: Recorded
    program: ReadoutProgram
    old: Old
    seconds: dict[str, float] = field(default_factory=dict)

    def run(self, betas: list[tuple[float, float]], options: SolverOptions, held: HeldOut | None) -> Polished:
        """Solve for all betas, write the weights of one, and judge them."""
        started = clock.perf_counter()
        with surroundings():
            candidates = self._candidates(betas, options)
        self.seconds["solve"] = clock.perf_counter() - started
        with self._undone_on_error():
            unpolished = None if held is None else held.score(self)
            points = [self._point(candidate, held) for candidate in candidates]
            picked = self._pick(candidates, points)
            chosen = candidates[picked]
            _write(self.old.readout, chosen.weights)
            self.setup.observer.begin("run the module with its new weights")
            own = answers(self.setup, self.loader, self.labels, self.listened.reading.how)
            self.check(own, chosen.weights, "after the write ")
            before, after = self._measure(self.old.rows, self.recorded.own, chosen), None
            if self._better(chosen, own, before):
                after = self._measure(chosen.weights, own, chosen)
            else:
                self.old.put_back()
        return self._result(chosen, before, after, points, picked, unpolished)

    def check(self, own: Tensor, weights: Tensor, when: str) -> None:
        """ValueError where the module's own outputs are not those of the program."""
        readout, shape = self.setup.tape.parts.readout, self.listened.heard.read.shape
        differing = self.program.disagreement(
            own,
            weights,
            eps=self.listened.eps,
            terms=shape[0] * (readout.in_features + 1),
            shifted=self.listened.reading.shifted,
        )
        if differing is not None:
            raise ValueError(
                f"module does not answer what polish solves for: {when}{differing}. Check pooling=, time= and run=; an "
                "output that is clipped, normalised or of varying steps is not linear in the readout"
            )

    def _candidates(self, betas: list[tuple[float, float]], options: SolverOptions) -> list[Candidate]:
        solving = self.program.candidates(betas, options, self.old.rows, self.old.weight.dtype)
        found = []
        for i, (beta, _) in enumerate(betas, start=1):
            self.setup.observer.begin(f"beta {beta:.3g} ({i} of {len(betas)})")
            found += islice(solving, 1)
        return found

    def _point(self, candidate: Candidate, held: HeldOut | None) -> PolishPoint:
        synapses = int(self.program.synapses(candidate.weights).sum())
        score = None
        if held is not None and synapses:
            _write(self.old.readout, candidate.weights)
            score = held.score(self)
        certificate = candidate.solution.certificate
        return PolishPoint(candidate.beta, candidate.rho, certificate.primal, certificate.relative_gap, synapses, score)

    def _pick(self, candidates: list[Candidate], points: list[PolishPoint]) -> int:
        """The first of the best on the validation data; betas fall."""
        usable = [i for i, point in enumerate(points) if point.synapses]
        if not usable:
            first = self.program.beta_of_first_weight(candidates[-1])
            raise ValueError(
                f"beta is too large: at {points[-1].beta:g} the best readout has no weight left, and the module would "
                f"answer the same to every input. Weights appear below beta = {first:.3g}"
            )
        return max(usable, key=lambda i: (points[i].validation or 0.0, -i))

    def _measure(self, weights: Tensor, own: Tensor, chosen: Candidate) -> Measured:
        return self.program.measure(weights, own, chosen.rho)

    def _better(self, chosen: Candidate, own: Tensor, before: Measured) -> bool:
        """Whether the objective is lower, on the recorded spikes and by the module's own answers."""
        rho, program = chosen.rho, self.program
        after = program.objective(program.scores(chosen.weights), chosen.weights, rho)
        by_module = program.objective(own, chosen.weights, rho)
        return after < before.objective and by_module <= program.objective(self.recorded.own, self.old.rows, rho)

    @contextmanager
    def _undone_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.old.put_back()
            raise

    def _result(
        self,
        chosen: Candidate,
        before: Measured,
        after: Measured | None,
        points: list[PolishPoint],
        picked: int,
        unpolished: float | None,
    ) -> Polished:
        weights = self.old.rows if after is None else chosen.weights
        score = points[picked].validation
        dictionary, parts, head = self.program.dictionary, self.setup.tape.parts, self.program.head
        with surroundings():
            certificate = self.program.certify(weights, chosen.solution.U, chosen.rho)
        return Polished(
            certificate=certificate,
            before=before,
            after=after or before,
            improved=after is not None,
            readout=parts.readout_name,
            spikes=parts.spikes_name,
            steps=self.recorded.steps,
            reads_spikes=self.recorded.reads_spikes,
            silent=dictionary.n_silent,
            duplicates=dictionary.n_duplicates,
            status=chosen.solution.status,
            solver=chosen.solution.solver,
            seconds=self.seconds,
            beta=chosen.beta,
            head=None if head.is_identity else head.matrix,
            validation=None if unpolished is None or score is None else (unpolished, score if after else unpolished),
            path=tuple(points),
            _old=self.old,
        )


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Data that are not trained on.

    Attributes
    ----------
    loader : iterable
    labels : Labels
    targets : float64 tensor of shape (rows, C_out)
    """

    loader: Iterable[Any]
    labels: Labels
    targets: Tensor

    @classmethod
    def read(cls, polishing: Polishing, loader: Iterable[Any]) -> HeldOut:
        """One pass over `loader` for its labels."""
        labels, program = read_labels(loader, polishing.setup.rows, "validation"), polishing.program
        if labels.values.is_floating_point() != program.labels.is_floating_point():
            raise ValueError("validation must have labels of the same kind as loader: classes, or real numbers")
        return cls(loader, labels, encode(labels.values, program.targets.shape[1], program.loss))

    def score(self, polishing: Polishing) -> float:
        """Accuracy of the module as it is now, or minus the mean squared error of real targets."""
        own = answers(polishing.setup, self.loader, self.labels, polishing.listened.reading.how)
        if self.labels.values.is_floating_point():
            return -float(((own - self.targets) ** 2).sum(dim=1).mean())
        return float((decide(own) == self.labels.values).double().mean())


def _write(readout: OutputLayer, weights: Tensor) -> None:
    """Weights (F or F + 1, C) into a readout; the last row is the bias, where it has one."""
    readout.write(weights[: readout.in_features].T, weights[-1])
