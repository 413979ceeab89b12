"""What a page is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from convexsnn.estimators import Estimator
from convexsnn.tasks import Split

# The split that pictures show: the first of these that there is.
SHOWN = ("test", "val", "train")


@dataclass(frozen=True, eq=False)
class PageContents:
    """A fitted estimator, and what is known beside it.

    Attributes
    ----------
    estimator : SpikingClassifier or SpikingRegressor
    title : str
        What it was trained on.
    metrics : mapping
        As `convexsnn fit` writes them; empty where there are none.
    splits : mapping of str to Split
        Data by split; empty where they could not be loaded.
    source : mapping
        Where the data come from, in words.
    missing : str
        Why there are no data; "" where there are.
    verdict : tuple of str
        The outcome of verifying the certificate on the data: a line that says what holds, or the problems.
    holds : bool or None
        None where it was not verified.
    inputs : tuple of int
        Sequences of the shown split whose spikes are drawn; () is the first one of each of up to three classes.
    words : sequence of (str, str)
        What is proved for words of every length, by name; empty where there is no proof.
    version : str
        Of the library that makes the page.
    """

    estimator: Estimator
    title: str
    metrics: Mapping[str, Any] = field(default_factory=dict)
    splits: Mapping[str, Split] = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)
    missing: str = ""
    verdict: tuple[str, ...] = ()
    holds: bool | None = None
    inputs: tuple[int, ...] = ()
    words: Sequence[tuple[str, str]] = ()
    version: str = ""

    @property
    def members(self) -> int:
        """Fits whose mean the network is; 0 where there is one."""
        return len(self.estimator.members_)

    @property
    def shown(self) -> str | None:
        """The name of the split that pictures show."""
        return next((name for name in SHOWN if name in self.splits), None)
