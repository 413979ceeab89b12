"""NIR graphs within graphs, as libraries write recurrent layers, taken apart into one."""

from __future__ import annotations

from typing import Any


def is_graph(node: Any) -> bool:
    """Whether something is a NIR graph, or like one."""
    return hasattr(node, "nodes") and hasattr(node, "edges")


# Graphs within graphs within graphs; libraries write two or three.
DEEPEST = 32


def flat_graph(graph: Any, depth: int = 0) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """All nodes of a graph by name, and its edges; those of a graph within it are named "outer.inner".

    Raises
    ------
    ValueError
        When an edge is not between two nodes, or graphs lie within one another without an end.
    """
    if depth > DEEPEST:
        raise ValueError(f"graph: more than {DEEPEST} graphs lie within one another")
    nodes: dict[str, Any] = {}
    edges = list(dict.fromkeys(tuple(edge) for edge in graph.edges))
    for edge in edges:
        if len(edge) != 2 or not all(name in graph.nodes for name in edge):
            raise ValueError(f"graph: the edge {edge} is not between two of its nodes")
    for name, node in graph.nodes.items():
        if not is_graph(node):
            nodes[name] = node
            continue
        inner, within = flat_graph(node, depth + 1)
        nodes |= {f"{name}.{own}": part for own, part in inner.items() if kind_of(part) not in ("Input", "Output")}
        edges = _joined(edges, within, name, inner)
    return nodes, edges


def _joined(
    edges: list[tuple[str, str]], within: list[tuple[str, str]], name: str, inner: dict[str, Any]
) -> list[tuple[str, str]]:
    """The edges with the node `name` replaced by the edges within it."""
    if (name, name) in edges:
        raise ValueError(f"graph: {name}, a graph itself, leads back to itself")
    before = [start for start, end in edges if end == name]
    after = [end for start, end in edges if start == name]
    found = [edge for edge in edges if name not in edge]
    for start, end in within:
        sources = before if kind_of(inner[start]) == "Input" else [f"{name}.{start}"]
        targets = after if kind_of(inner[end]) == "Output" else [f"{name}.{end}"]
        found += [(source, target) for source in sources for target in targets]
    return list(dict.fromkeys(found))


def kind_of(node: Any) -> str:
    """The kind of a node by name."""
    return type(node).__name__
