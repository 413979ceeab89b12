"""Files of sequences that users bring: .npz, .npy, .csv and .ts, each as named arrays.

`read_arrays` reads any of them. The arrays are X, y and lengths of the training data, and those with the endings _val
and _test of further data. Nothing in a file is executed.
"""

from convexsnn.data_files.csv_files import read_csv
from convexsnn.data_files.kinds import read_arrays
from convexsnn.data_files.numpy_files import read_npy, read_npz
from convexsnn.data_files.ts_files import read_ts

__all__ = ["read_arrays", "read_csv", "read_npy", "read_npz", "read_ts"]
