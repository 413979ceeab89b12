"""Mutations of files: of their bytes, and of what their format is made of."""

from __future__ import annotations

import io
import json
import random
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from convexsnn.sealed import DIGEST, sealed_bytes

Mutation = Callable[[bytes, random.Random], bytes]
"""From the bytes of an honest file to those of a damaged one."""

HUGE = (2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1, 10**18)
LEAVES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 10**9, 10**30, -(2**63), 0.5, 1e308, -1e-308, "", "x", "lif", "y" * 3000,
    [], [0], {}, {"a": 1}, [[1, 2], [3]], "\ud800", "NaN",
)  # fmt: skip


def span(data: bytes, rng: random.Random) -> tuple[int, int]:
    """Begin and end of a piece, short ones more often."""
    begin = rng.randrange(len(data) + 1)
    return begin, min(len(data), begin + int(2 ** rng.uniform(0, 10)))


def mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    """One to three changes of bytes that know nothing of the format."""
    for _ in range(rng.randint(1, 3)):
        begin, end = span(data, rng)
        other, _ = span(data, rng)
        match rng.randrange(9):
            case 0 | 1:
                changed = bytearray(data)
                for _ in range(rng.randint(1, 8)):
                    if changed:
                        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
                data = bytes(changed)
            case 2:
                data = data[:begin]
            case 3:
                data = data[:begin] + data[end:]
            case 4:
                data = data[:end] + data[begin:]
            case 5:
                data = data[:begin] + bytes([rng.choice((0, 255))]) * (end - begin) + data[end:]
            case 6:
                data = data[:begin] + data[other : other + end - begin] + data[end:]
            case 7:
                form = rng.choice(("<I", ">I", "<Q", ">Q"))
                size = struct.calcsize(form)
                number = rng.choice(HUGE) % 256**size
                data = data[:begin] + struct.pack(form, number) + data[begin + size :]
            case 8:
                data = data + rng.randbytes(rng.randint(1, 64))
    return data


def places(value: Any, at: tuple = ()) -> list[tuple]:
    """The paths of everything in a JSON value but the whole."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, entry in entries for place in [(*at, key), *places(entry, (*at, key))]]


def holder(value: Any, place: tuple) -> Any:
    """What holds the entry at `place`."""
    for key in place[:-1]:
        value = value[key]
    return value


def mutate_value(value: Any, rng: random.Random) -> None:
    """Replace, drop, add or exchange entries of a JSON value."""
    place = rng.choice(places(value))
    within, key = holder(value, place), place[-1]
    match rng.randrange(6):
        case 0 | 1:
            within[key] = rng.choice(LEAVES)
        case 2:
            del within[key]
        case 3:
            if isinstance(within, dict):
                within[rng.choice(("more", "kind", "W", ""))] = rng.choice(LEAVES)
            else:
                within.append(rng.choice(LEAVES))
        case 4:
            if isinstance(within[key], int | float):
                within[key] = within[key] * rng.choice((-1, 2, 1.0000001, 1e18)) + rng.choice((0, 1))
        case 5:
            other = rng.choice(places(value))
            elsewhere = holder(value, other)
            within[key], elsewhere[other[-1]] = json.loads(json.dumps([elsewhere[other[-1]], within[key]]))


def mutate_json(text: str, rng: random.Random) -> str:
    """A JSON text with other entries, with a key twice, or with what JSON has not."""
    value = json.loads(text)
    match rng.randrange(8):
        case 0:
            key = rng.choice(list(value))
            return text.rstrip()[:-1] + f", {json.dumps(key)}: {json.dumps(rng.choice(LEAVES))}" + "}"
        case 1:
            return text.replace(": ", f": {rng.choice(('NaN', 'Infinity', '1e999', '+1', '01', '.5'))}, ", 1)
        case 2:
            return '{"a": ' + "[" * 10**5 + "]" * 10**5 + "}"
        case _:
            for _ in range(rng.randint(1, 2)):
                mutate_value(value, rng)
            return json.dumps(value, allow_nan=True)


def mutate_tensors(tensors: dict[str, torch.Tensor], rng: random.Random) -> None:
    """Exchange, drop, add, reshape, cast or spoil tensors."""
    name, other = (rng.choice(sorted(tensors)) for _ in range(2))
    tensor = tensors[name]
    kinds = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64, torch.uint8, torch.bool)
    match rng.randrange(8):
        case 0:
            tensors[name], tensors[other] = tensors[other], tensor
        case 1:
            del tensors[name]
        case 2:
            tensors[rng.choice(("more", "witnesses.0.0.bias", "network.7.0.leak", "pool.more"))] = tensor
        case 3:
            tensors[name] = tensor.flatten() if rng.random() < 0.5 else tensor.reshape(-1, 1)
        case 4:
            tensors[name] = tensor.to(rng.choice(kinds))
        case 5:
            tensors[name] = tensor[: max(0, len(tensor) - 1)] if tensor.ndim else tensor[None]
        case 6:
            value = rng.choice((0, 1, -1, float("nan"), float("inf"), 1e300))
            tensors[name] = torch.full_like(tensor.double(), value).to(tensor.dtype)
        case 7:
            tensors[name] = tensor.mT.contiguous() if tensor.ndim > 1 else tensor.sum()


def sealed_parts(data: bytes) -> tuple[str, str, dict[str, torch.Tensor]]:
    """Kind, header text and tensors of an honest sealed file."""
    length = struct.unpack("<Q", data[:8])[0]
    metadata = json.loads(data[8 : 8 + length])["__metadata__"]
    kind = next(name for name in metadata if name != DIGEST)
    return kind, metadata[kind], load_tensors(data)


def forge_sealed(data: bytes, rng: random.Random) -> bytes:
    """Alter header or tensors, and seal the file again: what is left is for the checks of the content to see."""
    kind, text, tensors = sealed_parts(data)
    header = json.loads(text)
    if rng.random() < 0.6:
        mutate_value(header, rng)
    else:
        mutate_tensors(tensors, rng)
    return sealed_bytes(kind, header, {name: tensor.contiguous() for name, tensor in tensors.items()})


def mutate_sealed(data: bytes, rng: random.Random) -> bytes:
    """Alter header, tensors or the container's own table, with the old seal."""
    kind, text, tensors = sealed_parts(data)
    length = struct.unpack("<Q", data[:8])[0]
    table = json.loads(data[8 : 8 + length])
    match rng.randrange(4):
        case 0:
            mutate_value(table, rng)
            own = json.dumps(table).encode()
            return struct.pack("<Q", len(own)) + own + data[8 + length :]
        case 1:
            mutate_tensors(tensors, rng)
        case 2:
            text = mutate_json(text, rng)
        case 3:
            own = json.dumps(table)[:-1].encode() + b', "W": {"dtype": "F64", "shape": [], "data_offsets": [0, 0]}}'
            return struct.pack("<Q", len(own)) + own + data[8 + length :]
    ready = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
    return save_tensors(ready, {kind: text, DIGEST: table["__metadata__"][DIGEST]})


def mutate_npz(data: bytes, rng: random.Random) -> bytes:
    """Other members, other arrays, other headers, in an archive whose checksums are right."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name, other = (rng.choice(sorted(members)) for _ in range(2))
    match rng.randrange(8):
        case 0:
            members[name], members[other] = members[other], members[name]
        case 1:
            del members[name]
        case 2:
            members[rng.choice(("X_test.npy", "lengths.npy", "more.txt", "../X.npy", "X"))] = members[name]
        case 3:
            members[name] = mutate_bytes(members[name], rng)
        case 4:
            members[name] = b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x05hello\x94."
        case 5:
            members[name] = members[name].replace(b"'shape': (", b"'shape': (%d, " % rng.choice((0, 2, -1, *HUGE)), 1)
        case 6:
            kind = rng.choice((b"|O ", b"<f4", b"<U9", b"|V8", b"<c8", b"|S0"))
            members[name] = members[name].replace(b"<f8", kind, 1)
        case 7:
            stream = io.BytesIO()
            odd = (np.array([{"a": 1}], dtype=object), np.zeros(3, "M8[s]"), np.array(1.0), np.zeros((0, 3)))
            array = rng.choice(odd)
            np.lib.format.write_array(stream, array, allow_pickle=True)
            members[name] = stream.getvalue()
    out = io.BytesIO()
    with zipfile.ZipFile(
        out, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))
    ) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def mutate_words(data: bytes, rng: random.Random) -> bytes:
    """Other words and lines of a text file."""
    lines = data.decode("utf-8-sig").split("\n")
    for _ in range(rng.randint(1, 3)):
        place, other = rng.randrange(len(lines)), rng.randrange(len(lines))
        words = lines[place].split() or [""]
        match rng.randrange(7):
            case 0:
                del lines[place]
                lines = lines or [""]
            case 1:
                lines.insert(place, lines[other])
            case 2:
                lines[place], lines[other] = lines[other], lines[place]
            case 3:
                words[rng.randrange(len(words))] = rng.choice(
                    ("<eps>", "0", "0.5", "q", "\u00a0", "\u2028x", "z" * 5000, "-1", "\x00", "@0@")
                )
                lines[place] = "\t".join(words)
            case 4:
                lines[place] = " ".join([*words, rng.choice(words)])
            case 5:
                lines[place] = " ".join(words[:-1])
            case 6:
                lines[place] = lines[place] + "\r"
    return "\n".join(lines).encode("utf-8", "surrogatepass")
