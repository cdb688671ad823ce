"""One TFLite file of several: a signature for each, equal buffers stored once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from edgekit.errors import Unsupported
from edgekit.formats.tflite.model import Model, Signature
from edgekit.formats.tflite.read import read
from edgekit.formats.tflite.write import write


def with_signatures(files: Mapping[str, bytes]) -> tuple[bytes, Model]:
    """The networks of some files in one, each under a signature with its name; the first one is what runs without any.

    What the files say of their inputs and outputs in words is kept of the first; the others differ in nothing that apps see.

    Args:
        files: by name.

    Returns:
        The file, and what stands in it.

    Raises:
        Unsupported: one of them has several subgraphs or signatures already.
    """
    models = {name: read(content) for name, content in files.items()}
    for name, model in models.items():
        if len(model.subgraphs) != 1 or len(model.signatures) > 1:
            raise Unsupported(
                f"the file of size {name} has {len(model.subgraphs)} subgraphs and {len(model.signatures)} signatures",
                where=name,
                hint="one file for each size, or the packed delivery, hold any network",
            )
    first = next(iter(models.values()))
    signatures = []
    for number, (name, model) in enumerate(models.items()):
        ends = model.signatures[0] if model.signatures else _signature(model)
        signatures.append(replace(ends, key=name, subgraph=number))
    subgraphs = tuple(model.main for model in models.values())
    merged = replace(first, subgraphs=subgraphs, signatures=tuple(signatures))
    return write(merged), merged


def _signature(model: Model) -> Signature:
    """The inputs and outputs of a file by their tensors' names."""
    main = model.main
    ends = [{main.tensors[index].name: index for index in indices} for indices in (main.inputs, main.outputs)]
    return Signature("", ends[0], ends[1])
