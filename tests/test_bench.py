"""The bench: every method on small cells, resumed after a kill, and its tables."""

import contextlib
import json

import numpy as np
import pytest

from convexsnn.bench import jobs as bench_jobs
from convexsnn.bench import methods
from convexsnn.bench.ablation import AXES, BASES, ablation_jobs, ablation_sections
from convexsnn.bench.cells import CELLS, Cell, choose_cells
from convexsnn.bench.jobs import BACKENDS, Job, Workers, run_jobs
from convexsnn.bench.paper import paper_jobs, paper_sections
from convexsnn.bench.sections import markdown
from convexsnn.cli import output
from convexsnn.cli.app import run as command

XOR = Cell("xor", "first-last-xor", 4, 4, 20, 40, "hinge", (60, 60, 60), rates=(1e-2, 5e-2), epochs=4)
SUMS = Cell("sums", "addition", 3, 3, 12, 24, "cross_entropy", (30, 30, 30), per_step=True, digits=(2, 4))


def run_all(cell, folder, chosen=methods.METHODS, seeds=(0,)):
    work = paper_jobs([cell], chosen, seeds, "cpu", None)
    return [row for outcome in run_jobs(work, methods.run_paper_job, folder, Workers()) for row in outcome.rows]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(methods, "SENSIBLE", methods.replace(methods.SENSIBLE, epochs=2))


@pytest.mark.parametrize("cell", [XOR, SUMS], ids=lambda cell: cell.name)
def test_every_method_gives_a_row(cell, tmp_path):
    cell = methods.replace(cell, epochs=4, rates=(1e-2,))
    rows = run_all(cell, tmp_path)
    assert sorted(row["method"] for row in rows) == sorted(methods.METHODS)
    for row in rows:
        assert all(0.0 <= row[split]["accuracy"] <= 100.0 for split in ("train", "val", "test"))
        if "CVX" in row["method"] and row["method"] != "CVX-FT":
            assert row["relative_gap"] <= 1e-6
            assert row["certified"]
        else:
            assert "relative_gap" not in row
        assert set(row.get("closed_loop", {})) == {str(digits) for digits in cell.digits}
    assert len(list(tmp_path.iterdir())) == len(methods.GROUPS)  # nothing but the jobs' own files is left
    (section,) = paper_sections(rows, methods.METHODS)
    assert [line[0] for line in section.tables[0].rows] == list(methods.METHODS)
    assert " +- " not in markdown([section])  # one seed has no spread
    assert ("closed loop" in markdown([section])) == bool(cell.digits)


def test_the_reservoir_is_tuned_and_read_with_the_papers_neuron_and_solved_with_ours(tmp_path, monkeypatch):
    resets = {"tuned": [], "ridge": [], "convex": []}

    def noting(what, function, place):
        def call(*arguments, **more):
            hidden = arguments[place]
            neurons = hidden.neurons(1) if what == "tuned" else hidden.branches[0].last.neuron
            resets[what].append(neurons.reset)
            return function(*arguments, **more)

        return call

    monkeypatch.setattr(methods, "tune_reservoir", noting("tuned", methods.tune_reservoir, 0))
    monkeypatch.setattr(methods, "fit_ridge", noting("ridge", methods.fit_ridge, 0))
    monkeypatch.setattr(methods, "_convex", noting("convex", methods._convex, 2))
    run_all(XOR, tmp_path, ("R", "R-CVX", "R-CVX-an"))
    assert resets == {"tuned": ["delayed"], "ridge": ["delayed"], "convex": ["soft", "soft"]}


def test_a_killed_bench_goes_on_and_ends_with_the_same_table(tmp_path, monkeypatch):
    chosen = ("SG", "CVX", "R")
    whole = run_all(XOR, tmp_path / "whole", chosen)
    trained, train = [], methods.train_surrogate

    def killed(start, problem, settings, **more):
        if len(trained) == 1:
            raise KeyboardInterrupt
        trained.append(train(start, problem, settings, **more))
        return trained[-1]

    with monkeypatch.context() as patch:
        patch.setattr(methods, "train_surrogate", killed)
        with pytest.raises(KeyboardInterrupt):
            run_all(XOR, tmp_path / "killed", chosen)
    assert len(list((tmp_path / "killed").glob("*.json"))) == 2  # gaussian and reservoir come before
    assert len(list((tmp_path / "killed").glob("*.safetensors"))) == 1  # of the first learning rate
    epochs = []
    with monkeypatch.context() as patch:
        patch.setattr("convexsnn.surrogate.run.TrainingRun.epoch", counted(epochs))
        resumed = run_all(XOR, tmp_path / "killed", chosen)
    assert len(epochs) == XOR.epochs  # of the second learning rate only
    assert [without_times(row) for row in resumed] == [without_times(row) for row in whole]
    monkeypatch.setattr(methods, "load_task", None)  # nothing is run again
    assert run_all(XOR, tmp_path / "killed", chosen) == resumed


def counted(calls):
    from convexsnn.surrogate.run import TrainingRun

    plain = TrainingRun.epoch
    return lambda self, began: calls.append(1) or plain(self, began)


def without_times(row):
    return {name: value for name, value in row.items() if name != "seconds"}


def test_damaged_and_foreign_job_files_are_not_believed(tmp_path):
    calls = []
    run = lambda settings, scratch: calls.append(settings) or [{"x": settings["x"]}]  # noqa: ARG005, E731
    job = Job("one", {"x": 1})
    path = tmp_path / f"{job.slug}.json"
    assert [o.rows for o in run_jobs([job], run, tmp_path, Workers())] == [[{"x": 1}]]
    path.write_text(path.read_text()[:-5])
    assert [o.reused for o in run_jobs([job], run, tmp_path, Workers())] == [False]
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"settings": {"x": 2}}))
    assert [o.rows for o in run_jobs([job], run, tmp_path, Workers())] == [[{"x": 1}]]
    assert len(calls) == 3
    assert [o.reused for o in run_jobs([job], run, tmp_path, Workers())] == [True]


def square(settings, scratch):  # noqa: ARG001
    if settings["x"] == 3:
        raise bench_jobs.JobSkippedError("no three")
    return [{"x": settings["x"] ** 2}]


@pytest.mark.parametrize("backend", BACKENDS)
def test_jobs_in_parallel_and_skipped_ones(backend, tmp_path):
    work = [Job(f"job-{x}", {"x": x}) for x in range(5)]
    with contextlib.ExitStack() as stack:
        address = None
        if backend == "dask":
            distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")
            cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
            address = stack.enter_context(cluster).scheduler_address
        workers = Workers(2, backend, address)
        outcomes = {o.job.settings["x"]: o for o in run_jobs(work, square, tmp_path, workers)}
    assert {x: o.rows for x, o in outcomes.items()} == {x: [] if x == 3 else [{"x": x * x}] for x in range(5)}
    assert outcomes[3].skipped == "no three"
    assert len(list(tmp_path.iterdir())) == 4


def test_workers_are_refused_where_they_cannot_be(monkeypatch):
    with pytest.raises(ValueError, match="backend must be one of"):
        Workers(2, "ray")
    for backend, address in (("dask", None), ("loky", "tcp://localhost:1")):
        with pytest.raises(ValueError, match="address names the scheduler of backend 'dask'"):
            Workers(2, backend, address)
    monkeypatch.setattr(bench_jobs, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match="backend 'dask' needs"):
        Workers(2, "dask", "tcp://localhost:1")


def test_the_table_compares_with_the_paper():
    row = {"cell": "xor-T6-L5", "method": "CVX", "beta": 0.1, "relative_gap": 1e-7, "columns": 9, "seconds": 1.0}
    rows = [
        row | {"seed": seed, "test": {"accuracy": accuracy}, "train": {"accuracy": 100.0}}
        for seed, accuracy in enumerate((100.0, 100.0, 99.8))
    ]
    assert "| 99.9 +- 0.1 | 100.0 | yes |" in markdown(paper_sections(rows, ["CVX"]))
    for entry in rows:
        entry["test"] = {"accuracy": 90.0}
    assert "| 90.0 +- 0.0 | 100.0 | no (-10.0) |" in markdown(paper_sections(rows, ["CVX"]))


def test_cells_are_the_papers():
    assert len([name for name in CELLS if name.startswith("xor")]) == 8
    cell = CELLS["xor-T11-L5"]
    assert (cell.paper["SG-CVX"], cell.paper["R"], cell.sizes) == ((76.0, 4.3), (53.7, 3.5), (2000, 2000, 4000))
    assert CELLS["mnist-T14-L3"].paper["R"][0] == pytest.approx(np.mean([81.7, 81.8, 83.6]))
    with pytest.raises(ValueError, match="Did you mean 'xor-T11-L5'"):
        choose_cells(("xor-T11-L4",), small=False)
    with pytest.raises(ValueError, match="cells must be one of"):
        choose_cells(("xor-T14-L5",), small=True)


def test_commands_write_json_tables_and_plots(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(BASES, "digits", methods.replace(BASES["digits"], sizes=(60, 30, 30)))
    monkeypatch.setitem(AXES, "branches", (1, 2))
    out = tmp_path / "ablation"
    arguments = ["bench", "ablation", "--axes", "branches", "--seeds", "0", "--out", str(out)]
    assert command(arguments) == 0
    report = json.loads((out / "ablation.json").read_text())
    assert [row["value"] for row in report["rows"]] == [1, 2]
    assert all(row["relative_gap"] <= 1e-6 for row in report["rows"])
    assert markdown(ablation_sections(report["rows"])) in (out / "ablation.md").read_text()
    page = (out / "ablation.html").read_text()
    assert "Accuracy and relative gap on digits for each value of branches" in page
    assert page.count("<tr>") == 3
    assert page.count('src="data:image/svg+xml') == 1
    assert (out / "digits-branches.png").read_bytes().startswith(b"\x89PNG")
    assert "digits: branches" in capsys.readouterr().out
    missing = tmp_path / "none"
    missing.mkdir()
    paper = ["bench", "paper", "--small", "--cells", "mnist-T14-L3", "--methods", "CVX", "--out", str(tmp_path / "p")]
    assert command([*paper, "--data-dir", str(missing)]) == 0
    assert "skipped:" in capsys.readouterr().err
    for bad in (["--methods", "CXV"], ["--cells", "xor"], ["--jobs", "0"], ["--seeds", "-1"]):
        assert command(["bench", "paper", "--out", str(tmp_path / "q"), *bad]) == 2
    assert not (tmp_path / "q").exists()


@pytest.mark.parametrize("width", [40, 80, 160])
def test_tables_fit_a_terminal_of_any_width(width, monkeypatch, capsys):
    monkeypatch.setattr(output.stdout, "_width", width)
    head = ("method", *(f"column {k}" for k in range(6)))
    output.print_table("xor [cell]", head, [("SG-CVX-same", *(f"{k}.25 +- 0.5" for k in range(6)))])
    shown = capsys.readouterr().out
    assert "xor [cell]" in shown  # square brackets are no marks of rich here
    assert all(f"{k}.25 +- 0.5" in shown for k in range(6))  # no entry is broken
    assert max(map(len, shown.splitlines())) <= width


def test_an_ablation_of_a_task_with_labels_a_step(tmp_path, monkeypatch):
    network = BASES["addition"].network | {"hidden": 16, "last": 32}
    small = methods.replace(BASES["addition"], sizes=(60, 30, 30), network=network)
    monkeypatch.setitem(BASES, "addition", small)
    monkeypatch.setitem(AXES, "n_train", (30, 60))
    arguments = ["bench", "ablation", "--base", "addition", "--axes", "n_train", "--seeds", "0", "--no-plots"]
    assert command([*arguments, "--out", str(tmp_path)]) == 0
    rows = json.loads((tmp_path / "ablation.json").read_text())["rows"]
    assert [row["value"] for row in rows] == [30, 60]
    assert all(row["train"] > 25.0 for row in rows)  # four answers a step: above chance


def test_ablation_jobs_have_names_that_are_files():
    work = ablation_jobs("digits", list(AXES), (0, 1), "cpu", None)
    assert len({job.slug for job in work}) == 2 * sum(map(len, AXES.values()))
    assert not any("/" in job.slug or "+" in job.slug for job in work)
