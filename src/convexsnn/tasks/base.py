"""What every task is made of: settings, splits and the loaded data."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from convexsnn.checks import check_flag, check_integer
from convexsnn.tasks.automaton import Automaton
from convexsnn.tasks.dfa import DFA
from convexsnn.tasks.joint import Feedback, JointLabels

SequenceArrays: TypeAlias = "np.ndarray | list[np.ndarray]"


class Streams(NamedTuple):
    """Independent generators: one for what the splits share (a random automaton, say) and one a split."""

    structure: np.random.Generator
    train: np.random.Generator
    val: np.random.Generator
    test: np.random.Generator

    @classmethod
    def from_seed(cls, seed: int) -> Streams:
        return cls(*(np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(4)))


@dataclass(frozen=True)
class TaskSettings:
    """How much of a task to draw, and in what form. None means the task's default.

    A task refuses a setting that it does not use: a published set of data with a split of its own has no sizes to
    choose.

    Attributes
    ----------
    n_train, n_val, n_test : int or None
        Sequences in each split, at least 1.
    timesteps : int or None
        Steps T of a sequence.
    min_timesteps : int or None
        Lengths are drawn uniformly from min_timesteps .. timesteps; None makes every sequence `timesteps` long.
        Automata only.
    per_step : bool or None
        Each step has a label, instead of each sequence.
    permute : bool
        Images and mnist-1d only: put the pixels, or steps, in one fixed order, the same for every split and seed.
    data_dir : str, Path or None
        The folder with the data files of tasks whose data do not come with the library.
    words : tuple of tuple of int
        Words that are added to the training and validation data, as numbers of symbols: such as a network has answered
        wrong. Tasks of automata and arithmetic only; `automaton_of` gives the symbols.
    seed : int
        The same seed gives the same data; train, validation and test use streams of their own.

    Raises
    ------
    ValueError
        If a number is not an integer or too small, or min_timesteps exceeds timesteps.
    """

    n_train: int | None = None
    n_val: int | None = None
    n_test: int | None = None
    timesteps: int | None = None
    min_timesteps: int | None = None
    per_step: bool | None = None
    permute: bool = False
    data_dir: str | Path | None = None
    words: tuple[tuple[int, ...], ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "words", _check_words(self.words))
        for name in ("n_train", "n_val", "n_test", "timesteps", "min_timesteps"):
            if getattr(self, name) is not None:
                check_integer(name, getattr(self, name), minimum=1)
        check_integer("seed", self.seed, minimum=0)
        check_flag("permute", self.permute)
        if self.per_step is not None:
            check_flag("per_step", self.per_step)
        if not isinstance(self.data_dir, str | os.PathLike | None):
            raise ValueError(f"data_dir must be the path of a folder or None, not {self.data_dir!r}")
        shortest, longest = self.min_timesteps, self.timesteps
        if shortest is not None and longest is not None and shortest > longest:
            raise ValueError(f"min_timesteps is {shortest}, more than timesteps = {longest}; lower it or leave it out")


def _check_words(words: Any) -> tuple[tuple[int, ...], ...]:
    """`words` as tuples of numbers of symbols; ValueError for what is none, and for words without symbols."""
    try:
        own = tuple(tuple(check_integer("words", symbol, minimum=0) for symbol in word) for word in words)
    except TypeError as error:
        raise ValueError(f"words must be a sequence of sequences of numbers of symbols, not {words!r}") from error
    if not all(own):
        raise ValueError("words must have at least one symbol each")
    return own


@dataclass(frozen=True, eq=False)
class Split:
    """Sequences and their labels.

    Attributes
    ----------
    X : float64 array of shape (n, T, d), or list of n arrays of shape (T_i, d)
    y : int64 array of shape (n,), or one label a step: int64 array of shape (n, T) or list of n arrays of shape (T_i,)
        Labels of H factors have one more axis, of length H.

    Raises
    ------
    ValueError
        When X and y differ in length.
    """

    X: SequenceArrays
    y: SequenceArrays

    def __post_init__(self) -> None:
        if len(self.X) != len(self.y):
            raise ValueError(f"X holds {len(self.X)} sequences and y {len(self.y)} labels; they must be as many")

    def __len__(self) -> int:
        return len(self.X)


@dataclass(frozen=True, eq=False)
class TaskData:
    """A task as loaded.

    Attributes
    ----------
    name : str
        The name it was asked for by.
    settings : TaskSettings
        The settings as asked for, with the task's defaults filled in.
    train, test : Split
    val : Split or None
        None for a published set of data that comes without one.
    class_names : tuple of str
        Class k of the labels is called ``class_names[k]``; of factored labels, class k of their joint label.
    per_step : bool
        Whether there is one label a step.
    unseen_share : float
        Share of the test sequences whose input does not occur in the training split.
    joint : JointLabels or None
        How a label splits into factors, for tasks whose label is several answers in one.
    feedback : Feedback or None
        Which input is the network's own last answer when it runs in closed loop.
    automaton : DFA, Automaton or None
        The automaton that gave the labels. Of a DFA, input feature k is symbol k.
    is_factored : bool
        Whether labels are given factor by factor: see `factored`.
    """

    name: str
    settings: TaskSettings
    train: Split
    val: Split | None
    test: Split
    class_names: tuple[str, ...]
    per_step: bool
    unseen_share: float
    joint: JointLabels | None = None
    feedback: Feedback | None = None
    automaton: DFA | Automaton | None = None
    is_factored: bool = False

    @property
    def splits(self) -> dict[str, Split]:
        """The splits that there are, by name."""
        named = {"train": self.train, "val": self.val, "test": self.test}
        return {name: split for name, split in named.items() if split is not None}

    def factored(self) -> TaskData:
        """The same task with a label's factors as several outputs: y of shape (n, T, H), in the order of `joint.names`.

        Raises
        ------
        ValueError
            If the task's labels are not several answers in one.
        """
        if self.joint is None:
            raise ValueError(f"labels of {self.name} have no factors; the arithmetic tasks have")
        if self.is_factored:
            return self
        joint = self.joint
        splits = {
            name: Split(split.X, np.stack(joint.split(np.asarray(split.y)), axis=-1))
            for name, split in self.splits.items()
        }
        return replace(self, **splits, is_factored=True)


@dataclass(frozen=True)
class TaskInfo:
    """One line of the task list.

    Attributes
    ----------
    name : str
        The task's name, or a pattern with capitals for its parameter (``dfa:mod-M``).
    description : str
    defaults : TaskSettings
    per_step : str
        ``never``, ``optional`` or ``always``: whether the task has one label a step.
    source : str
        Where the data come from.
    examples : tuple of str
        Names that `load_task` takes; for a task without parameters, its name alone.
    """

    name: str
    description: str
    defaults: TaskSettings
    per_step: str
    source: str
    examples: tuple[str, ...]


def given(name: str, value: int | None) -> int:
    """A setting that the registry has filled in, as the int that it now is."""
    if value is None:
        raise ValueError(f"{name} is not set; load tasks through load_task, which fills in the defaults")
    return value


def assemble(
    name: str, settings: TaskSettings, splits: Iterable[Split | None], class_names: tuple[str, ...], **rest: Any
) -> TaskData:
    """The task of train, validation and test splits, with its share of unseen test sequences."""
    train, val, test = splits
    if train is None or test is None:
        raise ValueError(f"{name} must have a training and a test split")
    return TaskData(
        name=name,
        settings=settings,
        train=train,
        val=val,
        test=test,
        class_names=class_names,
        per_step=bool(settings.per_step),
        unseen_share=unseen_share(train.X, test.X),
        **rest,
    )


def draw_splits(
    settings: TaskSettings, streams: Streams, draw: Callable[[np.random.Generator, int], Split]
) -> Iterator[Split]:
    """Train, validation and test splits drawn independently, each of its own size and stream."""
    for split in ("train", "val", "test"):
        yield draw(getattr(streams, split), given(f"n_{split}", getattr(settings, f"n_{split}")))


def unseen_share(train: Sequence[np.ndarray] | np.ndarray, test: Sequence[np.ndarray] | np.ndarray) -> float:
    """Share of the `test` sequences, arrays of shape (T_i, d) with one d, that do not occur in `train`."""
    seen = {np.ascontiguousarray(x).tobytes() for x in train}
    return sum(np.ascontiguousarray(x).tobytes() not in seen for x in test) / len(test)
