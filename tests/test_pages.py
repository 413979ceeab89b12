"""The pages of the documentation, followed as they stand: listings run, print what is shown, and draw what is shown."""

import re
import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
SCRIPT = runpy.run_path(str(DOCS / "follow.py"))
# tests/test_extending.py follows one of these; the others show parts of programs, or take longer than a test may.
NOT_HERE = {"extending", "polish", "searching", "series", "bounds"}
PAGES = [
    *sorted((DOCS / "tutorials").glob("*.md")),
    *(page for page in sorted(DOCS.glob("*.md")) if "```python" in page.read_text() and page.stem not in NOT_HERE),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_a_page_does_what_it_shows(page, tmp_path):
    text = page.read_text()
    for needed in ("snntorch", "aeon", "cyclopts", "matplotlib"):
        if re.search(rf"from {needed}|import {needed}|^\$ convexsnn", text, re.MULTILINE):
            pytest.importorskip(needed)
    assert SCRIPT["follow"](page, tmp_path).differences == []
    drawn = {picture.name for picture in tmp_path.rglob("*.png")}
    assert drawn == set(re.findall(r"!\[[^]]*\]\((.*?\.png)\)", text))
    assert all((page.parent / picture).exists() for picture in drawn)


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("accuracy 0.90\n", "accuracy  0.91\n", True),
        ("accuracy 0.90\n", "accuracy 0.50\n", False),
        ("gap 3e-9", "gap 8e-12", True),
        ("holds: True", "holds: False", False),
        ("│ a │ 1 │\n│ seconds │ 3 │\n│         │ 5 │", "│ a   │ 1 │\n│ seconds │ 40 │", True),
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
