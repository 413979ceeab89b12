"""Parameters of estimators, of which `witnesses` has parameters of its own."""

from __future__ import annotations

from typing import Any, Self

from sklearn.base import BaseEstimator

from convexsnn.checks import check_choice
from convexsnn.estimators.recipe import is_auto
from convexsnn.families import WitnessFamily, family_of

NESTED = "witnesses__"


class NestedParameters(BaseEstimator):
    """scikit-learn's parameters, with those of the witness family as ``witnesses__depth`` and so on.

    A family is never changed: a new one with other settings takes its place. A family that is given by name has the
    settings that the name stands for. Settings for "auto" are those of a search.
    """

    witnesses: Any

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters by name; with `deep` those of the witness family too."""
        params = super().get_params(deep=False)
        if deep and isinstance(self.witnesses, (str, WitnessFamily)) and not is_auto(self.witnesses):
            own = self._family_or_none()
            if own is not None:
                params |= {NESTED + name: value for name, value in own.get_params(deep=True).items()}
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name; ValueError on names that there are not."""
        nested = {name.removeprefix(NESTED): value for name, value in params.items() if name.startswith(NESTED)}
        for name in params:
            if not name.startswith(NESTED):
                check_choice(f"parameters of {type(self).__name__}", name, super().get_params(deep=False))
        for name, value in params.items():
            if not name.startswith(NESTED):
                setattr(self, name, value)
        if nested:
            self.witnesses = family_of("search" if is_auto(self.witnesses) else self.witnesses).with_params(**nested)
        return self

    def _family_or_none(self) -> WitnessFamily | None:
        """The family, where `witnesses` names one: what is wrong with it is for `fit` to say."""
        try:
            return family_of(self.witnesses)
        except ValueError:
            return None
