"""How the estimators read X: any accepted form, in the form of fit, with missing values carried forward."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted, validate_data

from convexsnn.arrays import check_flat_cells, check_kind, column_names, plain_array
from convexsnn.batches import Batches
from convexsnn.caller import isolated
from convexsnn.checks import check_choice
from convexsnn.estimators.input_form import InputForm, Seen, warn_of_axes, warn_of_table
from convexsnn.estimators.parameters import NestedParameters
from convexsnn.sequences import Sequences, SequenceSource, as_sequences, carried_forward, is_sequential, unwrapped

# What becomes of missing values.
MISSING = ("refuse", "carry")


class InputReader(NestedParameters):
    """Reads X into `Sequences`; remembers its form in fit, and expects it again."""

    input_form_: InputForm
    missing: str
    timesteps: int
    per_step: bool

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        tags.input_tags.three_d_array = True
        tags.input_tags.sparse = False
        tags.input_tags.allow_nan = self._carries
        return tags

    @property
    def _carries(self) -> bool:
        return check_choice("missing", self.missing, MISSING) == "carry"

    def _source(self, X: Any, lengths: Any = None, *, fitting: bool) -> SequenceSource:
        """Sequences of any accepted form of X, batches among them."""
        if not isinstance(X, Batches):
            return self._read(X, lengths, fitting=fitting)
        if lengths is not None:
            raise ValueError("lengths come with the batches of X: leave them out")
        if self._carries:
            raise ValueError("missing='carry' needs all sequences at once: fill in what is missing in the batches")
        if fitting:
            self._note_form(X, Seen.of_batches(X))
        self.input_form_.check_rank(X, sequences=True)
        self.input_form_.check_features(X.sample, type(self).__name__)
        return X

    @isolated
    def sequences(self, X: Any, *, lengths: Any = None) -> Sequences:
        """`X`, of any accepted form, as the fitted network is shown it."""
        check_is_fitted(self)
        return self._read(X, lengths, fitting=False)

    def _read(self, X: Any, lengths: Any = None, *, fitting: bool) -> Sequences:
        """Sequences of any accepted form of X; in `fit` the form is remembered, later it is expected again."""
        if lengths is not None:
            X = as_sequences(X, lengths=lengths, missing=self._carries)
        X = unwrapped(X)
        check_kind(X, "X")
        given_steps = is_sequential(X)
        if not fitting:
            self.input_form_.check_rank(X, sequences=given_steps)
        return self._read_sequences(X, fitting=fitting) if given_steps else self._read_table(X, fitting=fitting)

    def _read_sequences(self, X: Any, *, fitting: bool) -> Sequences:
        columns = column_names(X[0]) if isinstance(X, (list, tuple)) else None
        if fitting:
            sequences = as_sequences(X, columns=columns, missing=self._carries)
            sequences, seen = self._first_seen(sequences)
            self._note_form(sequences, seen, columns)
            return sequences
        owner = type(self).__name__
        self.input_form_.compare_columns(columns, owner)
        sequences = as_sequences(X, columns=self.input_form_.columns, missing=self._carries)
        self.input_form_.check_features(sequences, owner)
        return self._filled(sequences)

    def _note_form(self, sequences: SequenceSource, seen: Seen, columns: tuple[str, ...] | None = None) -> None:
        """Remember the form of the sequences of fit."""
        if sequences.rows(self.per_step) < 2:
            raise ValueError("X holds one sample (one sequence with one label); training needs at least two")
        warn_of_axes(sequences.sample)
        self.n_features_in_ = sequences.n_features
        if columns is not None:
            self.feature_names_in_ = np.array(columns, dtype=object)
        self.input_form_ = InputForm(sequences.n_features, sequences.n_steps, True, seen, columns)

    def _read_table(self, X: Any, *, fitting: bool) -> Sequences:
        """A 2-D X, which is read as scikit-learn does, and shown as constant current."""
        if hasattr(X, "columns"):
            check_flat_cells(X, "X")
        else:
            X = plain_array(X, "X")
        read = {"dtype": np.float64, "ensure_min_samples": 2 if fitting else 1}
        finite = "allow-nan" if self._carries else True
        array = np.asarray(validate_data(self, X, reset=fitting, ensure_all_finite=finite, **read))
        sequences = as_sequences(array, timesteps=self.timesteps, missing=self._carries)
        if not fitting:
            return self._filled(sequences)
        sequences, seen = self._first_seen(sequences)
        warn_of_table(sequences.values[:, 0].numpy(), self.timesteps)
        names = getattr(self, "feature_names_in_", None)
        columns = None if names is None else tuple(names)
        self.input_form_ = InputForm(array.shape[1], self.timesteps, False, seen, columns)
        return sequences

    def _first_seen(self, sequences: Sequences) -> tuple[Sequences, Seen]:
        """The sequences of fit without missing values, and what is remembered of their values."""
        seen = Seen.of(sequences)
        return (carried_forward(sequences, np.array(seen.mean)) if self._carries else sequences), seen

    def _filled(self, sequences: Sequences) -> Sequences:
        """Sequences with what is missing filled in as in fit."""
        return carried_forward(sequences, np.array(self.input_form_.seen.mean)) if self._carries else sequences
