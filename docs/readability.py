"""Is the prose short enough to be understood at first reading? `make lint` asks this of README.md and every page.

A page passes where its sentences have at most 20 words in the mean, no sentence has more than 40, and no line of prose
is longer than 100 columns. With arguments the script reads these files instead. `--longest N` also prints the N longest
sentences of each:

    python docs/readability.py
    python docs/readability.py --longest 5 docs/series.md

Prose is what stands in paragraphs and in items of lists. Code, tables, formulas, headings, pictures and the targets of
links are left out. What stands between backticks or dollars is one word. A sentence ends at `.`, `!` or `?` before a
space, or where its paragraph or item ends, except after an abbreviation such as "e.g.". A word has a letter or a digit.
"""

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import mean

DOCS = Path(__file__).parent
MOST_WORDS_IN_THE_MEAN, MOST_WORDS, MOST_COLUMNS = 20, 40, 100
ABBREVIATIONS = ("e.g", "i.e", "cf", "vs", "et al", "approx", "Fig", "Sec")
ITEM = re.compile(r"\s*(?:[-*+]|\d+\.)\s+")
# Pages whose sentences are still too long.
UNEDITED = {"bounds"}
FENCE = re.compile(r"^ *(```|:::|~~~).*?^ *\1`* *$", re.MULTILINE | re.DOTALL)


def pages() -> list[Path]:
    """The pages beside README.md, and every page of the documentation."""
    root = DOCS.parent
    names = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
    edited = [page for page in sorted(DOCS.glob("*.md")) if page.stem not in UNEDITED]
    return [*(root / name for name in names), *edited, *sorted(DOCS.glob("*/*.md"))]


def paragraphs(text: str) -> Iterator[str]:
    """The paragraphs and the items of lists of a Markdown text, each on one line."""
    block: list[str] = []
    listed = False
    for line in [*FENCE.sub("", text).splitlines(), ""]:
        item = ITEM.match(line)
        indented = line.startswith("    ") and not listed and not block
        apart = not line.strip() or (line.startswith(("#", "<", "[")) and not block) or line.lstrip().startswith("|")
        if (apart or item or indented) and block:
            yield plain(" ".join(block))
            block = []
        if line.strip():
            listed = bool(item) or (listed and line.startswith(" "))
        if not (apart or indented):
            block.append(ITEM.sub("", line, count=1).strip() if item else line.strip())


def plain(paragraph: str) -> str:
    """A paragraph without pictures and marks; code and formulas are one word each."""
    paragraph = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "CODE", paragraph)
    paragraph = re.sub(r"\$[^$]+\$", "FORMULA", paragraph)
    paragraph = re.sub(r"!\[[^]]*\]\([^)]*\)(?:\{[^}]*\})?", "", paragraph)
    paragraph = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", paragraph)
    return re.sub(r"[*_]{1,3}(?=\S)|(?<=\S)[*_]{1,3}", "", paragraph).strip()


def sentences(paragraph: str) -> list[str]:
    """The sentences of a plain paragraph."""
    ended = re.split(r"(?<=[.!?])[\"')\]]*\s+|(?<=[.!?][\"')\]])\s+", paragraph)
    joined: list[str] = []
    for part in ended:
        if joined and joined[-1].removesuffix(".").endswith(ABBREVIATIONS):
            joined[-1] += " " + part
        elif part:
            joined.append(part)
    return joined


def words(sentence: str) -> int:
    """How many words a sentence has."""
    return sum(any(letter.isalnum() for letter in word) for word in sentence.split())


def too_long(sentences_: list[str]) -> list[str]:
    """What is wrong with these sentences, in words."""
    lengths = [words(sentence) for sentence in sentences_]
    faults = [
        f"a sentence of {length} words: {sentence}"
        for sentence, length in zip(sentences_, lengths, strict=True)
        if length > MOST_WORDS
    ]
    if lengths and mean(lengths) > MOST_WORDS_IN_THE_MEAN:
        faults.append(f"{mean(lengths):.1f} words a sentence in the mean")
    return faults


def wide_lines(text: str) -> list[str]:
    """Lines of prose with more columns than a page should have."""
    kept = FENCE.sub(lambda code: "\n" * code.group().count("\n"), text).splitlines()
    return [
        f"line {number} has {len(line)} columns"
        for number, line in enumerate(kept, start=1)
        if len(line) > MOST_COLUMNS and not line.startswith(("|", "    ", "![")) and " " in line.strip()
    ]


def docstrings(source: str) -> str:
    """The docstrings of a module and of all that is in it, as one Markdown text.

    Headings of sections, names and types of parameters, and doctests are left out.
    """
    nodes = (ast.Module, ast.ClassDef, ast.FunctionDef)
    found = (ast.get_docstring(node) for node in ast.walk(ast.parse(source)) if isinstance(node, nodes))
    return "\n\n".join(without_sections(text) for text in found if text)


def without_sections(docstring: str) -> str:
    """A docstring of numpydoc as Markdown."""
    text = re.sub(r"^>>> .*?(?:\n\n|\Z)", "", docstring, flags=re.MULTILINE | re.DOTALL)
    start, *sections = re.split(r"^[A-Z][\w ]+\n-{3,}\n", text, flags=re.MULTILINE)
    described = (re.sub(r"^\S.*\n(?= )|^\S.* : .*$", "\n", section, flags=re.MULTILINE) for section in sections)
    return "\n\n".join([start, *(re.sub(r"^ {4}", "", section, flags=re.MULTILINE) for section in described)])


def sentences_of(text: str) -> list[str]:
    """All sentences of a Markdown text."""
    return [sentence for paragraph in paragraphs(text) for sentence in sentences(paragraph)]


def faults_of(text: str) -> list[str]:
    """What is wrong with a page, in words."""
    return [*too_long(sentences_of(text)), *wide_lines(text)]


def main(arguments: list[str] | None = None) -> int:
    """Print the figures of each page, and its faults; return 1 where there are any."""
    parser = argparse.ArgumentParser(description="Measure how long the sentences of pages are.")
    parser.add_argument("pages", nargs="*", type=Path, help="Markdown files; README.md and all of docs/ by default")
    parser.add_argument("--longest", type=int, default=0, metavar="N", help="print the N longest sentences of each")
    settings = parser.parse_args(arguments)
    wrong = False
    for page in settings.pages or pages():
        text = page.read_text()
        found = sentences_of(text)
        lengths = [words(sentence) for sentence in found] or [0]
        print(f"{page}: {len(found)} sentences, mean {mean(lengths):.1f}, longest {max(lengths)}")
        for sentence in sorted(found, key=words, reverse=True)[: settings.longest]:
            print(f"  {words(sentence):3d}  {sentence}")
        faults = faults_of(text)
        wrong |= bool(faults)
        print(*(f"  {fault}" for fault in faults), sep="\n", end="\n" if faults else "")
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
