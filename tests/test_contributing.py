"""What CONTRIBUTING.md says of the code is there: its walks name functions and the files in which they are."""

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


def test_walks_are_short():
    walks = re.split(r"^\*\*.*\*\*.*:$", TEXT.split("## Four walks")[1].split("\n## ")[0], flags=re.MULTILINE)[1:]
    assert len(walks) == 4
    assert all(1 <= len(re.findall(r"^\d+\. ", walk, re.MULTILINE)) <= 10 for walk in walks)
    assert len(NAMED) > 40
