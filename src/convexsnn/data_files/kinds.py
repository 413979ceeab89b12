"""Files of sequences by the ending of their name."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from convexsnn.data_files.csv_files import read_csv
from convexsnn.data_files.numpy_files import read_npy, read_npz
from convexsnn.data_files.ts_files import read_ts
from convexsnn.reading import DamagedFileError


def read_arrays(path: Path, *, per_step: bool = False) -> dict[str, np.ndarray]:
    """The named arrays of a file.

    Parameters
    ----------
    path : Path
        Its ending says what kind of file it is: .npz, .npy, .csv or .ts. Beside ``NAME_TRAIN.ts`` the file
        ``NAME_TEST.ts`` is read too, where there is one, as X_test and y_test.
    per_step : bool
        Whether the labels of a .csv file are those of steps, instead of one a sequence.

    Raises
    ------
    DamagedFileError
        When the file is missing, damaged or of another kind.
    """
    match path.suffix.lower():
        case ".npz":
            return read_npz(path)
        case ".npy":
            return {"X": read_npy(path)}
        case ".csv":
            return read_csv(path, per_step=per_step)
        case ".ts":
            return _with_test_part(path)
        case other:
            ending = f"the ending {other}" if other else "no ending"
            raise DamagedFileError(path, "file", f"it has {ending}: files of sequences are .npz, .npy, .csv and .ts")


def _with_test_part(path: Path) -> dict[str, np.ndarray]:
    """A .ts file, and the test data of the pair of files that archives give."""
    arrays = read_ts(path)
    test = path.with_name(f"{path.stem.removesuffix('_TRAIN')}_TEST{path.suffix}")
    if not path.stem.endswith("_TRAIN") or not test.is_file():
        return arrays
    return arrays | {f"{name}_test": array for name, array in read_ts(test).items()}
