"""How many threads there should be, and how they should wait for one another.

Threads that spin while they wait may take the processor from the thread that they wait for. This happens when something
else runs beside them, or a container has a quota. Work then takes 30 times as long. Whether they spin is fixed when
their library is loaded. How many there are can be chosen at any time.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

# How users say how many threads there are to be.
COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
# Entries of a dictionary, rows times columns, below which threads wait for one another longer than they work.
SMALL = 4_000_000


def available(root: Path = Path("/")) -> int:
    """The processors that this process may use at once: those it may run on, and no more than its quota allows."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([allowed, *(int(quota) for quota in _quotas(root))]))


def quiet_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What to set before libraries with threads are loaded, where nothing in `environment` says it already.

    Of OpenMP the ways to wait: libgomp and LLVM read the first, Intel's runtime also the second. OpenBLAS does not know
    of quotas.
    """
    wanted = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
    if not set(environment) & {*COUNTS, "OPENBLAS_NUM_THREADS"} and available() < (os.cpu_count() or 1):
        wanted["OPENBLAS_NUM_THREADS"] = str(available())
    return {name: value for name, value in wanted.items() if name not in environment}


def threads_for(entries: int, current: int, usual: int) -> int:
    """Threads for work on a dictionary of so many entries, rows times columns.

    Parameters
    ----------
    entries : int
    current : int
        Threads that torch now has.
    usual : int
        Threads that torch has where nobody chose any.

    Returns
    -------
    int
        `current` where a user chose it, by the environment or in torch. Otherwise one for small work, and for more as
        many as `available`.
    """
    if any(name in os.environ for name in COUNTS) or current != usual:
        return current
    return 1 if entries < SMALL else min(current, available())


def _quotas(root: Path) -> list[float]:
    """Processors that the control groups of this process allow, of all that set a limit."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            base = root / "sys/fs/cgroup"
            found += [_unified(folder) for folder in _up(base, path)]
        elif "cpu" in controllers.split(","):
            base = root / "sys/fs/cgroup" / controllers
            found += [_divided(folder) for folder in _up(base if base.exists() else base.with_name("cpu"), path)]
    return [quota for quota in found if quota is not None]


def _up(base: Path, path: str) -> list[Path]:
    """The folders of a control group and of those above it; in a container the path may be that of the host."""
    parts = [part for part in path.split("/") if part]
    return [base.joinpath(*parts[:k]) for k in range(len(parts), -1, -1)]


def _unified(folder: Path) -> float | None:
    """The quota in the second version's form: "max 100000" or "150000 100000"."""
    try:
        quota, period = (folder / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _divided(folder: Path) -> float | None:
    """The quota in the first version's form, -1 for none."""
    try:
        quota, period = (int((folder / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
        return quota / period if quota > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None
