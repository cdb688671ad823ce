"""The choice between exits: nested IFs, each with the layers in its else branch that run if the exits before were unsure.

The branches' constants stand in the branches, so that runtimes delegate and pack them there as in a flat file.
"""

from __future__ import annotations

from edgekit.errors import Unsupported
from edgekit.export.tflite.branch import Branch
from edgekit.export.tflite.emission import Emission, Site
from edgekit.export.tflite.emitters.certainty import passes
from edgekit.export.tflite.layout.form import Form, source
from edgekit.export.tflite.registry import emits
from edgekit.formats.tflite.model import Options
from edgekit.formats.tflite.schema_generated import BuiltinOperator as Op
from edgekit.ir import Value, ops
from edgekit.ir.exits import ExitPlan, exit_plan


@emits(ops.ChooseExit)
def choose_exit(site: Site, op: ops.ChooseExit) -> None:
    """IF where an early answer saves something, else SELECT_V2.

    Raises:
        Unsupported: the file takes several samples at once: they would have to leave together.
    """
    plan = exit_plan(site.to.graph)
    assert plan is not None
    if not plan.saves:
        _select(site, op)
        return
    if site.to.batch != 1:
        raise Unsupported(
            f"a file of batch {site.to.batch} can't leave at an early exit: IF decides for all samples of a call at once",
            hint="export with batch 1 (`--batch 1`) and call the file once a sample",
        )
    if (result := _decide(site.to, plan, 0)) is not None:
        site.alias(result)


def _logits(to: Emission, value: Value) -> tuple[Value, Form]:
    return value, source(to.shape(value))


def _decide(to: Emission, plan: ExitPlan, index: int) -> int | None:
    """The answer's tensor, given that the exits before ``index`` were unsure; None where a layer has no form in TFLite."""
    value, form = _logits(to, plan.node.input(index))
    if index == len(plan.regions):
        return to.tensor(value, form)
    goes = passes(to.sheet, to.tensor(value, form), plan.op, index)
    early, onward = Branch.of(plan.node), Branch.of(plan.node)
    with to.within(early):
        answer = to.tensor(value, form)
    with to.within(onward):
        if not to.write_nodes(plan.regions[index]):
            return None
        onward.sheet.node = plan.node
        later = _decide(to, plan, index + 1)
    if later is None:
        return None
    read = {**early.taken, **onward.taken}
    inputs = [(value, form, to.tensor(value, form)) for (_, form), (value, _) in read.items()]
    given = [(value, form, to.sheet.tensors[tensor]) for value, form, tensor in inputs]
    early.close(given, answer)
    onward.close(given, later)
    to.subgraphs += [early.sheet, onward.sheet]
    number = len(to.subgraphs)
    options = Options("IfOptions", {"then_subgraph_index": number - 1, "else_subgraph_index": number})
    result = to.like(plan.node.output, form.physical)
    to.sheet.operator(Op.IF, [goes, *(tensor for _, _, tensor in inputs)], [result], options)
    return result


def _select(site: Site, op: ops.ChooseExit) -> None:
    """All exits are at hand: rows of one or the other."""
    to = site.to
    tensors = [to.tensor(*_logits(to, site.node.input(index))) for index in range(len(site.node.inputs))]
    result = tensors[-1]
    for index in reversed(range(len(op.thresholds))):
        chosen = to.like(site.node.output, site.output_shape)
        goes = passes(to.sheet, tensors[index], op, index)
        to.sheet.operator(Op.SELECT_V2, [goes, tensors[index], result], [chosen], Options("SelectV2Options"))
        result = chosen
    site.alias(result)
