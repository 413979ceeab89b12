"""All tasks by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, fields, replace

from convexsnn.checks import check_memory
from convexsnn.tasks import archive, arithmetic, automaton_task, dfa_task, images, mnist1d, xor
from convexsnn.tasks.base import Streams, TaskData, TaskInfo, TaskSettings, given
from convexsnn.tasks.task_words import with_words

# The settings of tasks whose splits are drawn.
DRAWN = frozenset({"n_train", "n_val", "n_test", "timesteps"})


@dataclass(frozen=True)
class TaskFamily:
    """Tasks that share a loader.

    Attributes
    ----------
    load : callable (name, settings with every default filled in, streams) -> TaskData
    infos : tuple of TaskInfo
        With the same defaults and per_step in each.
    parameter : str
        ``none``, ``optional`` or ``required``: whether a ``:parameter`` follows the family's name.
    options : frozenset of str
        The settings beyond per_step and seed that the family uses.
    """

    load: Callable[[str, TaskSettings, Streams], TaskData]
    infos: tuple[TaskInfo, ...]
    parameter: str = "none"
    options: frozenset[str] = DRAWN


TASK_FAMILIES: dict[str, TaskFamily] = {
    "first-last-xor": TaskFamily(xor.load_first_last_xor, (xor.INFO,)),
    "dfa": TaskFamily(dfa_task.load_dfa, dfa_task.INFOS, "required", DRAWN | {"min_timesteps", "words"}),
    "automaton": TaskFamily(
        automaton_task.load_automaton, automaton_task.INFOS, "required", DRAWN | {"min_timesteps", "words"}
    ),
    **{
        info.examples[0]: TaskFamily(arithmetic.load_arithmetic, (info,), "optional", DRAWN | {"words"})
        for info in arithmetic.INFOS
    },
    "digits": TaskFamily(images.load_digits, (images.DIGITS_INFO,), options=DRAWN | {"permute"}),
    "mnist": TaskFamily(images.load_mnist, (images.MNIST_INFO,), options=DRAWN | {"permute", "data_dir"}),
    "fashion-mnist": TaskFamily(
        images.load_fashion_mnist, (images.FASHION_INFO,), options=DRAWN | {"permute", "data_dir"}
    ),
    "mnist-1d": TaskFamily(mnist1d.load_mnist_1d, (mnist1d.INFO,), options=DRAWN | {"permute"}),
    "aeon": TaskFamily(archive.load_archive, (archive.INFO,), "required", frozenset({"data_dir"})),
}
"""By the name that a task's name begins with; to add a task, enter it here."""


def list_tasks() -> list[TaskInfo]:
    """One record a task or pattern of names, in the order of the families."""
    return [info for family in TASK_FAMILIES.values() for info in family.infos]


def load_task(name: str, settings: TaskSettings | None = None) -> TaskData:
    """Load a task.

    Parameters
    ----------
    name : str
        A name from `list_tasks`, with a parameter where it has one: ``dfa:tomita-3``, ``addition:base-10``.
    settings : TaskSettings or None
        None stands for the task's defaults throughout.

    Returns
    -------
    TaskData

    Raises
    ------
    ValueError
        If the name is unknown, a setting is not one of this task's, or the data cannot be had as asked for.

    Examples
    --------
    >>> task = load_task("dfa:parity", TaskSettings(n_train=4, n_val=2, n_test=2, timesteps=3))
    >>> task.train.X.shape, sorted(task.train.y.tolist())
    ((4, 3, 2), [0, 0, 1, 1])
    """
    if not isinstance(name, str):
        raise ValueError(f"name must be the name of a task, such as 'dfa:parity', not {name!r}")
    if not isinstance(settings, TaskSettings | None):
        raise ValueError(f"settings must be TaskSettings or None, not {settings!r}")
    family = _find(name)
    settings = _resolve(name, family, settings or TaskSettings())
    task = family.load(name, settings, Streams.from_seed(settings.seed))
    return with_words(task, settings.words) if settings.words else task


def check_task(name: str, settings: TaskSettings) -> None:
    """Raise ValueError, as `load_task` does, for a name or a setting that there is not, before data are drawn."""
    _resolve(name, _find(name), settings)


def smallest(name: str, settings: TaskSettings) -> TaskSettings:
    """The same settings with one sequence a split, where the task takes sizes: for those who need its rules only."""
    return replace(settings, n_train=1, n_val=1, n_test=1) if _find(name).options >= DRAWN else settings


def _find(name: str) -> TaskFamily:
    head, colon, parameter = name.partition(":")
    family = TASK_FAMILIES.get(head)
    if family is None or (family.parameter == "none" and colon) or (family.parameter == "required" and not parameter):
        raise ValueError(_unknown(name))
    return family


def _unknown(name: str) -> str:
    """The message for a name that no family has, with the nearest names that exist."""
    known = [example for info in list_tasks() for example in info.examples]
    part_of = [k for k in known if name and name.lower() in k]
    near = list(dict.fromkeys(difflib.get_close_matches(name.lower(), known, n=3) + part_of))[:3]
    meant = f"did you mean {' or '.join(near)}? " if near else ""
    return f"unknown task {name!r}; {meant}known are {', '.join(info.name for info in list_tasks())}"


def _resolve(name: str, family: TaskFamily, settings: TaskSettings) -> TaskSettings:
    """`settings` with the defaults of the family, after a check that the family uses all that was set."""
    for option in (*sorted(DRAWN), "min_timesteps", "permute", "data_dir", "words"):
        value = getattr(settings, option)
        is_given = len(value) > 0 if isinstance(value, tuple) else value is not None and value is not False
        if is_given and option not in family.options:
            raise ValueError(f"{option} is {value!r}, but {name} has no such setting; leave it out")
    kind = family.infos[0].per_step
    if settings.per_step is not None and kind != "optional" and settings.per_step != (kind == "always"):
        wanted = "every step" if kind == "always" else "the whole sequence only"
        raise ValueError(f"per_step is {settings.per_step}, but {name} has a label for {wanted}; leave it out")
    defaults = family.infos[0].defaults
    missing = {f.name for f in fields(settings) if getattr(settings, f.name) is None}
    filled = replace(settings, **{key: getattr(defaults, key) for key in missing})
    if family.options >= DRAWN:
        sequences = sum(given(n, getattr(filled, n)) for n in ("n_train", "n_val", "n_test"))
        check_memory("n_train, n_val, n_test and timesteps ask for data", 8 * sequences * given("T", filled.timesteps))
    return replace(filled, per_step=bool(filled.per_step))
