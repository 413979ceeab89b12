"""The files that are mutated, their readers, and what independent readers make of files without a seal."""

from __future__ import annotations

import contextlib
import functools
import gzip
import hashlib
import io
import json
import math
import random
import struct
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np

import fuzz_mutations as mutations
from convexsnn import Gaussian, Search, SpikingClassifier, SpikingRegressor
from convexsnn.checkpoints import CHECKPOINT
from convexsnn.cli.app import run
from convexsnn.cli.folder import folder_problems
from convexsnn.data_files import read_npz
from convexsnn.export import from_nir, to_nir
from convexsnn.observer import Observer
from convexsnn.proof import content_problems
from convexsnn.reading import DamagedFileError, read_json
from convexsnn.report import read_metrics
from convexsnn.sealed import read_sealed
from convexsnn.search.checkpoint import read_state, write_state
from convexsnn.storage import load_model, model_bytes, read_header, save_model
from convexsnn.surrogate.checkpoint import read_snapshot, write_snapshot
from convexsnn.tasks import library_dfa, read_att, write_att
from convexsnn.tasks.idx import read_idx
from convexsnn.tensors import digest_of, digest_of_tensor
from fuzz_mutations import HUGE, Mutation

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(24, 4, 2)), np.arange(24) % 3


@dataclass(frozen=True)
class Subject:
    """A format.

    Attributes
    ----------
    name : str
    make : callable (folder) -> path
        Writes an honest file.
    read : callable (path) -> str
        The library's reader; a digest of all that was read.
    mutate : Mutation
        Of what the format is made of.
    forge : Mutation, optional
        The same, with checksums and seals that are right again: another file rather than a damaged one.
    plain : callable (path) -> str, optional
        For formats without a seal: what another reader finds in the file, in the terms of `read`.
    """

    name: str
    make: Callable[[Path], Path]
    read: Callable[[Path], str]
    mutate: Mutation
    forge: Mutation | None = None
    plain: Callable[[Path], str] | None = None


def digest(*parts: Any) -> str:
    """A digest of what has a repr or bytes."""
    return hashlib.sha256(b"\0".join(p if isinstance(p, bytes) else repr(p).encode() for p in parts)).hexdigest()


def digest_arrays(arrays: dict[str, np.ndarray]) -> str:
    """A digest of named arrays."""
    facts = [(name, own.dtype.str, own.shape, own.tobytes()) for name, own in sorted(arrays.items())]
    return digest(*(part for fact in facts for part in fact))


# Models and checkpoints


def make_model(folder: Path) -> Path:
    family = Gaussian(depth=3, hidden=6, last=10, branches=2, recurrent=True, bias=True)
    labels = np.array(["a", "b", "c"])[Y]
    model = SpikingClassifier(
        witnesses=family, beta=[0.1, 0.01], intercept=True, class_weight="balanced", random_state=0
    )
    save_model(model.fit(X, labels), folder / "model.safetensors", {"source": {"data": "x.npz"}})
    return folder / "model.safetensors"


def make_searched(folder: Path) -> Path:
    family = Search(rounds=2, effort=2e7, population=16, width=4)
    save_model(
        SpikingRegressor(witnesses=family, random_state=0).fit(X, X.sum(axis=2)[:, :2]), folder / "s.safetensors"
    )
    return folder / "s.safetensors"


def read_model(path: Path) -> str:
    """Load, and use: a model that is accepted must answer."""
    model, extra = load_model(path)
    whole = digest(model_bytes(model, extra))
    with contextlib.suppress(ValueError):  # such as potentials beyond the range of float64
        model.predict(np.zeros((2, 3, model.n_features_in_)) if model.input_form_.sequences else np.zeros((2, 2)))
    return whole


class StoppedError(Exception):
    """The fit has come to where its checkpoint is wanted."""


def make_checkpoint(folder: Path, family: Any) -> Path:
    path = folder / "checkpoint.safetensors"

    def stop(entry: Any) -> None:
        if entry.number >= 1:
            raise StoppedError

    try:
        model = SpikingClassifier(witnesses=family, random_state=0)
        model.fit(X, Y, checkpoint=path, observer=Observer(searched=stop))
    except StoppedError:
        return path
    raise AssertionError("the fit was not stopped")


def make_snapshot(folder: Path) -> Path:
    import torch

    from convexsnn.problem import Problem
    from convexsnn.surrogate import SurrogateSettings, initial_network, train_surrogate
    from convexsnn.witnesses import Architecture

    model = SpikingClassifier(witnesses=Gaussian(depth=2, last=4), random_state=0).fit(X, Y)
    problem: Problem = model.problem(X, Y)
    start = initial_network(Architecture(2, depth=2, branches=1, last=6), 3, torch.Generator().manual_seed(0), 1.0)
    path = folder / "snapshot.safetensors"
    train_surrogate(start, problem, SurrogateSettings(epochs=2), seed=0, checkpoint=path)
    return path


def again(write: Callable[..., None], read: Callable[..., Any]) -> Callable[[Path], str]:
    """Reads a state of whatever work, and writes it anew."""

    def whole(path: Path) -> str:
        header, _ = read_sealed(path, CHECKPOINT)
        of = header.get("of")
        state = read(path, of if isinstance(of, str) else "")
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder) / "again", state, of)
            return digest((Path(folder) / "again").read_bytes())

    return whole


# Files beside a model


@functools.cache
def fitted_files() -> dict[str, bytes]:
    """What `convexsnn fit` writes, by the names of the files."""
    task = ["--task", "first-last-xor", "--timesteps", "3", "--n-train", "20", "--n-val", "5", "--n-test", "5"]
    family = ["--depth", "2", "--population", "8", "--width", "3", "--effort", "1e6"]
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        out = Path(folder) / "m"
        assert run(["fit", *task, *family, "--beta", "0.1", "--beta", "0.01", "--out", str(out)]) == 0
        return {path.name: path.read_bytes() for path in out.iterdir()}


def make_folder(folder: Path) -> Path:
    made = folder / "m"
    made.mkdir()
    for name, content in fitted_files().items():
        (made / name).write_bytes(content)
    return made


def beside(name: str) -> Callable[[Path], Path]:
    return lambda folder: make_folder(folder) / name


def read_claims(path: Path) -> str:
    """As `verify` does, though without the seal of the folder: what the model does not say is refused."""
    if problems := content_problems(path.parent, read_header(path.parent / "model.safetensors")):
        raise DamagedFileError(path, "contents", problems[0])
    return digest(json.dumps(read_json(path), sort_keys=True))


def read_sealed_metrics(path: Path) -> str:
    """As `report` does, which looks at the seal of the folder too: what was measured is said nowhere else."""
    metrics = read_metrics(path)
    if problems := folder_problems(path.parent):
        raise DamagedFileError(path, "SHA256SUMS", problems[0])
    return digest(json.dumps(metrics, sort_keys=True))


def mutate_json_file(data: bytes, rng: random.Random) -> bytes:
    return mutations.mutate_json(data.decode(), rng).encode("utf-8", "surrogatepass")


# Formats of others


def make_npz(folder: Path) -> Path:
    np.savez_compressed(folder / "d.npz", X=X, y=np.array(["a", "b", "c"])[Y], lengths=np.full(24, 3))
    return folder / "d.npz"


def plain_npz(path: Path) -> str:
    with np.load(path, allow_pickle=False) as file:
        return digest_arrays({name: file[name] for name in file.files})


def make_att(folder: Path) -> Path:
    write_att(library_dfa("tomita-5", np.random.default_rng(0)), folder / "a.att")
    return folder / "a.att"


def read_automaton(path: Path) -> str:
    dfa = read_att(path)
    arcs = {(dfa.states[q], dfa.symbols[a], dfa.states[t])
            for q, row in enumerate(dfa.transitions) for a, t in enumerate(row) if t is not None}  # fmt: skip
    return digest(sorted(arcs), dfa.states[dfa.start], sorted(dfa.states[q] for q in dfa.accepting))


def plain_att(path: Path) -> str:
    """A second parser: sets of words, nothing else."""
    lines = [line.split() for line in path.read_bytes().decode("utf-8-sig").split("\n") if line.split()]
    arcs = sorted({(w[0], w[2], w[1]) for w in lines if len(w) >= 3})
    return digest(arcs, lines[0][0], sorted({w[0] for w in lines if len(w) < 3}))


IMAGES = RNG.integers(0, 256, size=(5, 6, 7), dtype=np.uint8)
CONTENT = bytes((0, 0, 8, 3)) + struct.pack(">3I", *IMAGES.shape) + IMAGES.tobytes()


def make_idx(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(gzip.compress(CONTENT, mtime=0) if name.endswith(".gz") else CONTENT)
        return folder / name

    return make


def read_images(path: Path) -> str:
    array = read_idx(path, 3)
    return digest(array.shape, array.tobytes())


def plain_idx(path: Path) -> str:
    data = path.read_bytes()
    data = gzip.decompress(data) if path.suffix == ".gz" else data
    shape = struct.unpack(">3I", data[4:16])
    assert data[:4] == CONTENT[:4]
    assert len(data) == 16 + math.prod(shape)
    return digest(shape, data[16:])


def mutate_idx(data: bytes, rng: random.Random) -> bytes:
    packed = data[:2] == b"\x1f\x8b"
    content = bytearray(gzip.decompress(data) if packed else data)
    place = rng.choice((2, 3, 4, 8, 12))
    number = rng.choice((0, 1, rng.randrange(300), *HUGE)) % 2**32
    content[place : place + (1 if place < 4 else 4)] = bytes([number % 256]) if place < 4 else struct.pack(">I", number)
    return gzip.compress(bytes(content), mtime=0) if packed else bytes(content)


def make_nir(folder: Path) -> Path:
    family = Gaussian(depth=3, hidden=4, last=4, branches=2, reset="hard", leak=0.5, readout="spike", bias=True)
    model = SpikingClassifier(witnesses=family, beta=1e-3, random_state=0).fit(X, Y)
    nir.write(folder / "g.nir", to_nir(model.network_, dtype="float64"))
    return folder / "g.nir"


def read_graph(path: Path) -> str:
    network = from_nir(path)
    return digest(digest_of(network.hidden), digest_of_tensor(network.W))


def contents(path: Path) -> str:
    """All arrays of a file, by h5py."""
    with h5py.File(path, "r") as file:
        return digest_arrays(dict(arrays_of(file, "")))


def arrays_of(group: h5py.Group, at: str) -> Iterator[tuple[str, np.ndarray]]:
    for name, entry in group.items():
        if isinstance(entry, h5py.Group):
            yield from arrays_of(entry, f"{at}/{name}")
        else:
            array = np.asarray(entry[()])
            yield f"{at}/{name}", array.astype(bytes) if array.dtype.hasobject else array


def mutate_nir(data: bytes, rng: random.Random) -> bytes:
    """Other arrays, nodes, edges and links."""
    stream = io.BytesIO(data)
    with h5py.File(stream, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        for _ in range(rng.randint(1, 2)):
            name = rng.choice([n for n in names if n in file])
            entry = file[name]
            old = entry[()] if isinstance(entry, h5py.Dataset) else None
            new: tuple[Any, ...] = (0.0, -1, np.zeros(3), np.float16(2), "LIF", b"x", np.full((2, 2), np.nan), 1e300)
            if old is not None and not entry.dtype.hasobject:
                new = (*new, np.asarray(old).T, np.asarray(old).ravel(), np.asarray(old) * -1.0, np.asarray(old)[None])
            match rng.randrange(5):
                case 0:
                    del file[name]
                case 1 | 2:
                    del file[name]
                    file[name] = rng.choice(new)
                case 3:
                    file[f"{name}_more"] = rng.choice(
                        (entry, h5py.SoftLink("/node"), h5py.ExternalLink("/etc/passwd", "/"))
                    )
                case 4:
                    del file[name]
                    file.create_dataset(name, shape=(rng.choice((2**20, 2**40)),), dtype="f8", chunks=(1024,))
    return stream.getvalue()


SUBJECTS = (
    Subject("model", make_model, read_model, mutations.mutate_sealed, mutations.forge_sealed),
    Subject("searched model", make_searched, read_model, mutations.mutate_sealed, mutations.forge_sealed),
    Subject(
        "search checkpoint",
        lambda folder: make_checkpoint(folder, Search(rounds=3, effort=2e7, population=16, width=4)),
        again(write_state, read_state),
        mutations.mutate_sealed,
        mutations.forge_sealed,
    ),
    Subject(
        "surrogate checkpoint",
        make_snapshot,
        again(write_snapshot, read_snapshot),
        mutations.mutate_sealed,
        mutations.forge_sealed,
    ),
    Subject("certificate", beside("certificate.json"), read_claims, mutate_json_file),
    Subject("path", beside("path.json"), read_claims, mutate_json_file),
    Subject("history", beside("history.json"), read_claims, mutate_json_file),
    Subject("metrics", beside("metrics.json"), read_sealed_metrics, mutate_json_file),
    Subject("npz", make_npz, lambda path: digest_arrays(read_npz(path)), mutations.mutate_npz, plain=plain_npz),
    Subject("NIR graph", make_nir, read_graph, mutate_nir, plain=contents),
    Subject("AT&T automaton", make_att, read_automaton, mutations.mutate_words, plain=plain_att),
    Subject("IDX", make_idx("images"), read_images, mutate_idx, plain=plain_idx),
    Subject("IDX, gzip", make_idx("images.gz"), read_images, mutate_idx, plain=plain_idx),
)
