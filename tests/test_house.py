"""The shape of the library: imports run one way, and what the README shows runs."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "convexsnn"
# As in CONTRIBUTING.md: a module may import itself and those before it. Those on one line may not import one another.
ROOMS = [
    [
        "block_linear",
        "checks",
        "facts",
        "files",
        "notices",
        "reading",
        "arrays",
        "proof",
        "row_matrices",
        "rowwise",
        "rationals",
        "lanes",
    ],
    ["rowwise", "team", "threads", "errorfree", "mapped", "compiling", "ranks"],
    ["bit_products"],
    ["curved_products"],
    ["caller", "data_files", "frames"],
    ["sealed", "regularisation", "sequences", "neurons", "readouts", "columns", "losses", "penalties", "global_bound"],
    ["stretched"],
    ["network", "program", "labels", "tasks", "prefixes", "checkpoints", "batches", "sharded"],
    ["rounding", "memoryless", "column_blocks"],
    ["simulation", "certificate", "tensors", "validation"],
    ["witnesses", "dictionary", "solvers"],
    ["ridge", "reconstruction", "bounds", "cost", "merged", "observer"],
    ["problem", "progress"],
    ["training", "surrogate", "splits", "kernel_search"],
    ["search", "hybrids", "exact", "polishing", "export", "verification"],
    ["selection", "families", "teaching"],
    ["cross_validation", "leave_one_out"],
    ["elimination"],
    ["fitting"],
    ["estimators"],
    ["aeon", "closed_loop", "forecasting", "importance", "storage", "words"],
    ["metrics", "display"],
    ["report"],
    ["bench"],
    ["cli"],
]
# Methods that hand over to a later module, which is imported when they are called.
HANDED_OVER = {("estimators", "report")}
RANK = {room: rank for rank, rooms in enumerate(ROOMS) for room in rooms}


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        modules = []
        if isinstance(node, ast.ImportFrom) and node.module:
            package = node.module == "convexsnn"
            modules = [f"convexsnn.{alias.name}" for alias in node.names] if package else [node.module]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        rooms |= {module.split(".")[1] for module in modules if module.startswith("convexsnn.")}
    return rooms


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_run_one_way(path):
    room = room_of(path)
    if room in ("__init__", "__main__"):
        return  # the package's front doors
    assert room in RANK, f"{room} is not on the map"
    for other in imported_rooms(path) - {room}:
        assert RANK[other] < RANK[room] or (room, other) in HANDED_OVER, f"{room} imports {other}"


def test_every_room_is_on_the_map_of_contributing():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    for room in RANK:
        assert f"`{room}.py`" in text or f"`{room}/`" in text, room


def test_python_in_the_readme_runs():
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL):
        exec(compile(block, "README.md", "exec"), names)
    assert names["model"].certificate_.holds(1e-6)


def test_pages_of_the_site_have_names_of_their_own_and_are_all_listed():
    """Sphinx writes search.html and genindex.html itself, over a page of that name."""
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")} - {"index"}
    assert not pages & {"search", "genindex", "py-modindex"}
    index = (ROOT / "docs" / "index.md").read_text()
    listed = " ".join(re.findall(r"```\{toctree\}.*?\n\n(.*?)```", index, re.DOTALL)).split()
    assert pages <= set(listed)
    assert len(listed) == len(set(listed))
