"""A training in the middle of its work, as one safetensors file: tensors, and the rest as JSON in its metadata. No pickle.

The file is written beside its place first and then renamed, so that a process killed at any moment leaves a whole one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgekit.errors import InputError
from edgekit.output import write_whole, writing

_FORM = "edgekit.checkpoint/1"
_NAME = "checkpoint.safetensors"


@dataclass
class Checkpoint:
    """What a training needs to go on.

    Attributes:
        key: of the training that it belongs to.
        tensors: by name: the student, the optimizer, the best epoch's student.
        facts: plain data: the epoch and step, records of epochs, states of generators.
    """

    key: str
    tensors: dict[str, Tensor] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Writes the file whole; OutputError where the folder can't be written."""
        from safetensors.torch import save

        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        document = json.dumps({"key": self.key, **self.facts}, allow_nan=True)
        # Cloned, because two names of one tensor would not be two tensors in the file.
        plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in self.tensors.items()}
        write_whole(folder / _NAME, save(plain, {_FORM: document}))

    @staticmethod
    def load(folder: Path, key: str) -> Checkpoint | None:
        """The checkpoint in a folder; None where there is none.

        Raises:
            InputError: it is damaged, or belongs to another training.
        """
        from safetensors import SafetensorError, safe_open

        path = folder / _NAME
        if not path.is_file():
            return None
        hint = f"remove {path} to start anew"
        try:
            with safe_open(path, "pt") as file:
                facts = json.loads((file.metadata() or {})[_FORM])
                tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 - not a mapping
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise InputError(f"the checkpoint can't be read: {error}", where=path, hint=hint) from error
        if facts.pop("key", None) != key:
            raise InputError(
                "the checkpoint belongs to another training (graph, data or settings differ)", where=path, hint=hint
            )
        return Checkpoint(key, tensors, facts)

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors whose names begin with ``name/``, without that."""
        return {key.removeprefix(f"{name}/"): tensor for key, tensor in self.tensors.items() if key.startswith(f"{name}/")}


def tensors_of(module: torch.nn.Module) -> dict[str, Tensor]:
    """Every parameter and buffer of a module once, those that its ``state_dict`` leaves out too."""
    return {name: tensor.detach() for name, tensor in (*module.named_parameters(), *module.named_buffers())}


def put_back(module: torch.nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copies values into a module's tensors, which stay the same objects."""
    mine = tensors_of(module)
    if mine.keys() != tensors.keys():
        raise KeyError(f"tensors differ: {sorted(mine.keys() ^ tensors.keys())}")
    with torch.no_grad():
        for name, tensor in mine.items():
            tensor.copy_(tensors[name])


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's memory (momenta, counts) by parameter and name."""
    state = optimizer.state_dict()["state"]
    return {
        f"{index}/{name}": value
        for index, entries in state.items()
        for name, value in entries.items()
        if isinstance(value, Tensor)
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Gives a new optimizer the memory of another over the same parameters."""
    document = optimizer.state_dict()
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, _, name = key.partition("/")
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": document["param_groups"]})
