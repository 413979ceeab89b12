"""Damaged files of every format, a few of each; `benchmarks/fuzz.py` reads ten thousand and more."""

from __future__ import annotations

import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
if find_spec("nir") is None:
    pytest.skip("without nir there are no graphs to damage", allow_module_level=True)
import fuzz
from fuzz_subjects import SUBJECTS


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    """An honest file of each format, its bytes, and what is read of it by us and by a second reader."""
    made = {}
    for subject in SUBJECTS:
        path = subject.make(tmp_path_factory.mktemp("honest"))
        plain = subject.plain(path) if subject.plain is not None else None
        made[subject.name] = (path, path.read_bytes(), subject.read(path), plain)
    return made


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
@given(seed=st.integers(10**9, 2 * 10**9))
@settings(max_examples=25)
def test_damaged_files_are_refused_by_name_or_change_nothing(honest, subject, seed):
    path, data, whole, plain = honest[subject.name]
    content, forged = fuzz.damaged(subject, data, seed)
    path.write_bytes(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            before = plain if plain != whole else None
            assert fuzz.outcome(subject, path, honest=whole, before=before, forged=forged) in fuzz.GOOD
    finally:
        path.write_bytes(data)
