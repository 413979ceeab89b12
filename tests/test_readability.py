"""Pages are in short sentences: `docs/readability.py` says so, and it can tell long ones from short ones."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = runpy.run_path(str(ROOT / "docs" / "readability.py"))
faults_of, sentences_of, words = SCRIPT["faults_of"], SCRIPT["sentences_of"], SCRIPT["words"]
docstrings, too_long = SCRIPT["docstrings"], SCRIPT["too_long"]
MODULES = sorted((ROOT / "src").rglob("*.py"))
# Rooms whose docstrings are still too long.
UNEDITED = {"bounds"}

GOOD = """# A heading may have as many words as it likes: nobody counts them, since it is no sentence

The network fires. It is read at the last step, e.g. by its rate
[as here](https://example.org/a/long/target)!
Was it "proved"? The value is `a.b = 1. Not a sentence.` and no more.

| a table | may have cells of any length |
|---|---|

    and a formula = may be. As. Long. As it likes

```python
print("code. Is. Not. Read.")
```

- The first item
- The second item is a sentence
  that goes on here.
"""


def test_what_a_sentence_is():
    assert sentences_of(GOOD) == [
        "The network fires.",
        "It is read at the last step, e.g. by its rate as here!",
        'Was it "proved"?',
        "The value is CODE and no more.",
        "The first item",
        "The second item is a sentence that goes on here.",
    ]
    assert [words(sentence) for sentence in sentences_of("One - two, three. v = 4 x")] == [3, 3]


def test_short_sentences_pass():
    assert faults_of(GOOD) == []


@pytest.mark.parametrize(
    ("page", "fault"),
    [
        ("A word. " + "word " * 40 + "end.", "a sentence of 41 words"),
        ("word " * 20 + "end.", "21.0 words a sentence in the mean"),
        ("- " + "word " * 20 + "end\n- " + "word " * 20 + "end", "21.0 words a sentence in the mean"),
        ("Short.\n\n" + "A " + "w" * 100 + ".", "line 3 has 103 columns"),
    ],
)
def test_long_ones_are_named(page, fault):
    assert any(fault in found for found in faults_of(page))


def test_columns_of_tables_and_code_are_not_counted():
    assert faults_of("| " + "w " * 80 + "|\n\n```\n" + "w " * 80 + "\n```\n") == []


@pytest.mark.parametrize("page", SCRIPT["pages"](), ids=lambda page: page.name)
def test_every_page_is_readable(page):
    assert faults_of(page.read_text()) == []


DOCSTRING = '''
class Neuron:
    """A neuron. It fires.

    Parameters
    ----------
    leak : float
        From 0 to 1.
    threshold, gain : float
    rest : float
        More than 0.

    Returns
    -------
    Spikes
        Zeros and ones.

    Examples
    --------
    >>> Neuron(leak=0.5).fires
    True
    """
'''


def test_sentences_of_docstrings():
    expected = ["A neuron.", "It fires.", "From 0 to 1.", "More than 0.", "Zeros and ones."]
    assert sentences_of(docstrings(DOCSTRING)) == expected


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(ROOT / "src" / "convexsnn")))
def test_docstrings_are_readable(module):
    """The help of the command line is made of docstrings, so this holds for it too."""
    if module.relative_to(ROOT / "src" / "convexsnn").parts[0] not in UNEDITED:
        assert too_long(sentences_of(docstrings(module.read_text()))) == []
