"""A fit as a whole: columns from a witness family, a path of betas, and the pick of one."""

from __future__ import annotations

from dataclasses import replace

from convexsnn.caller import isolated, paced
from convexsnn.cross_validation import cross_validate
from convexsnn.elimination import Elimination
from convexsnn.families import FAMILIES, Run, WitnessFamily
from convexsnn.leave_one_out import leave_one_out
from convexsnn.notices import warn
from convexsnn.penalties import require_norm
from convexsnn.problem import Problem
from convexsnn.regularisation import Regularisation
from convexsnn.search.state import SEARCHING
from convexsnn.selection import Fitted, train_path
from convexsnn.sequences import Sequences
from convexsnn.sharded import ShardedSequences
from convexsnn.solvers import Status
from convexsnn.splits import fold_count, folds_of, held_out, strata
from convexsnn.training import ColumnSource, SimulatedColumns

# Up to so many sequences betas are compared by cross-validation, which takes a solution a fold.
FEW_SEQUENCES = 2000


@isolated
@paced(lambda problem, family, *_, **__: len(problem.targets) * family.n_at_once)
def fit(
    problem: Problem,
    family: WitnessFamily,
    regularisation: Regularisation,
    run: Run | None = None,
    *,
    validation_fraction: float = 0.2,
) -> Fitted:
    """Train a network on a problem.

    With several betas and no validation data, one is picked by sequences that are held out. There are two ways where
    hidden neurons do not depend on labels. The squared loss with the ridge penalty leaves out each sequence in turn
    (`leave_one_out`). Other programs of up to 2000 sequences hold out all of them, a share at a time
    (`cross_validate`). In all other cases a share of the sequences is held out once. Then the network of the picked
    beta is trained on all of them.

    Parameters
    ----------
    problem : Problem
        What is to be learned, with a score. Its own rho is not used.
    family : WitnessFamily
    regularisation : Regularisation
    run : Run, optional
    validation_fraction : float
        This share of the sequences is held out at a time.

    Raises
    ------
    ValueError
        When the family cannot be had for this problem, or would cost too much; before any work is done.
    """
    run = run or Run()
    check_checkpoint(family, run)
    check_source(family, problem)
    family.check(every_step=problem.every_step, device=run.device)
    if family.searches:
        require_norm(problem.penalty, SEARCHING)
    problem = problem.at(regularisation.before_readout(family.n_last))
    training, choose = problem, regularisation.several and problem.validation is None
    if choose and (family.label_free or family.priced_left_out) and problem.leaves_one_out:
        source = family.columns(problem, run)
        assert isinstance(source, SimulatedColumns)
        return _limited(source, family, regularisation, run, leave_one_out(source, regularisation, run.observer))
    if choose and family.label_free and len(problem.source) <= FEW_SEQUENCES:
        folds = folds_of(strata(problem), fold_count(validation_fraction, len(problem.source)), run.seed)
        source = family.columns(problem, run)
        assert isinstance(source, SimulatedColumns)
        return _limited(
            source, family, regularisation, run, cross_validate(source, regularisation, folds, run.observer)
        )
    if split := choose:
        training = problem.split(held_out(strata(problem), validation_fraction, run.seed))
        family.check_cost(problem)  # a refusal should not come after half of the work
    source = family.columns(training, run)
    fitted = train_path(source, regularisation, run.observer)
    if split and fitted.trained.status is not Status.INTERRUPTED:
        run.observer.begin(f"beta {fitted.beta:.3g} on all sequences")
        source = source.on(problem)
        rho = regularisation.rho_of(fitted.beta, source.n_last)
        (fit_on_all,) = source.fits([rho], fitted.trained.W)
        fitted = replace(fitted, trained=fit_on_all.conclude())
    return _limited(source, family, regularisation, run, fitted)


def _limited(
    source: ColumnSource, family: WitnessFamily, regularisation: Regularisation, run: Run, fitted: Fitted
) -> Fitted:
    """The fit with as many columns in use as are allowed."""
    if not isinstance(source, SimulatedColumns):
        if not regularisation.allows(fitted.trained.certificate.support):
            warn(f"the network reads more than columns={regularisation.columns}: exact training leaves none out")
        return fitted
    seed = run.seed if family.real_numbers and source.problem.leaves_one_out else None
    return Elimination(source, regularisation, family.n_last_of, seed).of(fitted)


def check_source(family: WitnessFamily, problem: Problem) -> None:
    """Raise ValueError where the family needs all sequences in the memory of one process, and they are not there."""
    source = problem.source
    if family.batchwise or isinstance(source, Sequences):
        return
    spread = isinstance(source, ShardedSequences)
    if spread and family.shared and isinstance(source.whole, Sequences):
        return
    kinds = [kind for kind in FAMILIES.values() if kind.batchwise or (spread and kind.shared)]
    known = ", ".join(sorted(kind.name for kind in kinds))
    raise ValueError(
        f"witnesses={family.name!r} needs all sequences in memory, and X is {source.kept}: use one of {known}, or "
        f"{'work in one process' if spread else 'pass X as one array'}"
    )


def check_checkpoint(family: WitnessFamily, run: Run) -> None:
    """Raise ValueError where a checkpoint is asked for that the family would not keep."""
    if run.checkpoint is not None and not family.goes_on:
        kinds = ", ".join(sorted(kind.name for kind in FAMILIES.values() if kind.batchwise))
        raise ValueError(f"checkpoint has no effect on witnesses={family!r}: search keeps one, and so do {kinds}")
