"""One TFLite file of several: a signature for each, equal buffers stored once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from edgekit.errors import Unsupported
from edgekit.formats.tflite.model import Model, Options, Signature, Subgraph
from edgekit.formats.tflite.read import read
from edgekit.formats.tflite.write import write

#: Fields that name a subgraph: the branches of an IF, the parts of a WHILE; and what sets resource variables.
_CALLED = ("then_subgraph_index", "else_subgraph_index", "cond_subgraph_index", "body_subgraph_index")
_INIT = "init_subgraph_index"


def with_signatures(files: Mapping[str, bytes]) -> tuple[bytes, Model]:
    """The networks of some files in one, each under a signature with its name; the first one is what runs without any.

    What the files say of their inputs and outputs in words is kept of the first; the others differ in nothing that apps see.

    Args:
        files: by name.

    Returns:
        The file, and what stands in it.

    Raises:
        Unsupported: one of them has several signatures already, or keeps state in resource variables, which all would share.
    """
    models = {name: read(content) for name, content in files.items()}
    for name, model in models.items():
        if len(model.signatures) > 1 or any(_INIT in fields for fields in _calls(model)):
            raise Unsupported(
                f"the file of size {name} has several signatures, or state of its own",
                where=name,
                hint="one file for each size, or the packed delivery, hold any network",
            )
    first = next(iter(models.values()))
    signatures: list[Signature] = []
    subgraphs: list[Subgraph] = []
    for name, model in models.items():
        ends = model.signatures[0] if model.signatures else _signature(model)
        signatures.append(replace(ends, key=name, subgraph=len(subgraphs)))
        subgraphs += [_moved(subgraph, len(subgraphs)) for subgraph in model.subgraphs]
    merged = replace(first, subgraphs=tuple(subgraphs), signatures=tuple(signatures))
    return write(merged), merged


def _calls(model: Model) -> list[Mapping[str, object]]:
    """The options of all operators."""
    return [o.options.fields for subgraph in model.subgraphs for o in subgraph.operators if o.options is not None]


def _moved(subgraph: Subgraph, by: int) -> Subgraph:
    """A subgraph whose loops and branches call others that stand so much further behind."""
    moved = []
    for operator in subgraph.operators:
        options = operator.options
        if options is not None and any(name in options.fields for name in _CALLED):
            fields = {name: int(value) + by if name in _CALLED else value for name, value in options.fields.items()}  # type: ignore[arg-type]
            operator = replace(operator, options=Options(options.table, fields))
        moved.append(operator)
    return replace(subgraph, operators=tuple(moved))


def _signature(model: Model) -> Signature:
    """The inputs and outputs of a file by their tensors' names."""
    main = model.main
    ends = [{main.tensors[index].name: index for index in indices} for indices in (main.inputs, main.outputs)]
    return Signature("", ends[0], ends[1])
