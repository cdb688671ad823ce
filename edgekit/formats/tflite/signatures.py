"""What a file with several signatures costs at run time: LiteRT packs the weights of every signature's graph anew.

Buffers that signatures share are stored once in the file, and packed once for each subgraph that reads them, all when the first
signature is prepared. An ``IF`` has one copy: what its branches hold stands in one of them.
"""

from __future__ import annotations

from edgekit.formats.tflite.model import Model, Subgraph
from edgekit.formats.tflite.schema_generated import BuiltinOperator

#: Operators whose constants XNNPACK lays out anew and keeps.
_PACKS = (
    BuiltinOperator.CONV_2D,
    BuiltinOperator.DEPTHWISE_CONV_2D,
    BuiltinOperator.TRANSPOSE_CONV,
    BuiltinOperator.FULLY_CONNECTED,
    BuiltinOperator.BATCH_MATMUL,
    BuiltinOperator.UNIDIRECTIONAL_SEQUENCE_LSTM,
)

#: Fields of options that name another subgraph.
_CALLS = ("then_subgraph_index", "else_subgraph_index", "cond_subgraph_index", "body_subgraph_index")


def packed_bytes(model: Model) -> dict[str, int]:
    """Bytes of the weights that the runtime packs for each signature, by its key; in the order of the file."""
    return {
        signature.key: sum(_weights(model.subgraphs[number]) for number in _reached(model, signature.subgraph))
        for signature in model.signatures
    }


def signature_warning(model: Model) -> str | None:
    """What the user of a file with several signatures should know of its memory; None where fewer than two hold weights."""
    if len({signature.subgraph for signature in model.signatures}) < 2:
        return None
    each = {key: size for key, size in packed_bytes(model).items() if size}
    if len(each) < 2:
        return None
    listed = ", ".join(f"'{key}' {size:,}" for key, size in each.items())
    return (
        f"the weights of all {len(each)} signatures are packed in memory as soon as the file is used, whichever is called: "
        f"{sum(each.values()):,} bytes ({listed}); files of one signature each, loaded one at a time, take "
        f"{max(each.values()):,} at most"
    )


def _reached(model: Model, start: int) -> list[int]:
    """A subgraph and those that it calls."""
    found, waiting = list[int](), [start]
    while waiting:
        number = waiting.pop()
        if number in found or not 0 <= number < len(model.subgraphs):
            continue
        found.append(number)
        for operator in model.subgraphs[number].operators:
            fields = operator.options.fields if operator.options else {}
            waiting += [int(fields.get(name, 0)) for name in _CALLS if name in fields]  # type: ignore[arg-type]
    return found


def _weights(graph: Subgraph) -> int:
    """Bytes of the constants of a subgraph that are packed, each once."""
    read = {index for operator in graph.operators if operator.code in _PACKS for index in operator.inputs if index >= 0}
    return sum(graph.tensors[index].nbytes for index in read if graph.tensors[index].data is not None)
