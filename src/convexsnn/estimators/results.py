"""What there is of a fitted estimator: its network, what was proved, and how it was trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Generic, Self, TypeVar, cast

from sklearn.utils.validation import check_is_fitted

from convexsnn.caller import isolated
from convexsnn.certificate import Certificate
from convexsnn.estimators.arguments import pair_of
from convexsnn.exact import ExactSettings, bound_network
from convexsnn.global_bound import GlobalBound
from convexsnn.network import Network
from convexsnn.observer import Observer
from convexsnn.problem import Problem
from convexsnn.search import Round
from convexsnn.selection import PathPoint
from convexsnn.solvers import SolverOptions
from convexsnn.tasks import Split
from convexsnn.training import Trained

# What fits that are averaged have in common, and where that is which they have not.
SHARED = ("input_form_", "n_features_in_", "feature_names_in_", "recipe_", "classes_", "single_output_")
WHERE = "ask members_[0] and the others"


T = TypeVar("T")


class OfOneFit(Generic[T]):
    """An attribute that every fit has; of the mean of several fits it is an error that says where to look."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, fitted: Any, owner: type) -> T:
        # What an instance has itself is found before this is asked.
        if fitted is None:
            return cast(T, self)
        if members := vars(fitted).get("members_", ()):
            raise AttributeError(f"{self._name} is of one fit, and this is the mean of {len(members)}: {WHERE}")
        raise AttributeError(f"this {owner.__name__} is not fitted yet, so it has no {self._name}")


class Results(ABC):
    """What classifier and regressor share once they are fitted."""

    network_: Network
    members_: tuple[Self, ...]
    trained_ = OfOneFit[Trained]()
    beta_ = OfOneFit[float]()
    path_ = OfOneFit[list[PathPoint]]()
    history_ = OfOneFit[list[Round]]()
    stopped_ = OfOneFit[str | None]()

    @abstractmethod
    def problem(self, X: Any, y: Any = None) -> Problem:
        """The problem that was solved, for its training data."""

    @abstractmethod
    def _options(self) -> SolverOptions:
        """How far programs are solved."""

    @property
    def certificate_(self) -> Certificate:
        """What was proved about the readout weights."""
        check_is_fitted(self)
        return self.trained_.certificate

    @property
    def dual_gap_(self) -> float:
        """Absolute duality gap."""
        return self.certificate_.gap

    @property
    def n_iter_(self) -> int:
        """Iterations of the solver."""
        check_is_fitted(self)
        return max(1, self.trained_.n_iter)

    def __sklearn_is_fitted__(self) -> bool:
        return "network_" in vars(self)

    def adopt(self, trained: Trained) -> None:
        """Keep what was trained, and the network that answers as users ask."""
        self.trained_, self.members_, self.network_ = trained, (), self._answering(trained.network)

    def adopt_mean(self, members: Sequence[Self], network: Network) -> None:
        """Become the mean of fits that read and answer alike, whose network is given."""
        first = vars(members[0])
        for name in SHARED:
            if name in first:
                setattr(self, name, first[name])
        self.members_, self.network_ = tuple(members), network

    @property
    def fits(self) -> tuple[Self, ...]:
        """The fits that there are certificates of: the members of a mean, or this one alone."""
        return self.members_ or (self,)

    def check_one_fit(self, what: str) -> None:
        """ValueError naming what is asked for, where the network is the mean of several fits."""
        if self.members_:
            raise ValueError(f"{what} is of one fit, and this is the mean of {len(self.members_)}: {WHERE}")

    def _answering(self, network: Network) -> Network:
        """The network of the program, with outputs in the units of `predict`."""
        return network

    @isolated
    def tighten_bound(
        self,
        X: Any,
        y: Any,
        how: ExactSettings | None = None,
        *,
        observer: Observer | None = None,
        leaks: tuple[float, float] | None = None,
    ) -> GlobalBound:
        """Find out how far the best network of the same family is; the bound becomes `certificate_.family_bound`.

        Every fit has the universal bound, which holds for networks of any kind. This one holds for networks of one
        hidden layer with the neurons of the fit, in any number and with any weights. It is often far higher. A bound
        that is no higher than one that is known is dropped. "pricing" covers two layers too, the first of few neurons.

        Parameters
        ----------
        X, y
            The training data.
        how : ExactSettings, optional
            The method and its limits. "arrangement" lists all patterns that neurons of this kind can have on X.
            "pricing" is a branch and bound, which stops with what is proved when time is up.
        observer : Observer, optional
            It is told of the progress.
        leaks : tuple of float, optional
            The least and the largest leak: the bound is then over neurons with any leaks between, each its own. It
            needs the method "pricing".

        Returns
        -------
        GlobalBound
            The bound over the family that `certificate_` now has, or its universal bound where that is as high.

        Raises
        ------
        ValueError
            When X and y are not the training data. When the network is not of the form that can be bounded: one hidden
            layer of neurons that do not feed one another, in float64, with 0/1 columns. When it would cost too much;
            the message says how much.
        """
        self.check_one_fit("a bound on other networks")
        self.trained_ = bound_network(self.trained_, self.problem(X, y), how, self._options(), observer, leaks=leaks)
        bound = self.certificate_.family_bound or self.certificate_.global_bound
        assert bound is not None
        return bound

    def report(
        self,
        path: str | Path,
        *,
        train: tuple[Any, Any] | None = None,
        val: tuple[Any, Any] | None = None,
        test: tuple[Any, Any] | None = None,
        title: str = "",
        inputs: Sequence[int] = (),
    ) -> Path:
        """Write all that is known of the fit as one HTML page, as `convexsnn report` does; it needs the extra `plot`.

        Parameters
        ----------
        path : path of the page
        train, val, test : pairs (X, y), optional
            The data to show. The certificate is checked anew on the training data.
        title : str
            The heading of the page: what the network was trained on.
        inputs : sequence of int
            The sequences whose spikes are drawn; otherwise the first of each of up to three classes.

        Returns
        -------
        Path
            The path of the page.

        Raises
        ------
        ImportError
            Without matplotlib or jinja2 (`pip install 'convexsnn[plot]'`).
        ValueError
            When the data do not fit the network, or `inputs` names a sequence that there is not.
        """
        from convexsnn.report.writing import write_report  # a later module: see tests/test_house.py

        check_is_fitted(self)
        given = {"train": train, "val": val, "test": test}
        splits = {name: Split(*pair_of(name, pair)) for name, pair in given.items() if pair is not None}
        return write_report(cast(Any, self), path, splits, title or type(self).__name__, tuple(inputs))
