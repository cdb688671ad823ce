"""Variables that live from one call to the next become inputs and outputs of the graph.

A streaming file keeps its past in resource variables: VAR_HANDLE names one, READ_VARIABLE and ASSIGN_VARIABLE use it, and
CALL_ONCE runs a subgraph that fills it when the file is loaded. The graph has no memory, so each variable comes in as an
input and goes out, as it is after the call, as an output.
"""

from __future__ import annotations

import numpy as np

from edgekit.errors import Unsupported
from edgekit.formats.tflite.model import Operator, Subgraph, Tensor
from edgekit.formats.tflite.schema_generated import BuiltinOperator as Op
from edgekit.frontend.tflite.constants import constant_of, element_type, quantization_of
from edgekit.frontend.tflite.context import Building
from edgekit.frontend.tflite.held import Held, plain
from edgekit.ir import TensorType, Value
from edgekit.ir.types import Batch, Dim


def handle_name(subgraph: Subgraph, index: int) -> str:
    """The variable that a resource tensor stands for.

    Raises:
        Unsupported: no VAR_HANDLE gives it.
    """
    for operator in subgraph.operators:
        if operator.code == Op.VAR_HANDLE and index in operator.outputs and operator.options is not None:
            return str(operator.options.fields.get("shared_name", ""))
    raise Unsupported(
        "a variable that no VAR_HANDLE names",
        where=f"tensor {index} ('{subgraph.tensors[index].name}')",
        hint="convert the model again",
    )


def initial(building: Building, *, batched: bool) -> dict[str, Held]:
    """An input of the graph for every variable that the file reads, by its name."""
    main, graph = building.model.main, building.graph
    starts = _starts(building)
    found: dict[str, Held] = {}
    for operator in main.operators:
        if operator.code != Op.READ_VARIABLE or not operator.inputs:
            continue
        name = handle_name(main, operator.inputs[0])
        if name in found:
            continue
        tensor = main.tensors[operator.outputs[0]]
        shape: tuple[Dim, ...] = tensor.shape
        if batched and shape and shape[0] == building.batch:
            shape = (Batch(1), *shape[1:])
        value = graph.add_input(name.replace("/", "."), TensorType(element_type(tensor), shape))
        value.quant = quantization_of(tensor)
        found[name] = plain(value)
        _note(building, value, starts.get(name))
    return found


def final(building: Building) -> list[Value]:
    """The variables after the call, as outputs, in the order of `initial`."""
    outputs = []
    for held in building.states.values():
        value = held.value
        if not held.is_plain:
            from edgekit.ir import ops

            value = building.graph.add(ops.Permute(held.order), value)
            value.quant = held.value.quant
        outputs.append(value)
    return outputs


def _note(building: Building, value: Value, start: Tensor | None) -> None:
    first = "zeros"
    if start is not None:
        data, _ = constant_of(start)
        first = "zeros" if not bool(np.any(data.numpy())) else f"values between {float(data.min()):g} and {float(data.max()):g}"
    building.graph.notes.append(
        f"the file keeps '{value.name}' {value.type} from call to call: it is an input of the graph, and its next value an "
        f"output; it begins as {first}"
    )


def _starts(building: Building) -> dict[str, Tensor]:
    """What the subgraphs of CALL_ONCE assign, by variable."""
    found: dict[str, Tensor] = {}
    for operator in building.model.main.operators:
        if operator.code != Op.CALL_ONCE:
            continue
        index = int(operator.options.fields.get("init_subgraph_index", 0)) if operator.options else 0  # type: ignore[arg-type]
        if not 0 < index < len(building.model.subgraphs):
            continue
        subgraph = building.model.subgraphs[index]
        for assign in (o for o in subgraph.operators if o.code == Op.ASSIGN_VARIABLE):
            start = _assigned(subgraph, assign)
            if start is not None:
                found[handle_name(subgraph, assign.inputs[0])] = start
    return found


def _assigned(subgraph: Subgraph, assign: Operator) -> Tensor | None:
    tensor = subgraph.tensors[assign.inputs[1]] if len(assign.inputs) == 2 and assign.inputs[1] >= 0 else None
    return tensor if tensor is not None and tensor.data is not None else None
