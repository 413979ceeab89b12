"""Automata as files in the AT&T text format (OpenFst, HFST, foma).

Fields are separated by blanks or tabs, blank lines are skipped, and there are no comments:

- ``src dst in`` or ``src dst in out`` is a transition; only acceptors are read, so `out` must repeat `in`;
- ``state`` or ``state 0`` is a final state (0 being the weight "none").

The start state is the first state of the first line. States and symbols are any words, except the names of the empty
word, since an automaton that moves without reading is not deterministic. Symbols are numbered in sorted order. A
missing transition rejects.
"""

from __future__ import annotations

from pathlib import Path

from convexsnn.reading import DamagedFileError, read_whole, reading
from convexsnn.tasks.dfa import DFA

# Bytes of a file, and entries of a table (states by symbols), beyond which an automaton is not read.
LARGEST_FILE, LARGEST_TABLE = 2**26, 10**7
EPSILONS = ("<eps>", "<epsilon>", "@0@", "@_EPSILON_SYMBOL_@")


def read_att(path: str | Path) -> DFA:
    """Read a deterministic acceptor.

    Raises
    ------
    DamagedFileError
        With the number of the line at fault, if the file is not a deterministic unweighted acceptor; or if it cannot
        be read, is too large, or holds no transition or no final state.
    """
    content = read_whole(path, LARGEST_FILE)
    with reading(path, "text"):
        text = content.decode("utf-8-sig")
    states: dict[str, int] = {}
    arcs: dict[tuple[int, str], tuple[int, int]] = {}
    final: set[int] = set()
    for number, line in enumerate(text.split("\n"), start=1):
        fields = line.split()
        if not fields:
            continue
        with reading(path, f"line {number}, {line.strip()[:80]!r}"):
            if len(fields) <= 2:
                final.add(_final_state(fields, states))
            else:
                _add_arc(fields, states, arcs, number)
    if not arcs or not final:
        missing = "final state" if arcs else "transition"
        raise DamagedFileError(path, "text", f"it holds no {missing}; expected lines `src dst symbol` and `state`")
    symbols = sorted({symbol for _, symbol in arcs})
    if len(states) * len(symbols) > LARGEST_TABLE:
        reason = f"{len(states)} states and {len(symbols)} symbols are more than a table of {LARGEST_TABLE} entries"
        raise DamagedFileError(path, "size", reason)
    with reading(path, "automaton"):
        return _assemble(states, symbols, arcs, final)


def write_att(dfa: DFA, path: str | Path) -> None:
    """Write an automaton so that `read_att` gives back the same language over the same symbols.

    State names are kept; a missing transition is left out unless the file could not name a symbol or the start state
    without it.

    Raises
    ------
    ValueError
        If a name holds white space, a symbol is a name of the empty word, or nothing is accepting.
    """
    for name in (*dfa.states, *dfa.symbols):
        if name.split() != [name] or name in EPSILONS:
            raise ValueError(f"{name!r} cannot be a name in an AT&T file: it must be one word, and not {EPSILONS}")
    if not dfa.accepting:
        raise ValueError("accepting is empty: an AT&T file needs a final state")
    columns = zip(*dfa.transitions, strict=True)
    all_named = all(any(q is not None for q in targets) for targets in (dfa.transitions[dfa.start], *columns))
    whole = dfa if all_named else dfa.completed()
    order = sorted(range(len(whole.states)), key=lambda q: q != whole.start)
    lines = [
        f"{whole.states[q]}\t{whole.states[target]}\t{symbol}"
        for q in order
        for symbol, target in zip(whole.symbols, whole.transitions[q], strict=True)
        if target is not None
    ]
    lines += [whole.states[q] for q in order if q in whole.accepting]
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8-sig")


def _final_state(fields: list[str], states: dict[str, int]) -> int:
    if len(fields) == 2 and fields[1] not in ("0", "0.0"):
        raise ValueError(f"final weight {fields[1]}; only unweighted acceptors can be read")
    return states.setdefault(fields[0], len(states))


def _add_arc(
    fields: list[str], states: dict[str, int], arcs: dict[tuple[int, str], tuple[int, int]], number: int
) -> None:
    """Record the transition of line `number`; `arcs` maps (state, symbol) to (state, line)."""
    src, dst, symbol, *rest = fields
    if rest not in ([], [symbol]):
        raise ValueError("expected `src dst symbol` or `src dst symbol symbol`; outputs and weights are not read")
    if symbol in EPSILONS:
        raise ValueError("a transition that reads nothing; make the automaton deterministic first")
    q = states.setdefault(src, len(states))
    target = states.setdefault(dst, len(states))
    if (q, symbol) in arcs:
        first = arcs[q, symbol][1]
        raise ValueError(f"state {src} already has a transition for {symbol} (line {first}); not deterministic")
    arcs[q, symbol] = target, number


def _assemble(
    states: dict[str, int], symbols: list[str], arcs: dict[tuple[int, str], tuple[int, int]], final: set[int]
) -> DFA:
    place = {symbol: a for a, symbol in enumerate(symbols)}
    table: list[list[int | None]] = [[None] * len(symbols) for _ in states]
    for (q, symbol), (target, _) in arcs.items():
        table[q][place[symbol]] = target
    return DFA(tuple(states), tuple(symbols), tuple(tuple(row) for row in table), 0, frozenset(final))
