"""The rows of the report that a graph gives: its summary, its layers, and what the passes did."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from edgekit.formats.description import Description, OpInfo, TensorInfo, edges, peak_memory
from edgekit.ir import Graph, Node, Value, Where
from edgekit.ir.graph_json import portable
from edgekit.ir.labels import op_label, op_title
from edgekit.ir.types import dtype_name, where_text
from edgekit.layer_errors import LayerError
from edgekit.report.model import Declined, GraphSummary, Layer, PassInfo

_BITS = {"int2": 2, "int4": 4, "int8": 8, "uint8": 8, "int16": 16, "int32": 32, "int64": 64}


class _Skipped(Protocol):
    @property
    def value(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def where(self) -> tuple[Where, ...]: ...


class PassRecordLike(Protocol):
    """What a pass says about itself; ``edgekit.passes.base.PassRecord``."""

    @property
    def name(self) -> str:
        """The pass's name."""

    @property
    def rewrites(self) -> int:
        """How often it changed something."""

    @property
    def skipped(self) -> Iterable[_Skipped]:
        """Where it declined."""


def graph_summary(graph: Graph) -> GraphSummary:
    """Nodes, costs and bytes of a graph; activations and weights count as they are stored (``quant``), else as float32."""
    return GraphSummary(
        len(graph.nodes),
        graph.macs,
        graph.parameters,
        sum(stored_bytes(v) for v in _read_constants(graph)),
        _peak(graph),
    )


def layers(
    graph: Graph,
    errors: Mapping[str, LayerError] | None = None,
    alone: Mapping[str, float] | None = None,
    float_reasons: Mapping[str, str] | None = None,
) -> tuple[Layer, ...]:
    """One row for each op.

    Args:
        graph: the graph that is exported.
        errors: error of each value against the float graph (``edgekit.layer_errors``).
        alone: SQNR in dB of the model's output when one layer alone is quantised, by the name of the layer's value.
        float_reasons: why an op stays float, by the name of its value.
    """
    return tuple(_layer(node, errors or {}, alone or {}, float_reasons or {}) for node in graph.nodes)


def pass_info(records: Iterable[PassRecordLike]) -> tuple[PassInfo, ...]:
    """What the passes did and declined; one row a pass, although a pass may have run several times."""
    rewrites: dict[str, int] = {}
    declined: dict[str, dict[Declined, None]] = {}
    for record in records:
        rewrites[record.name] = rewrites.get(record.name, 0) + record.rewrites
        rows = declined.setdefault(record.name, {})
        rows.update((Declined(s.value, s.reason, portable(s.where)), None) for s in record.skipped)
    return tuple(PassInfo(name, count, tuple(declined[name])) for name, count in rewrites.items() if count or declined[name])


def describe(graph: Graph) -> Description:
    """The graph in the form that model files are described in."""
    constants = {id(v): v for v in _read_constants(graph)}
    return Description(
        name=graph.name,
        format="graph",
        inputs=tuple(_tensor(v) for v in graph.inputs),
        outputs=tuple(_tensor(v) for v in graph.outputs),
        ops=tuple(_op(node) for node in graph.nodes),
        parameters=sum(v.tensor.numel() for v in constants.values() if v.type.is_float),
        weight_bytes=sum(stored_bytes(v) for v in constants.values()),
        macs=graph.macs,
        peak_memory_bytes=_peak(graph),
        edges=edges(_steps(graph), [id(v) for v in graph.inputs], [id(v) for v in graph.outputs]),
    )


def stored_bytes(value: Value) -> int:
    """Bytes of a value at batch 1 in its stored form: integers where it carries ``quant``."""
    bits = _BITS[value.quant.dtype] if value.quant is not None else 8 * value.type.dtype.itemsize
    return (value.type.numel() * bits + 7) // 8


def stored_dtype(value: Value) -> str:
    """``int8`` where the value carries such ``quant``, else its own type."""
    return value.quant.dtype if value.quant is not None else dtype_name(value.type.dtype)


def _read_constants(graph: Graph) -> list[Value]:
    """Each constant that an op or an output reads, once; buffers that nothing reads cost nothing."""
    return [v for v in graph.constants() if v.users or graph.is_output(v)]


def _peak(graph: Graph) -> int:
    sizes = {id(v): stored_bytes(v) for v in graph.values() if not v.is_constant}
    return peak_memory(_steps(graph), sizes, [id(v) for v in graph.inputs], [id(v) for v in graph.outputs])


def _steps(graph: Graph) -> list[tuple[list[int], list[int]]]:
    """What each node reads and writes, by identity."""
    return [([id(v) for v in n.inputs if v is not None], [id(v) for v in n.outputs]) for n in graph.nodes]


def _constants_of(node: Node) -> list[Value]:
    return list({id(v): v for v in node.inputs if v is not None and v.is_constant}.values())


def _layer(node: Node, errors: Mapping[str, LayerError], alone: Mapping[str, float], float_reasons: Mapping[str, str]) -> Layer:
    output = node.output
    weights = [v for v in _constants_of(node) if v.type.rank > 1]
    quants = [len(v.quant.scale) for v in weights if v.quant is not None]
    error = errors.get(output.name)
    return Layer(
        name=output.name,
        op=" ".join(filter(None, (op_title(node), op_label(node)))),
        where=portable(node.where),
        shape=output.tensor_shape,
        dtype=stored_dtype(output),
        macs=node.op.macs(node),
        weight_bytes=sum(stored_bytes(v) for v in _constants_of(node)),
        scale=None if output.quant is None else (min(output.quant.scale), max(output.quant.scale)),
        weight_scales=max(quants, default=0),
        sqnr_db=None if error is None else error.sqnr_db,
        alone_sqnr_db=alone.get(output.name),
        float_reason=float_reasons.get(output.name),
        module=next((place.module for place in node.where if place.module), "") if weights else "",
    )


def _op(node: Node) -> OpInfo:
    constants = _constants_of(node)
    return OpInfo(
        kind=node.op.name,
        name=node.output.name,
        shapes=tuple(tuple(d if isinstance(d, int) else str(d) for d in v.type.shape) for v in node.outputs),
        dtype=stored_dtype(node.output),
        macs=node.op.macs(node),
        parameters=sum(v.tensor.numel() for v in constants if v.type.is_float),
        weight_bytes=sum(stored_bytes(v) for v in constants),
        attributes=op_label(node),
        where=where_text(node.where) if node.where else "",
    )


def _tensor(value: Value) -> TensorInfo:
    shape = tuple(d if isinstance(d, int) else str(d) for d in value.type.shape)
    if (quant := value.quant) is None:
        return TensorInfo(value.name, shape, dtype_name(value.type.dtype))
    return TensorInfo(value.name, shape, quant.dtype, quant.scale[0], quant.zero_point[0], len(quant.scale))
