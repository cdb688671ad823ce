"""Branches and loops, state, and what can have no lowering."""

from __future__ import annotations

import numpy as np

from edgekit.formats.tflite.schema_generated import BuiltinOperator as Op
from edgekit.frontend.tflite.context import Lowering
from edgekit.frontend.tflite.exits import choose_exit, sure_exit
from edgekit.frontend.tflite.held import Held, Sizes, plain
from edgekit.frontend.tflite.recurrent_loop import recurrent_layer
from edgekit.frontend.tflite.subgraphs import run
from edgekit.frontend.tflite.table import Result, lowers, refuses
from edgekit.frontend.tflite.variables import handle_name
from edgekit.frontend.unrolling import HOW_OFTEN, MOST_STEPS, TOO_OFTEN, WHICH_BRANCH
from edgekit.ir import ops

_LOOP_HINT = (
    "for a recurrent layer: convert with a fixed batch size, so that TensorFlow fuses it into one sequence operator, or with "
    "unroll=True"
)


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
    name = handle_name(ctx.subgraph, ctx.operator.inputs[0])
    ctx.need(name in ctx.building.states, "reads a variable in a branch or a loop", "read it in the main part of the model")
    return ctx.building.states[name]


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


@lowers(Op.CALL)
def call(ctx: Lowering, *inputs: Held | Sizes, subgraph: int = 0) -> Result:
    """What another subgraph computes."""
    return run(ctx, subgraph, inputs)


@lowers(Op.IF)
def if_(
    ctx: Lowering, condition: Held | Sizes, *inputs: Held | Sizes, then_subgraph_index: int = 0, else_subgraph_index: int = 0
) -> Result:
    """The branch that a constant selects, or the choice between the answers of two exits."""
    known = truth_of(ctx, condition)
    if known is not None:
        return run(ctx, then_subgraph_index if known else else_subgraph_index, inputs)
    assert isinstance(condition, Held)
    exit_ = sure_exit(condition.value)
    if exit_ is None:
        raise ctx.refused(f"'{ctx.op_name}' {WHICH_BRANCH}", "convert the branch that you deploy")
    early, late = run(ctx, then_subgraph_index, inputs), run(ctx, else_subgraph_index, inputs)
    ctx.need(len(early) == len(late) == 1, "chooses between several results at once", "convert the branch that you deploy")
    answers = [ctx.plain(ctx.tensor(each[0], "an answer")) for each in (early, late)]
    return plain(choose_exit(ctx, exit_, *answers))


@lowers(Op.WHILE)
def while_(ctx: Lowering, *carried: Held | Sizes, cond_subgraph_index: int = 0, body_subgraph_index: int = 0) -> Result:
    """A recurrent layer where it is one, else every step written out."""
    layer = recurrent_layer(ctx, cond_subgraph_index, body_subgraph_index, carried)
    if layer is not None:
        return layer
    steps = 0
    while goes_on(ctx, cond_subgraph_index, carried):
        ctx.need(steps < MOST_STEPS, TOO_OFTEN, _LOOP_HINT)
        carried, steps = run(ctx, body_subgraph_index, carried), steps + 1
    return carried


def goes_on(ctx: Lowering, condition: int, carried: tuple[Held | Sizes, ...]) -> bool:
    """What the condition of a loop says of what it carries.

    Raises:
        Unsupported: that is not known while the file is read.
    """
    (found, *_) = run(ctx, condition, carried)
    known = truth_of(ctx, found)
    ctx.need(known is not None, HOW_OFTEN, _LOOP_HINT)
    return bool(known)


def truth_of(ctx: Lowering, condition: Held | Sizes) -> bool | None:
    """A condition that is known while the file is read, None for one that the model computes."""
    value = ctx.tensor(condition, "a condition").value
    if not ctx.is_known(value):
        return None
    if value.type.numel() != 1:
        raise ctx.damaged(f"a condition {value.type}")
    return bool(value.tensor.reshape(()))


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
