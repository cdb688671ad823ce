"""Damaged and hostile ``.pt2`` files: bytes, parts and the program's own text changed, with checksums that are right again."""

from __future__ import annotations

import io
import json
import random
import warnings
import zipfile
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.export import Dim, export

Parts = dict[str, bytes]

#: Numbers that sizes, axes and counts do not expect.
ODD = (0, 1, -1, -2, 2, 3, 7, 255, 65536, 2**31 - 1, -(2**31), 2**40, 2**62, -(2**63), 1e30, None, True, "x", [], {})


class Convolutions(nn.Module):
    """Sizes of the batch in views, parameters, a buffer, a constant."""

    shift: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(16, 3)
        self.register_buffer("shift", torch.ones(3), persistent=False)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = nn.functional.max_pool2d(self.norm(self.conv(x)).relu(), 3)
        y = self.head(y.view(y.shape[0], -1)) * self.shift + torch.tensor([1.0, 2.0, 3.0])
        return y, y.softmax(-1)


class Sequences(nn.Module):
    """Attention and a recurrent layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.gru = nn.TransformerEncoderLayer(8, 2, 8, batch_first=True), nn.GRU(8, 4, batch_first=True)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"last": self.gru(self.layer(x))[0][:, -1], "all": x.flip(1)}


@cache
def good() -> list[bytes]:
    """Files that load."""
    torch.manual_seed(0)
    made = []
    for module, x in ((Convolutions(), torch.randn(2, 3, 8, 8)), (Sequences(), torch.randn(2, 4, 8))):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = export(module.eval(), (x,), dynamic_shapes=({0: Dim("batch")},))
            file = io.BytesIO()
            torch.export.save(program, file)
        made.append(file.getvalue())
    return made


def parts_of(content: bytes) -> Parts:
    """An archive's parts."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def archive_of(parts: Parts, compression: int = zipfile.ZIP_STORED) -> bytes:
    """An archive with right checksums."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file.getvalue()


def mutated(content: bytes, seed: int) -> bytes:
    """A damaged copy: one in four of its bytes, the others of its parts."""
    choice = random.Random(seed)
    if seed % 4 == 0:
        return _of_bytes(content, choice)
    parts = parts_of(content)
    for _ in range(choice.choice((1, 1, 2, 3))):
        change: Callable[[Parts, random.Random], None] = choice.choice((_of_text, _of_text, _of_text, _of_data, _of_names))
        change(parts, choice)
    return archive_of(parts, choice.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))


def _of_bytes(content: bytes, choice: random.Random) -> bytes:
    data = bytearray(content)
    for _ in range(choice.choice((1, 2, 8))):
        at = choice.randrange(len(data))
        match choice.randrange(4):
            case 0:
                data[at] ^= 1 << choice.randrange(8)
            case 1:
                data[at : at + 4] = choice.randbytes(4)
            case 2:
                del data[at : at + choice.randrange(1, 64)]
            case _:
                del data[at:]
        if len(data) < 8:
            return bytes(data)
    return bytes(data)


def _of_text(parts: Parts, choice: random.Random) -> None:
    """One thing in a part of JSON becomes another."""
    name = choice.choice([name for name in parts if name.endswith(".json")])
    try:
        document = json.loads(parts[name])
    except ValueError:
        return
    places = list(_places(document))
    if not places:
        return
    for _ in range(choice.choice((1, 1, 3))):
        holder, key = choice.choice(places)
        try:
            _change(holder, key, choice, places)
        except (KeyError, IndexError):
            continue  # what stood there is gone already
    parts[name] = json.dumps(document).encode()


def _places(document: Any) -> list[tuple[Any, Any]]:
    """Every (holder, key) of a document."""
    found, waiting = [], [document]
    while waiting:
        holder = waiting.pop()
        keys = list(holder) if isinstance(holder, dict) else range(len(holder)) if isinstance(holder, list) else ()
        for key in keys:
            found.append((holder, key))
            waiting.append(holder[key])
    return found


def _change(holder: Any, key: Any, choice: random.Random, places: list[tuple[Any, Any]]) -> None:
    other_holder, other_key = choice.choice(places)
    match choice.randrange(5):
        case 0:
            del holder[key]
        case 1:
            holder[key] = json.loads(json.dumps(other_holder[other_key]))
        case 2 if isinstance(holder[key], str) and holder[key]:
            at = choice.randrange(len(holder[key]))
            holder[key] = holder[key][:at] + choice.choice(("", "_", "(", "s1", "9", "linear")) + holder[key][at + 1 :]
        case 3 if isinstance(holder, list):
            holder.insert(key, json.loads(json.dumps(holder[key])))
        case _:
            holder[key] = choice.choice(ODD)


def _of_data(parts: Parts, choice: random.Random) -> None:
    """Weights and examples of other lengths and contents."""
    name = choice.choice(list(parts))
    data = parts[name]
    match choice.randrange(4):
        case 0:
            parts[name] = data[: len(data) // 2]
        case 1:
            parts[name] = data + choice.randbytes(64)
        case 2:
            parts[name] = choice.randbytes(len(data))
        case _:
            parts[name] = parts[choice.choice(list(parts))]


def _of_names(parts: Parts, choice: random.Random) -> None:
    """A part goes, or has another's name."""
    name = choice.choice(list(parts))
    data = parts.pop(name)
    if choice.random() < 0.6:
        root = name.partition("/")[0]
        parts[choice.choice((name.upper(), name + "_0", f"{root}/data/weights/weight_0", f"{root}/models/other.json"))] = data
    if not parts:
        parts["archive_format"] = b"pt2"
