"""The tutorials, followed as they stand: their listings print what the pages show, and draw what they show."""

import re
import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
SCRIPT = runpy.run_path(str(DOCS / "follow.py"))
NEEDS = {"polish": "snntorch", "series": "aeon", "reproduce": "cyclopts"}


@pytest.mark.parametrize("page", sorted((DOCS / "tutorials").glob("*.md")), ids=lambda page: page.stem)
def test_a_tutorial_does_what_it_shows(page, tmp_path):
    pytest.importorskip(NEEDS[page.stem])
    pytest.importorskip("matplotlib").use("Agg")
    assert SCRIPT["follow"](page, tmp_path).differences == []
    pictures = set(re.findall(r"!\[[^]]*\]\((.*?)\)", page.read_text()))
    assert pictures == {picture.name for picture in tmp_path.glob("*.png")} != set()
    assert all((page.parent / picture).exists() for picture in pictures)


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("accuracy 0.90\n", "accuracy  0.91\n", True),
        ("accuracy 0.90\n", "accuracy 0.50\n", False),
        ("gap 3e-9", "gap 8e-12", True),
        ("holds: True", "holds: False", False),
        ("│ a │ 1 │\n│ seconds │ 3 │", "│ a   │ 1 │\n│ seconds │ 40 │", True),
        ("one number 1", "one number 1 2", False),
    ],
)
def test_when_outputs_are_alike(shown, printed, same):
    assert SCRIPT["alike"](shown, printed) is same


def test_a_command_that_fails_is_an_error(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```console\n$ convexsnn verify --model nowhere --task digits\n```\n")
    with pytest.raises(RuntimeError, match="ended with exit status"):
        SCRIPT["follow"](page, tmp_path)
