"""First-last XOR: does the last of T random bits differ from the first?"""

from __future__ import annotations

import numpy as np

from convexsnn.tasks.base import Split, Streams, TaskData, TaskInfo, TaskSettings, assemble, draw_splits, given

INFO = TaskInfo(
    name="first-last-xor",
    description="first bit xor last bit of T random bits, one-hot (d = 2)",
    defaults=TaskSettings(n_train=2000, n_val=2000, n_test=4000, timesteps=6),
    per_step="never",
    source="generated",
    examples=("first-last-xor",),
)


def load_first_last_xor(name: str, settings: TaskSettings, streams: Streams) -> TaskData:
    """Draw the three splits independently of one another.

    Raises
    ------
    ValueError
        If timesteps is below 2: the first bit is then the last one, and the label always 0.
    """
    timesteps = given("timesteps", settings.timesteps)
    if timesteps < 2:
        raise ValueError(f"timesteps must be at least 2 for {name}, not {timesteps}: first and last bit must differ")
    splits = draw_splits(settings, streams, lambda rng, n: _draw(rng, n, timesteps))
    return assemble(name, settings, splits, ("equal", "different"))


def _draw(rng: np.random.Generator, n: int, timesteps: int) -> Split:
    bits = rng.integers(0, 2, size=(n, timesteps))
    return Split(np.eye(2)[bits], bits[:, 0] ^ bits[:, -1])
