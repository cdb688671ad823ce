"""A step's measured budget: the gauge that it asks for, and what its record tells of the measurements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgekit.compress.context import Context
from edgekit.compress.gauging.asked import MEASURED, MeasuredBudget
from edgekit.compress.gauging.gauge import Gauge
from edgekit.compress.gauging.meters import Reading, meter
from edgekit.compress.gauging.plain import PlainFile
from edgekit.compress.prune.budget import MEASURES
from edgekit.compress.prune.measured import Allowed
from edgekit.ir import Graph


def gauge_of(step: MeasuredBudget, graph: Graph, data: object | None, context: Context) -> Gauge:
    """The gauge that compares with the graph that the step was given.

    Raises:
        DeviceError: the harness cannot measure here.
        Unsupported, InputError: the graph cannot be exported or run.
    """
    on = where_of(step)
    if context.say is not None and on:
        context.say(f"{_measure(step)} measured on {on}")
    file = context.file or PlainFile(graph, data, context.root)
    kept = None if context.folder is None else context.folder / "readings.json"
    return Gauge(graph, file, meter(_measure(step), on), kept, whole=MEASURES[chosen_by(step)](graph))


def chosen_by(step: MeasuredBudget) -> str:
    """What a measured cost follows nearly in a line, a key of ``MEASURES``: candidates are chosen by it."""
    return "parameters" if step.bytes is not None else "macs"


def allowed_by(step: MeasuredBudget) -> Allowed:
    """The budget of a step that ``is_measured``."""
    name = next(name for name in MEASURED if getattr(step, name) is not None)
    amount = float(getattr(step, name))
    return Allowed(_measure(step), amount, is_share=name == "latency" or (name != "latency_ms" and amount <= 1.0))


def where_of(step: MeasuredBudget) -> str:
    """Where a step that ``is_measured`` is measured; nowhere, for the bytes of a file."""
    if step.bytes is not None:
        return ""
    return step.on or ("qemu:cortex-a53" if step.instructions is not None else "local")


def measured_details(
    step: MeasuredBudget, gauge: Gauge, reading: Reading, candidates: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """What was measured, as plain data: before and after, of which file, where, by what, and every candidate on the way."""
    return {
        "measure": _measure(step),
        "unit": "ms" if _measure(step) == "latency" else _measure(step),
        "file": gauge.what,
        "on": where_of(step),
        "by": reading.by,
        "before": gauge.before.value,
        "after": reading.value,
        "share": reading.share,
        "interval": None if reading.interval is None else list(reading.interval),
        "candidates": list(candidates),
    }


def measured_again(
    step: MeasuredBudget, gauge: Gauge, graph: Graph, details: dict[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """The details for the graph that came out of the trainings, measured once more, and what is to be warned of."""
    reading = gauge(graph)
    said = unsteady(reading)
    allowed = allowed_by(step)
    if not allowed.meets(reading):
        said.append(f"after its training the network is over its budget: {allowed.text(reading.value)} were measured")
    interval = None if reading.interval is None else list(reading.interval)
    return {**details, "after": reading.value, "share": reading.share, "interval": interval}, said


def unsteady(reading: Reading) -> list[str]:
    """A warning where the reading that met the budget is not to be relied on."""
    if not reading.unstable:
        return []
    return [f"the latency that met the budget is not to be relied on: {'; '.join(reading.unstable)}"]


def measured_note(details: dict[str, Any]) -> str:
    """``instructions of the int8 TFLite file on qemu:cortex-a53 (ai-edge-litert 2.3.0): 5,014,097 before, 2,998,113 after ...``

    A latency's share is of what the network before took in turn with it, which an earlier time on another day is not.
    """
    where = f" on {details['on']} ({details['by']})" if details["on"] else ""
    what = f"{details['measure']} of the {details['file']} file{where}"
    if details["unit"] != "ms":
        return f"{what}: {details['before']:,.0f} before, {details['after']:,.0f} after ({details['share']:.1%})"
    return f"{what}: {details['after']:.4g} ms, {details['share']:.1%} of the network before, timed in turn"


def _measure(step: MeasuredBudget) -> str:
    return "bytes" if step.bytes is not None else "instructions" if step.instructions is not None else "latency"
