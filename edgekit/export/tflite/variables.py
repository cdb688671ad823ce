"""States that the file keeps itself, in resource variables.

VAR_HANDLE names a variable, READ_VARIABLE gives what the last call left, ASSIGN_VARIABLE writes what the next one reads, and
CALL_ONCE runs a subgraph that fills all of them before the first. LiteRT, tflite-runtime 2.14 and TFLite Micro run them; a new
interpreter begins a new stream.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgekit.formats.tflite.model import NUMPY_OF, Model, Operator, Options, Subgraph, Tensor
from edgekit.formats.tflite.schema_generated import BuiltinOperator as Op
from edgekit.formats.tflite.schema_generated import TensorType


def with_variables(model: Model, count: int) -> Model:
    """The model whose last ``count`` inputs and outputs are variables, in pairs: what goes out comes in with the next call."""
    main = model.main
    states = list(zip(main.inputs[-count:], main.outputs[-count:], strict=True))
    tensors = list(main.tensors)
    reads: list[Operator] = [_operator(Op.CALL_ONCE, (), (), "CallOnceOptions", init_subgraph_index=len(model.subgraphs))]
    writes: list[Operator] = []
    for place, (taken, given) in enumerate(states):
        tensors.append(Tensor("", (), TensorType.RESOURCE))
        handle = len(tensors) - 1
        reads += [_handle(place, handle), _operator(Op.READ_VARIABLE, (handle,), (taken,), "ReadVariableOptions")]
        writes.append(_operator(Op.ASSIGN_VARIABLE, (handle, given), (), "AssignVariableOptions"))
    changed = Subgraph(
        tuple(tensors), main.inputs[:-count], main.outputs[:-count], (*reads, *main.operators, *writes), main.name
    )
    beginning = _beginning([tensors[taken] for taken, _ in states])
    return replace(model, subgraphs=(changed, *model.subgraphs[1:], beginning))


def _beginning(states: list[Tensor]) -> Subgraph:
    """Every variable as a stream begins: zeros, which in integers are the zero point."""
    tensors: list[Tensor] = []
    operators: list[Operator] = []
    for place, state in enumerate(states):
        zero = 0 if state.quantization is None else int(state.quantization.zero_point[0])
        data = np.full(state.shape, zero, NUMPY_OF[state.type]).tobytes()
        tensors += [Tensor("", (), TensorType.RESOURCE), Tensor("", state.shape, state.type, data, state.quantization)]
        operators += [
            _handle(place, 2 * place),
            _operator(Op.ASSIGN_VARIABLE, (2 * place, 2 * place + 1), (), "AssignVariableOptions"),
        ]
    return Subgraph(tuple(tensors), (), (), tuple(operators))


def _handle(place: int, tensor: int) -> Operator:
    return Operator(
        Op.VAR_HANDLE, (), (tensor,), Options("VarHandleOptions", {"container": "", "shared_name": f"state{place}"})
    )


def _operator(code: Op, inputs: tuple[int, ...], outputs: tuple[int, ...], table: str, **fields: int) -> Operator:
    return Operator(code, inputs, outputs, Options(table, dict(fields)))
