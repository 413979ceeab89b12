"""After a crash at any file operation there is the old or the new, as a whole; `benchmarks/crash.py` has more."""

import os
import signal
import subprocess
import sys
import time

import pytest

import convexsnn.files.folder
from convexsnn.files import check_replaceable, replace_folder, sweep, uninterrupted, write_atomically
from convexsnn.files.leftovers import NEW, OLD, beside, locked
from failing_disk import KILLED, WAYS, FailingDisk, installed

OLD_FILES = {"model": b"old" * 1000, "sums": b"old sums", "path": b"old path"}
NEW_FILES = {"model": b"new!" * 1000, "sums": b"new sums"}
OWNED = (*OLD_FILES, "history")
OTHERS = {"notes.txt": b"mine", "plots/one.png": b"also mine"}


def contents(folder):
    """All files below a folder that are not unfinished work; None where there is no folder."""
    if not folder.exists():
        return None
    files = (path for path in folder.rglob("*") if path.is_file() and NEW not in path.name)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def old_folder(tmp_path, there):
    folder = tmp_path / "model"
    if there:
        (folder / "plots").mkdir(parents=True)
        for name, data in (OLD_FILES | OTHERS).items():
            (folder / name).write_bytes(data)
    return folder


def crash(work, folder, point, way):
    """Run `work` on a disk that fails at a point, in a process of its own where that is killed; its exit status."""
    if not way.startswith("killed"):
        return run(work, folder, point, way)
    child = os.fork()
    if child == 0:
        os._exit(run(work, folder, point, way))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def run(work, folder, point, way):
    try:
        with installed(FailingDisk(folder, point, way)):
            work()
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        return 2 if "nothing was changed" in str(error) else 3
    except BaseException:
        return 4
    return 0


def operations(work, folder):
    with installed(FailingDisk(folder)) as disk:
        work()
    return disk.names


@pytest.mark.parametrize("swaps", [True, False], ids=["exchange", "two renames"])
@pytest.mark.parametrize("there", [True, False], ids=["existing", "new"])
def test_a_folder_changes_as_a_whole_whatever_fails(tmp_path, monkeypatch, there, swaps):
    if not swaps:
        monkeypatch.setattr(convexsnn.files.folder, "exchange", lambda one, other: False)  # noqa: ARG005
    others = OTHERS if there else {}
    before, after = (OLD_FILES | OTHERS if there else None), NEW_FILES | others

    def work(folder):
        return lambda: replace_folder(folder, NEW_FILES, OWNED)

    (tmp_path / "dry").mkdir()
    names = operations(work(old_folder(tmp_path / "dry", there)), tmp_path / "dry")
    assert len(names) >= 10
    points = [(way, point) for way in WAYS for point in range(len(names))]
    for way, point in points:
        home = tmp_path / f"{way} {point}"
        home.mkdir()
        folder = old_folder(home, there)
        status = crash(work(folder), home, point, way)
        found = contents(folder)
        ours = found if found is None else {name: data for name, data in found.items() if name not in OTHERS}
        where = way, point, names[point], status
        whole = (OLD_FILES if there else None), NEW_FILES, (None if swaps else NEW_FILES)
        assert ours in whole or (not swaps and found is None), where
        if status == 2:
            assert found == before, where
        sweep(folder, OWNED)
        assert contents(folder) in (before, after), where
        assert [path.name for path in home.iterdir()] in ([], ["model"]), where
        if status == 0:
            assert contents(folder) == after, where


@pytest.mark.parametrize("there", [True, False], ids=["existing", "new"])
def test_a_file_changes_as_a_whole_whatever_fails(tmp_path, there):
    def prepared(home):
        home.mkdir()
        if there:
            (home / "file").write_bytes(b"old" * 1000)
        return home / "file"

    names = operations(lambda: write_atomically(prepared(tmp_path / "dry"), b"new!" * 1000), tmp_path / "dry")
    for way in WAYS:
        for point in range(len(names)):
            file = prepared(tmp_path / f"{way} {point}")
            status = crash(lambda file=file: write_atomically(file, b"new!" * 1000), file.parent, point, way)
            found = file.read_bytes() if file.exists() else None
            assert found in (b"old" * 1000 if there else None, b"new!" * 1000), (way, point, names[point])
            assert status != 2 or found != b"new!" * 1000
            write_atomically(file, b"newer")
            assert [path.name for path in file.parent.iterdir()] == ["file"]


def test_what_a_living_process_writes_is_not_swept(tmp_path):
    stage = beside(tmp_path / "model", NEW)
    stage.mkdir()
    with locked(stage):
        sweep(tmp_path / "model", OWNED)
        assert stage.exists()
    sweep(tmp_path / "model", OWNED)
    assert not stage.exists()


def test_a_kill_between_two_renames_is_put_right(tmp_path):
    folder = old_folder(tmp_path, there=True)
    folder.rename(beside(folder, OLD))
    beside(folder, NEW).mkdir()
    sweep(folder, OWNED)
    assert contents(folder) == OLD_FILES | OTHERS
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_what_cannot_be_put_back_is_kept_and_said(tmp_path):
    folder = old_folder(tmp_path, there=True)
    left = beside(folder, NEW)
    left.mkdir()
    (left / "notes.txt").write_bytes(b"others")
    sweep(folder, OWNED)
    assert (left / "notes.txt").read_bytes() == b"others"
    assert contents(folder) == OLD_FILES | OTHERS


@pytest.mark.parametrize(
    ("name", "reason"),
    [("file", "is a file: name a folder"), (".", "is the folder you are in"), ("..", "is the folder you are in")],
)
def test_folders_that_must_stay_are_refused(tmp_path, monkeypatch, name, reason):
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=reason):
        check_replaceable(name)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_parent_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "closed" / "model").mkdir(parents=True)
    (tmp_path / "closed").chmod(0o500)
    with pytest.raises(ValueError, match="is not writable"):
        check_replaceable(tmp_path / "closed" / "model")


def test_folders_that_can_be_replaced_stay_as_they_are(tmp_path):
    folder = old_folder(tmp_path, there=True)
    folder.chmod(0o750)
    (tmp_path / "empty").mkdir()
    for name in ("model", "empty", "new", "new/deeper"):
        check_replaceable(tmp_path / name)
    assert contents(folder) == OLD_FILES | OTHERS
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "model"]
    replace_folder(folder, NEW_FILES, OWNED)
    assert folder.stat().st_mode & 0o777 == 0o750


def test_a_link_to_a_folder_stays_a_link(tmp_path):
    folder = old_folder(tmp_path, there=True)
    (tmp_path / "link").symlink_to(folder)
    replace_folder(tmp_path / "link", NEW_FILES, OWNED)
    assert (tmp_path / "link").is_symlink()
    assert contents(folder) == NEW_FILES | OTHERS


def test_ctrl_c_waits_for_a_block_and_then_falls():
    done = []

    def work():
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
            done.append("all")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["all"]


@pytest.mark.parametrize("arguments", [["--help"], ["fit", "--help"], ["fit", "--task", "digits", "--out", "m"]])
def test_ctrl_c_at_any_moment_ends_without_a_traceback(tmp_path, arguments):
    """From the first line of ours on: what Python does before, and says when it is interrupted there, is Python's."""
    begun = "import sys; print('begun', flush=True); from convexsnn.cli import main; main()"
    for wait in (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8):
        command = [sys.executable, "-c", begun.replace("main()", f"sys.argv[1:] = {arguments!r}; main()")]
        process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.005 + wait)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
        ours = [line for line in errors.splitlines() if line.lstrip().startswith("File ") and "convexsnn" in line]
        if "Traceback" in errors and (not ours or "from __future__" in errors):
            continue  # on a busy machine: before our first line after all
        assert "Traceback" not in errors
        # Help may be over by then: 0, or the signal itself where it falls into the last moments of Python.
        assert process.returncode in ((0, 130, -signal.SIGINT) if "--help" in arguments else (130,)), errors


WITHOUT_TORCH = [
    (["--help"], 0),
    (["fit", "--help"], 0),
    (["verify", "--help"], 0),
    (["--version"], 0),
    (["nonsense"], 2),
    (["fit"], 2),
    (["fit", "--out", "m"], 2),
    (["fit", "--task", "digist", "--out", "m"], 2),
    (["fit", "--task", "digits", "--timesteps", "0", "--out", "m"], 2),
    (["fit", "--task", "digits", "--out", "m", "--loss", "hing"], 2),
    (["fit", "--task", "digits", "--out", "m", "--beta", "-1"], 2),
    (["fit", "--task", "digits", "--out", "m", "--witnesses", "gausian"], 2),
    (["fit", "--task", "digits", "--out", "m", "--width", "3", "--witnesses", "gaussian"], 2),
    (["fit", "--task", "digits", "--out", "m", "--reset", "sometimes"], 2),
    (["fit", "--data", "missing.npz", "--out", "m"], 2),
    (["predict", "--model", "missing", "--data", "missing.npz", "--out", "p.npz"], 2),
    (["verify", "--model", "missing", "--task", "digits"], 2),
    (["report", "missing"], 2),
]


def test_help_and_errors_of_arguments_load_no_torch(tmp_path):
    """In one process: what one of them had loaded, all after it would find."""
    check = (
        "import sys\n"
        "from convexsnn.cli import main\n"
        f"for arguments, _ in {WITHOUT_TORCH!r}:\n"
        "    sys.argv[1:] = arguments\n"
        "    try: main()\n"
        "    except SystemExit as end: status = end.code or 0\n"
        "    loaded = [name for name in ('torch', 'sklearn', 'scipy') if name in sys.modules]\n"
        "    print(arguments, status, loaded, file=sys.stderr)\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", check], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120
    )
    told = [line for line in finished.stderr.splitlines() if line.startswith("[") and line.endswith("]")]
    assert told == [f"{arguments} {status} []" for arguments, status in WITHOUT_TORCH]


def test_the_exit_status_of_a_killed_writer_is_known():
    """So that the tests above do test what they say."""
    assert KILLED not in (0, 1, 2, 3, 4, 130)
