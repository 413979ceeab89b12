"""Compiled code that is kept on disk is that of the sources as they are now."""

import os
import subprocess
import sys

FUNCTION = """
from convexsnn.compiling import cached
from called import number

@cached
def function():
    return number()
"""
CALLED = """
from numba import njit

@njit
def number():
    return {}
"""


def test_what_a_cached_function_calls_may_change(tmp_path):
    (tmp_path / "function.py").write_text(FUNCTION)
    answers = []
    for number in (1, 1, 22):
        (tmp_path / "called.py").write_text(CALLED.format(number))
        run = "import function; print(function.function(), sum(function.function.stats.cache_hits.values()))"
        environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
        command = [sys.executable, "-B", "-c", run]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        answers.append(done.stdout.split())
    assert answers == [["1", "0"], ["1", "1"], ["22", "0"]]
