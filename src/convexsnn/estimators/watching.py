"""Who is told of a fit: the observer that was passed, the bars of `verbose`, and scikit-learn's callbacks.

Callbacks are those of scikit-learn 1.9 and later. `set_callbacks` is not there with an earlier one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from convexsnn.observer import Observer
from convexsnn.progress import watched
from convexsnn.solvers.base import Progress

_callbacks: Any = import_module("sklearn.callback") if find_spec("sklearn.callback") is not None else None
WithCallbacks: Any = object if _callbacks is None else _callbacks.CallbackSupportMixin
"""scikit-learn's mixin with `set_callbacks`, or nothing."""


def with_observers(fit: Callable[..., Any]) -> Callable[..., Any]:
    """Make a method `fit` tell all who are to be told; it passes them on as its `observer`."""

    @wraps(fit)
    def run(
        self: Any, X: Any, y: Any = None, sample_weight: Any = None, *, observer: Observer | None = None, **more: Any
    ) -> Any:
        with ExitStack() as stack:
            told = stack.enter_context(watched(observer, verbose=self.verbose, tol=self.tol))
            if _callbacks is not None:
                told = told.and_then(stack.enter_context(_called_back(self, X, y)))
            return fit(self, X, y, sample_weight, observer=told, **more)

    return run if _callbacks is None else _callbacks.with_callbacks(run)


@contextmanager
def _called_back(estimator: Any, X: Any, y: Any) -> Iterator[Observer]:
    """An observer that calls the callbacks of an estimator: a fit is a task, and its stages are the subtasks."""
    fit = estimator._init_callback_context(max_subtasks=None)
    fit.call_on_fit_task_begin(estimator=estimator, X=X, y=y)
    stages = _Stages(estimator, fit)
    yield Observer(None, stages.solved, stages.began, stages.searched)
    stages.end()
    # The fitted estimator is the estimator itself, with nothing changed.
    fit.call_on_fit_task_end(estimator=estimator, X=X, y=y, reconstruction_attributes={})


class _Stages:
    """The stages of a fit, and the rounds of a search, as subtasks; their metadata is what they came to."""

    def __init__(self, estimator: Any, fit: Any) -> None:
        self._estimator, self._fit = estimator, fit
        self._stage: Any = None
        self._state: dict[str, Any] = {}

    def began(self, what: str) -> None:
        """The stage before is over, and the next begins."""
        self.end()
        self._stage = self._begin(what)

    def solved(self, state: Progress) -> None:
        """Keep where the solver is."""
        self._state = vars(state)

    def searched(self, entry: Any) -> None:
        """A round is over. A callback that wants to stop ends the search as Ctrl-C does: the best so far is kept."""
        self.end()
        task = self._begin(f"round {entry.number}")
        if task.call_on_fit_task_end(estimator=self._estimator, metadata=entry.to_dict()):
            raise KeyboardInterrupt

    def end(self) -> None:
        """The stage is over, where there is one."""
        if self._stage is not None:
            self._stage.call_on_fit_task_end(estimator=self._estimator, metadata=self._state)
        self._stage, self._state = None, {}

    def _begin(self, name: str) -> Any:
        return self._fit.subcontext(task_name=name).call_on_fit_task_begin(estimator=self._estimator)
