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

from convexsnn.tasks.dfa import DFA

EPSILONS = ("<eps>", "<epsilon>", "@0@", "@_EPSILON_SYMBOL_@")


def read_att(path: str | Path) -> DFA:
    """Read a deterministic acceptor.

    Raises
    ------
    ValueError
        With the number of the line at fault, if the file is not a deterministic unweighted acceptor; or if it cannot
        be read, or holds no transition or no final state.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot read the automaton {path}: {error}") from error
    states: dict[str, int] = {}
    arcs: dict[tuple[int, str], tuple[int, int]] = {}
    final: set[int] = set()
    for number, line in enumerate(text.split("\n"), start=1):
        fields = line.split()
        where = f"{path}, line {number}: {line.strip()!r}"
        if not fields:
            continue
        if len(fields) <= 2:
            final.add(_final_state(fields, states, where))
        else:
            _add_arc(fields, states, arcs, number, where)
    if not arcs or not final:
        missing = "final state" if arcs else "transition"
        raise ValueError(f"{path} holds no {missing}; expected lines `src dst symbol` and `state`")
    return _assemble(states, arcs, final)


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


def _final_state(fields: list[str], states: dict[str, int], where: str) -> int:
    if len(fields) == 2 and fields[1] not in ("0", "0.0"):
        raise ValueError(f"{where}: final weight {fields[1]}; only unweighted acceptors can be read")
    return states.setdefault(fields[0], len(states))


def _add_arc(
    fields: list[str], states: dict[str, int], arcs: dict[tuple[int, str], tuple[int, int]], number: int, where: str
) -> None:
    """Record the transition of line `number`; `arcs` maps (state, symbol) to (state, line)."""
    src, dst, symbol, *rest = fields
    if rest not in ([], [symbol]):
        raise ValueError(
            f"{where}: expected `src dst symbol` or `src dst symbol symbol`; outputs and weights are not read"
        )
    if symbol in EPSILONS:
        raise ValueError(f"{where}: a transition that reads nothing; make the automaton deterministic first")
    q = states.setdefault(src, len(states))
    target = states.setdefault(dst, len(states))
    if (q, symbol) in arcs:
        first = arcs[q, symbol][1]
        raise ValueError(
            f"{where}: state {src} already has a transition for {symbol} (line {first}); not deterministic"
        )
    arcs[q, symbol] = target, number


def _assemble(states: dict[str, int], arcs: dict[tuple[int, str], tuple[int, int]], final: set[int]) -> DFA:
    symbols = tuple(sorted({symbol for _, symbol in arcs}))
    table: list[list[int | None]] = [[None] * len(symbols) for _ in states]
    for (q, symbol), (target, _) in arcs.items():
        table[q][symbols.index(symbol)] = target
    return DFA(tuple(states), symbols, tuple(tuple(row) for row in table), 0, frozenset(final))
