"""State, and what can have no lowering."""

from __future__ import annotations

import numpy as np

from edgekit.formats.tflite.schema_generated import BuiltinOperator as Op
from edgekit.frontend.tflite.context import Lowering
from edgekit.frontend.tflite.held import Held, Sizes
from edgekit.frontend.tflite.table import Result, lowers, refuses
from edgekit.frontend.tflite.variables import handle_name
from edgekit.ir import ops


@lowers(Op.CALL_ONCE)
def call_once(ctx: Lowering, *, init_subgraph_index: int = 0) -> Result:
    """Fills variables when the file is loaded: what they begin with is told in a note."""
    return ()


@lowers(Op.VAR_HANDLE)
def var_handle(ctx: Lowering, *, container: str = "", shared_name: str = "") -> Result:
    """A name, which `handle_name` reads from the file; what stands for it here is nobody's."""
    return Sizes(np.zeros(0, object))


@lowers(Op.READ_VARIABLE)
def read_variable(ctx: Lowering, resource: Held | Sizes) -> Result:
    """What the variable holds now."""
    return ctx.building.states[handle_name(ctx.subgraph, ctx.operator.inputs[0])]


@lowers(Op.ASSIGN_VARIABLE)
def assign_variable(ctx: Lowering, resource: Held | Sizes, value: Held) -> Result:
    """From here on the variable holds this; at the end it is an output."""
    name = handle_name(ctx.subgraph, ctx.operator.inputs[0])
    if name not in ctx.building.states:
        raise ctx.refused(f"the variable '{name}' is written and never read", "remove it from the model")
    made = ctx.add(ops.Identity(), value.value)
    made.quant = value.value.quant
    ctx.building.states[name] = Held(made, value.order)
    return ()


refuses(
    (Op.WHILE, Op.IF, Op.CALL),
    "control flow runs a part of the model as often as a tensor says, which the graph cannot",
    "for a recurrent layer: convert with a fixed batch size, so that TensorFlow fuses it into one sequence operator, or with "
    "unroll=True; for a branch: convert the branch that you deploy",
)

refuses(
    (Op.SVDF,),
    "'SVDF' keeps its past in a variable tensor from call to call",
    "train the layer as a causal convolution over frames",
)

refuses(
    (Op.NON_MAX_SUPPRESSION_V4, Op.NON_MAX_SUPPRESSION_V5, Op.TOPK_V2, Op.WHERE, Op.UNIQUE),
    "the number or order of its results depends on the data, which the graph cannot express",
    "cut the model before it and select boxes in the app",
)
