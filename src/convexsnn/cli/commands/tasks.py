"""`convexsnn tasks`."""

from __future__ import annotations

from convexsnn.cli import output
from convexsnn.cli.options import Json
from convexsnn.cli.starting import loading


def tasks(*, json: Json = False) -> int:
    """List the tasks."""
    with loading():
        from convexsnn.tasks import list_tasks
    rows = [
        {
            "name": info.name,
            "description": info.description,
            "per_step": info.per_step,
            "timesteps": info.defaults.timesteps,
            "sizes": [info.defaults.n_train, info.defaults.n_val, info.defaults.n_test],
            "source": info.source,
            "examples": list(info.examples),
        }
        for info in list_tasks()
    ]
    if json:
        output.print_json(rows)
    else:
        output.print_tasks(rows)
    return 0
