"""What CONTRIBUTING.md says of the code is there: its steps name functions and the files in which they are."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
# A name and its file, as in: `train_path` (`selection.py`), or, in the table of types, | `Problem` | `problem.py` |
NAMED = re.findall(r"`([\w.]+)(?:\([^`]*\))?`(?:\s+\(| \| )`([\w/]+\.py)`", TEXT)


@pytest.mark.parametrize(("name", "file"), sorted(set(NAMED)))
def test_what_a_walk_names_is_in_its_file(name, file):
    source = (ROOT / "src" / "convexsnn" / file).read_text()
    for part in name.split("."):
        assert re.search(rf"(?:def|class) {part}\b", source), f"{file} has no {part}"


def test_calls_have_few_steps():
    steps = TEXT.split("## Four calls, step by step")[1].split("\n## ")[0]
    calls = re.split(r"^\*\*.*\*\*.*:$", steps, flags=re.MULTILINE)[1:]
    assert len(calls) == 4
    assert all(1 <= len(re.findall(r"^\d+\. ", call, re.MULTILINE)) <= 10 for call in calls)
    assert len(NAMED) > 40
