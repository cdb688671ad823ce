"""A graph's record as JSON and back: everything but the elements of its tensors, which it names.

The document (``edgekit.graph/1``)::

    {"writer": "edgekit 0.1.0", "name": "net",
     "values": [{"name": "x", "type": "float32[N,3,8,8]"},
                {"name": "w", "type": "float32[4,3,3,3]", "tensor": "w", "parameter": "trainable", "quant": {...}}, ...],
     "nodes": [{"op": "conv2d", "attributes": {...}, "inputs": [0, 1, null], "outputs": [2],
                "where": [[module, file, line, function], ...]}, ...],
     "inputs": [0], "outputs": [2], "state": {"conv.weight": 1}, "transient": [],
     "signature": {...} or null, "history": [...], "notes": [...], "stream": {...} of a graph on frames}

Numbers in lists are indices of values. Attributes are JSON, with ``{"N": 16}`` for 16*N and ``{"float": "inf"}`` for what JSON
lacks; a list is a tuple.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgekit import __version__
from edgekit.formats.stream_record import StreamRecord
from edgekit.ir.cloning import FlatGraph
from edgekit.ir.history import StepRecord
from edgekit.ir.ops.base import OPS, Op
from edgekit.ir.quant import QuantParams
from edgekit.ir.signature import Signature
from edgekit.ir.types import Batch, TensorType, Where, where_text

#: What the file's metadata calls the document.
FORMAT = "edgekit.graph/1"


def encode(flat: FlatGraph, tensor_name: Callable[[int], str]) -> dict[str, Any]:
    """The document; ``tensor_name(i)`` is where the data of value ``i`` (a constant) is kept."""
    return {
        "writer": f"edgekit {__version__}",
        "name": flat.name,
        "values": [_value(index, *fields, tensor_name) for index, fields in enumerate(flat.values)],
        "nodes": [
            {
                "op": op.name,
                "attributes": {key: _plain(value) for key, value in op.attributes().items()},
                "inputs": list(inputs),
                "outputs": list(outputs),
                "where": [[w.module, relative(w.file), w.line, w.function] for w in where],
            }
            for op, inputs, outputs, where in flat.nodes
        ],
        "inputs": flat.inputs,
        "outputs": flat.outputs,
        "state": flat.state,
        "transient": sorted(flat.transient),
        "signature": None if flat.signature is None else _signature(flat.signature),
        "history": [record.as_dict() for record in flat.history],
        "notes": flat.notes,
        **({} if flat.stream is None else {"stream": flat.stream.as_dict()}),
    }


def decode(document: Mapping[str, Any], tensor: Callable[[str], torch.Tensor]) -> FlatGraph:
    """The record of a document; ``tensor(name)`` gives the data that was kept under a name.

    Raises:
        KeyError, TypeError, ValueError: the document is not of this format.
    """
    values = [_read_value(entry, tensor) for entry in document["values"]]

    def index(number: Any) -> int:
        if type(number) is not int or not 0 <= number < len(values):
            raise ValueError(f"there is no value {number!r}")
        return number

    nodes = []
    for entry in document["nodes"]:
        inputs = tuple(None if i is None else index(i) for i in entry["inputs"])
        where = tuple(Where(str(m), str(f), int(n), str(fn)) for m, f, n, fn in entry["where"])
        nodes.append((_op(entry), inputs, tuple(index(i) for i in entry["outputs"]), where))
    signature = document["signature"]
    return FlatGraph(
        str(document["name"]),
        values,
        nodes,
        [index(i) for i in document["inputs"]],
        [index(i) for i in document["outputs"]],
        {str(name): index(i) for name, i in document["state"].items()},
        set(document["transient"]),
        None if signature is None else _read_signature(signature),
        tuple(StepRecord.from_dict(record) for record in document["history"]),
        [str(note) for note in document["notes"]],
        StreamRecord.from_dict(document["stream"]) if "stream" in document else None,
    )


def relative(file: str) -> str:
    """A source file's path without what belongs to this machine.

    Relative to the current folder where it is in there, to ``site-packages`` where it is installed, else the name alone.
    """
    path = Path(file)
    if not path.is_absolute():
        return path.as_posix() if file else ""
    for part in ("site-packages", "dist-packages"):
        if part in path.parts:
            return "/".join(path.parts[len(path.parts) - path.parts[::-1].index(part) :])
    here = Path.cwd()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else path.name


def portable(where: Sequence[Where]) -> str:
    """Places as text without what belongs to this machine, for files that are handed on; empty for none."""
    return where_text([dataclasses.replace(place, file=relative(place.file)) for place in where]) if where else ""


def _value(
    index: int,
    name: str,
    type: TensorType,
    data: torch.Tensor | None,
    quant: QuantParams | None,
    tensor_name: Callable[[int], str],
) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": name, "type": str(type)}
    if data is not None:
        entry["tensor"] = tensor_name(index)
    if isinstance(data, nn.Parameter):
        entry["parameter"] = "trainable" if data.requires_grad else "frozen"
    if quant is not None:
        entry["quant"] = quant.as_dict()
    return entry


def _read_value(
    entry: Mapping[str, Any], tensor: Callable[[str], torch.Tensor]
) -> tuple[str, TensorType, torch.Tensor | None, QuantParams | None]:
    type = TensorType.parse(entry["type"])
    data = tensor(entry["tensor"]) if "tensor" in entry else None
    if data is not None and TensorType.of(data) != type:
        raise ValueError(f"the tensor of '{entry['name']}' is {TensorType.of(data)}, not {type}")
    if data is not None and (kind := entry.get("parameter")) is not None and not isinstance(data, nn.Parameter):
        data = nn.Parameter(data, requires_grad=kind == "trainable")
    return str(entry["name"]), type, data, QuantParams.from_dict(entry["quant"]) if "quant" in entry else None


def _op(entry: Mapping[str, Any]) -> Op:
    name = entry["op"]
    if name not in OPS:
        raise ValueError(f"no op is called '{name}'")
    return OPS[name](**{key: _read(value) for key, value in entry["attributes"].items()})


def _plain(value: Any) -> Any:
    if isinstance(value, Batch):
        return {"N": value.multiple}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _read(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_read(item) for item in value)
    if isinstance(value, dict):
        return Batch(int(value["N"])) if "N" in value else float(value["float"])
    return value


def _signature(signature: Signature) -> dict[str, Any]:
    document = dataclasses.asdict(signature)
    for field in ("input_constants", "output_constants"):
        for constant in document[field]:
            if not isinstance(constant, bool | int | float | str | None):
                raise ValueError(f"the source's constant argument {constant!r} can't be written to a file")
        document[field] = [_plain(constant) for constant in document[field]]
    return document


def _read_signature(document: Mapping[str, Any]) -> Signature:
    for spec in (document["inputs"], document["outputs"]):
        _check_nesting(json.loads(spec)[1])
    fields: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in document.items()}
    for field in ("input_constants", "output_constants"):
        fields[field] = tuple(_read(constant) for constant in document[field])
    return Signature(**fields)


def _check_nesting(spec: Mapping[str, Any]) -> None:
    """Refuses a tree spec that names a module for torch to import (the factory of a defaultdict)."""
    context = spec["context"]
    if isinstance(context, dict) and context.get("default_factory_module", "builtins") != "builtins":
        raise ValueError(f"the signature names the module '{context['default_factory_module']}'")
    for child in spec["children_spec"]:
        _check_nesting(child)
