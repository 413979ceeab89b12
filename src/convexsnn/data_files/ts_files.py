"""Strict reader of .ts files, the format of the UCR and UEA archives of time series."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convexsnn.data_files.text import padded, parse_number, read_lines
from convexsnn.reading import reading

FLAGS = ("timestamps", "missing", "univariate", "equallength", "targetlabel")
COUNTS = ("dimensions", "serieslength")
SPELLINGS = {"dimension": "dimensions", "class": "classlabel"}


@dataclass
class _Header:
    """What the lines that begin with @ say; None where they say nothing."""

    flags: dict[str, bool]
    counts: dict[str, int]
    classes: frozenset[str] | None = None

    @property
    def labelled(self) -> bool:
        return self.classes is not None or self.flags.get("targetlabel", False)


def read_ts(path: Path) -> dict[str, np.ndarray]:
    """X, y where there are labels, and lengths where these differ.

    Parameters
    ----------
    path : Path
        Series without time stamps: one sequence a line, its features apart by colons, steps by commas, the label last.

    Returns
    -------
    dict
        ``X``, float64 of shape (n, T, d), with NaN for missing values (``?``) and zero after the end of a sequence.
        ``y`` of shape (n,): text for classes, float64 for real targets. ``lengths``, int64 of shape (n,).

    Raises
    ------
    DamagedFileError
        When the file cannot be read, or a line contradicts the header or is not of this form; names the line.
    """
    lines = read_lines(path)
    header, first = _read_header(path, lines)
    sequences, labels = [], []
    for place, line in enumerate(lines[first:], start=first + 1):
        if not line.strip():
            continue
        with reading(path, f"line {place}"):
            *channels, last = line.split(":") if header.labelled else [*line.split(":"), ""]
            sequences.append(_sequence(channels, header))
            labels.append(_label(last.strip(), header))
    with reading(path, "data"):
        if not sequences:
            raise ValueError("there is no sequence")
        if len({x.shape[1] for x in sequences}) > 1:
            raise ValueError("the sequences have different numbers of features")
        arrays = padded(sequences)
        if header.flags.get("equallength") and "lengths" in arrays:
            raise ValueError("the header says that all sequences have equal lengths, but they have not")
    return arrays | ({"y": np.array(labels)} if header.labelled else {})


def _read_header(path: Path, lines: list[str]) -> tuple[_Header, int]:
    """The header, and the number of lines up to the data."""
    header = _Header({}, {})
    for place, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        with reading(path, f"line {place}"):
            if not text.startswith("@"):
                raise ValueError("it is neither a comment (#) nor a tag (@), and the tag @data has not come yet")
            name, _, value = text[1:].partition(" ")
            if name.lower() == "data":
                return header, place
            _take(SPELLINGS.get(name.lower(), name.lower()), value.split(), header)
    with reading(path, "header"):
        raise ValueError("the tag @data is missing: it is not a .ts file of series")


def _take(name: str, words: list[str], header: _Header) -> None:
    """Enter one tag into the header; ValueError for one that is unknown or says nothing sensible."""
    if name in COUNTS:
        header.counts[name] = int(words[0]) if words else 0
        if header.counts[name] < 1:
            raise ValueError(f"@{name} must be followed by a number of at least 1")
    elif name in FLAGS or name == "classlabel":
        if not words or words[0].lower() not in ("true", "false"):
            raise ValueError(f"@{name} must be followed by true or false")
        said = words[0].lower() == "true"
        if name == "classlabel":
            header.classes = frozenset(words[1:]) if said else None
        else:
            header.flags[name] = said
        if name == "timestamps" and said:
            raise ValueError("series with time stamps are not read: sample them at equal steps")
    elif name != "problemname":
        raise ValueError(f"the tag @{name} is unknown")


def _sequence(channels: list[str], header: _Header) -> np.ndarray:
    """One sequence (T_i, d)."""
    expected = 1 if header.flags.get("univariate") else header.counts.get("dimensions", len(channels))
    if not channels or len(channels) != expected:
        raise ValueError(f"it has {len(channels)} features, but the header says {expected}")
    values = [[parse_number(text) for text in channel.split(",")] for channel in channels]
    if len(set(map(len, values))) > 1:
        raise ValueError(f"its features have different numbers of steps: {sorted(set(map(len, values)))}")
    sequence = np.array(values).T
    steps = header.counts.get("serieslength", len(sequence)) if header.flags.get("equallength") else len(sequence)
    if len(sequence) != steps:
        raise ValueError(f"it has {len(sequence)} steps, but the header says {steps}")
    if not header.flags.get("missing", True) and np.isnan(sequence).any():
        raise ValueError("a value is missing, but the header says that none is")
    return sequence


def _label(text: str, header: _Header) -> str | float:
    """The class or the target of one sequence."""
    if header.classes is None:
        value = parse_number(text)
        if header.labelled and np.isnan(value):
            raise ValueError("its target is missing")
        return value
    if header.classes and text not in header.classes:
        raise ValueError(f"its class {text[:40]!r} is not among those of the header")
    return text
