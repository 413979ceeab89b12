"""What the caller has set in torch changes no bit of a result, and is afterwards as it was: every public function."""

import contextlib
import dataclasses
import enum
import random

import numpy as np
import pytest
import torch
from torch import nn

import convexsnn
from convexsnn import (
    Architecture,
    Exact,
    FeedbackLoop,
    Gaussian,
    Reservoir,
    Search,
    SpikingClassifier,
    SpikingRegressor,
    Surrogate,
    as_sequences,
    build_dictionary,
    caller,
    certify,
    gaussian,
    predict_closed_loop,
    reconstruct,
    simulate,
    solve,
    threads,
    train,
)
from convexsnn.cost import inference_cost
from convexsnn.exact import ExactSettings, bound_network
from convexsnn.export import from_nir, from_torch, to_nir, to_norse, to_snntorch, to_spikingjelly, to_torch
from convexsnn.hybrids import convex_readout, fine_tune
from convexsnn.metrics import split_scores
from convexsnn.reconstruction import quantise, realise, thin, widen_margins
from convexsnn.ridge import fit_ridge
from convexsnn.search import SearchSettings, search
from convexsnn.simulation import initial_state, read, scores, step
from convexsnn.storage import load_model, save_model
from convexsnn.surrogate import SurrogateSettings, initial_network, train_surrogate
from convexsnn.tasks import TaskSettings, load_task
from convexsnn.verification import verify
from convexsnn.witnesses import Heterogeneity, diversify, heterogeneous, mix, pretrained, tune_reservoir
from helpers import generator

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 4, 3)) + 0.3
Y = (X[:, -1, 0] + 0.5 * X[:, 0, 1] > 0.3).astype(int)
SHAPE = Architecture(3, depth=2, branches=1, last=12, leak=0.5, readout="spike")
EXPORTED = Architecture(3, depth=3, branches=1, hidden=6, last=8, leak=0.5, reset="hard", readout="spike")


def bits(value):
    """A value as nested tuples in which every number has its bits."""
    match value:
        case torch.Tensor():
            return bits(value.detach().cpu().numpy())
        case np.ndarray() if value.dtype.hasobject:
            return tuple(map(bits, value.tolist()))
        case np.ndarray():
            return value.dtype.str, value.shape, np.ascontiguousarray(value).tobytes()
        case nn.Module():
            return type(value).__name__, bits(value.state_dict())
        case dict():
            return tuple((key, bits(value[key])) for key in value if key != "seconds")
        case list() | tuple() | set():
            return tuple(map(bits, value))
        case float() | np.generic():
            return repr(value)
        case str() | int() | bytes() | None:
            return value
        case enum.Enum() | torch.dtype() | torch.device():
            return str(value)
        case _ if dataclasses.is_dataclass(value) or type(value).__module__.startswith("nir"):
            fields = {name: own for name, own in vars(value).items() if "seconds" not in name}
            return type(value).__name__, bits(fields)
        case _:
            return type(value).__name__, bits({name: own for name, own in vars(value).items() if name.endswith("_")})


@pytest.fixture(scope="module")
def made():
    """What the functions are given; made in an untouched torch."""
    sequences, hidden = as_sequences(X), gaussian(SHAPE, generator())
    dictionary = build_dictionary(hidden, sequences)
    model = SpikingClassifier(
        witnesses=Gaussian(depth=2, last=12, leak=0.5, readout="spike"), beta=0.02, random_state=0
    )
    model.fit(X, Y)
    problem = model.problem(X, Y)
    program = problem.program(dictionary.columns)
    module = to_torch(
        convexsnn.Network(gaussian(EXPORTED, generator()), torch.randn(8, 2, generator=generator()).double())
    )
    task = load_task("addition", TaskSettings(12, 4, 4))
    adder = SpikingClassifier(witnesses=Gaussian(depth=2, last=24), per_step=True, random_state=0)
    adder.fit(task.train.X, task.train.y)
    return {
        "plain": nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)),
        "sequences": sequences, "hidden": hidden, "dictionary": dictionary, "model": model, "problem": problem,
        "program": program, "solution": solve(program), "network": model.network_, "module": module,
        "exported": from_torch(module), "task": task, "adder": adder,
    }  # fmt: skip


def fitted(cls=SpikingClassifier, y=Y, **parameters):
    model = cls(random_state=0, **parameters).fit(X, y)
    return model, model.predict(X), model.score(X, y)


def kept(m, folder):
    save_model(m["model"], folder / "model.safetensors")
    loaded, extra = load_model(folder / "model.safetensors")
    return (folder / "model.safetensors").read_bytes(), loaded, extra, loaded.predict(X)


def realised(m):
    layer = m["hidden"].branches[0].last
    spikes = simulate(dataclasses.replace(m["hidden"], every_step=True), m["sequences"]).features.reshape(40, 4, 12)
    return realise(
        m["sequences"].values[:, :, :], spikes[:, :, :2] > 0, layer.neuron.take(torch.arange(2, device="cpu"))
    )


def streamed(m):
    state = initial_state(m["hidden"], 40)
    for t in range(4):
        state = step(m["hidden"], m["sequences"].values[:, t], state).state
    return read(m["hidden"], state)


EXACT = Exact(neuron="threshold", readout="spike")
MODELS = {
    "gaussian": lambda _: fitted(witnesses=Gaussian(depth=3, hidden=8, last=24)),
    "float32": lambda _: fitted(witnesses=Gaussian(depth=2, last=24, dtype="float32")),
    "analog": lambda _: fitted(SpikingRegressor, X[:, -1, 0], witnesses=Gaussian(depth=2, last=24, readout="analog")),
    "betas": lambda _: fitted(witnesses=Gaussian(depth=2, last=24), beta=[0.1, 0.01]),
    "reservoir": lambda _: fitted(witnesses=Reservoir(depth=2, last=24, recurrent=True)),
    "surrogate": lambda _: fitted(witnesses=Surrogate(depth=2, last=12, epochs=2)),
    "search": lambda _: fitted(witnesses=Search(depth=2, population=16, width=4, effort=1e6, rounds=2, attempts=1)),
    "exact": lambda _: SpikingClassifier(witnesses=EXACT, random_state=0).fit(X[:7, :1, :2], Y[:7]),
}
FUNCTIONS = {
    "estimator": lambda m: (m["model"].predict(X), m["model"].predict_proba(X), m["model"].decision_function(X)),
    "problem": lambda m: m["model"].problem(X, Y).data_digest,
    "as_sequences": lambda _: (as_sequences(X), as_sequences(list(X)), as_sequences(torch.from_numpy(X))),
    "gaussian": lambda _: gaussian(SHAPE, generator()),
    "heterogeneous": lambda _: heterogeneous(SHAPE, generator(), Heterogeneity()),
    "diversify": lambda m: diversify(m["hidden"], generator(), Heterogeneity()),
    "tune_reservoir": lambda m: tune_reservoir(SHAPE, m["sequences"], generator()),
    "mix": lambda m: mix(m["hidden"], m["hidden"]),
    "simulate": lambda m: simulate(m["hidden"], m["sequences"]),
    "step": streamed,
    "scores": lambda m: scores(m["network"], m["sequences"]),
    "build_dictionary": lambda m: build_dictionary(m["hidden"], m["sequences"]),
    "solve": lambda m: solve(m["program"]),
    "certify": lambda m: certify(m["program"], m["solution"].W, m["solution"].U),
    "reconstruct": lambda m: reconstruct(m["hidden"], m["dictionary"], m["solution"].W),
    "train": lambda m: train(m["problem"], m["hidden"]),
    "search": lambda m: search(
        m["problem"], SearchSettings(depth=2, population=16, width=4, effort=1e6, rounds=2, attempts=1)
    ),
    "bound_network": lambda m: bound_network(
        m["model"].trained_, m["problem"], ExactSettings("pricing", time_limit=1e-9)
    ),
    "initial_network": lambda _: initial_network(SHAPE, 2, generator()),
    "train_surrogate": lambda m: train_surrogate(
        initial_network(SHAPE, 2, generator()), m["problem"], SurrogateSettings(epochs=2)
    ),
    "fine_tune": lambda m: fine_tune(m["network"], m["problem"], SurrogateSettings(epochs=1)),
    "convex_readout": lambda m: convex_readout(m["network"], m["problem"]),
    "fit_ridge": lambda m: fit_ridge(m["hidden"], m["sequences"], m["problem"].targets, (0.1,)),
    "verify": lambda m: verify(m["model"].trained_, m["model"].certificate_, m["problem"]),
    "cost": lambda m: inference_cost(m["network"], m["sequences"]),
    "metrics": lambda m: split_scores(m["model"], X, Y),
    "realise": realised,
    "quantise": lambda m: quantise(m["network"], m["sequences"], 8, effort=5),
    "widen_margins": lambda m: widen_margins(m["network"], m["sequences"]),
    "thin": lambda m: thin(m["program"], m["solution"].W),
    "to_torch": lambda m: to_torch(m["exported"]),
    "from_torch": lambda m: from_torch(m["module"]),
    "to_snntorch": lambda m: to_snntorch(m["exported"]),
    "to_spikingjelly": lambda m: to_spikingjelly(m["exported"]),
    "to_norse": lambda m: to_norse(m["exported"]),
    "nir": lambda m: from_nir(to_nir(m["exported"])),
    "pretrained": lambda m: pretrained(m["plain"], leak=0.5),
    "closed_loop": lambda m: predict_closed_loop(m["adder"], m["task"].test.X, FeedbackLoop.of_task(m["task"])),
}


@contextlib.contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        assert torch.get_default_dtype() == dtype
        torch.set_default_dtype(before)


@contextlib.contextmanager
def deterministic():
    torch.use_deterministic_algorithms(True)
    try:
        yield
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


@contextlib.contextmanager
def two_threads():
    torch.set_num_threads(2)
    try:
        yield
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


CONTEXTS = {
    "float64": lambda: default_dtype(torch.float64),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "another device": lambda: torch.device("meta"),
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "deterministic": deterministic,
    "two threads": two_threads,
}


@contextlib.contextmanager
def all_contexts():
    with contextlib.ExitStack() as stack:
        for context in CONTEXTS.values():
            stack.enter_context(context())
        yield


@contextlib.contextmanager
def unchanged():
    """Fails where anything of the caller's that can be asked for is not as before."""

    def state():
        switches = torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu")
        settings = torch.get_default_dtype(), str(torch.get_default_device()), torch.get_num_threads()
        return (
            *switches,
            *settings,
            bytes(torch.get_rng_state().tolist()),
            bits(np.random.get_state()),
            random.getstate(),
        )

    before = state()
    yield
    assert state() == before


EXPECTED: dict = {}


def check(name, function, made, context):
    if name not in EXPECTED:
        EXPECTED[name] = bits(function(made))
    with context(), unchanged():
        found = function(made)
    assert bits(found) == EXPECTED[name]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", MODELS)
def test_all_that_a_caller_may_set_changes_no_fit(made, name):
    check(f"fit {name}", MODELS[name], made, all_contexts)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("context", CONTEXTS)
def test_what_a_caller_has_set_changes_no_result(made, name, context):
    check(name, FUNCTIONS[name], made, CONTEXTS[context])


@pytest.mark.filterwarnings("ignore")
def test_files_are_the_same(made, tmp_path):
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    expected = bits(kept(made, tmp_path / "here"))
    with all_contexts(), unchanged():
        found = kept(made, tmp_path / "there")
    assert bits(found) == expected


def test_every_public_function_that_computes_is_tried():
    """Functions are public by the names that rooms export; those that compute are run in all contexts above."""
    import convexsnn.exact
    import convexsnn.export
    import convexsnn.reconstruction
    import convexsnn.surrogate
    import convexsnn.witnesses

    others = ("polish", "check_cost", "separate", "permutation_importance")  # its own way; no tensors; by predict
    rooms = (convexsnn, convexsnn.exact, convexsnn.export, convexsnn.reconstruction, convexsnn.surrogate)
    for room in (*rooms, convexsnn.witnesses):
        for name in room.__all__:
            function = getattr(room, name)
            if callable(function) and not isinstance(function, type) and name not in others:
                assert hasattr(function, "__wrapped__"), f"{room.__name__}.{name} is not isolated"


def test_a_generator_that_the_caller_passes_is_drawn_from():
    torch.manual_seed(0)
    one, two = (gaussian(SHAPE, torch.default_generator) for _ in range(2))
    assert not one.equals(two)


def test_small_work_has_one_thread_and_a_users_choice_wins(monkeypatch):
    seen = []

    @caller.paced(lambda entries: entries)
    def work(entries):  # noqa: ARG001
        seen.append(torch.get_num_threads())

    monkeypatch.setattr(threads, "available", lambda: 2)
    for name in threads.COUNTS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(caller, "_USUAL_THREADS", 3)
    with two_threads():  # the caller's own choice
        work(1)
    torch.set_num_threads(3)
    work(1)
    work(threads.SMALL)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    work(1)
    assert torch.get_num_threads() == 3
    torch.set_num_threads(1)
    assert seen == [2, 1, 2, 3]


@pytest.mark.parametrize(
    ("files", "allowed"),
    [
        ({}, None),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": "100000 100000\n"}, 1),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"}, 1),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        ({"proc/self/cgroup": "0::/gone\n", "sys/fs/cgroup/cpu.max": "100000 100000\n"}, 1),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "nonsense"}, None),
        (
            {
                "proc/self/cgroup": "3:cpu,cpuacct:/x\n",
                "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us": "150000",
                "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us": "100000",
            },
            1,
        ),
        (
            {
                "proc/self/cgroup": "3:cpu:/x\n",
                "sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000",
            },
            None,
        ),
    ],
)
def test_quotas_of_containers_are_read(tmp_path, files, allowed):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    unlimited = threads.available(tmp_path / "nowhere")
    assert threads.available(tmp_path) == (unlimited if allowed is None else min(unlimited, allowed))


def test_what_is_set_before_libraries_load_leaves_what_users_set():
    wanted = threads.quiet_environment({})
    assert (wanted["OMP_WAIT_POLICY"], wanted["KMP_BLOCKTIME"]) == ("PASSIVE", "0")
    assert "OMP_WAIT_POLICY" not in threads.quiet_environment({"OMP_WAIT_POLICY": "ACTIVE"})
    assert "OPENBLAS_NUM_THREADS" not in threads.quiet_environment({"OMP_NUM_THREADS": "4"})
