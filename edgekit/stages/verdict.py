"""What a report means for the exit code: kept, too far from the source, too inaccurate, or over budget."""

from __future__ import annotations

from edgekit.config import BuildRequest
from edgekit.errors import EdgekitError, OverBudget, ParityError
from edgekit.report import Report, Verification
from edgekit.target import Target

#: What may bring an artifact nearer to its source: one whose ranges were calibrated, and one whose weights were rounded.
_NEARER = "more typical calibration data, another `[quantization] observer` or a float target"
_FINER = "a target with finer weights: tflite-fp16 keeps 11 bits of each, tflite-fp32 and onnx-fp32 all"


def failure(report: Report, target: Target, request: BuildRequest) -> EdgekitError | None:
    """The error that a finished report calls for: a ``ParityError`` means that nothing may be kept of the artifact.

    In this order: too far from the source, a metric that fell too much, over the device's or the baseline's budget, and under
    ``--strict`` whatever is open.
    """
    return _too_far(report, target) or _too_inaccurate(report, target) or _over_budget(report, target, request)


def _too_far(report: Report, target: Target) -> ParityError | None:
    below = next((row for row in report.verification if not row.passed), None)
    if below is None:
        return None
    return ParityError(
        f"the {target.name} artifact is too far from the source: {_shortfall(below)}",
        where=_worst_layers(report) or f"{report.source.name} for {target.name}",
        hint=f"{_NEARER if target.quantization.needs_calibration else _FINER}; report.html shows where",
    )


def _too_inaccurate(report: Report, target: Target) -> ParityError | None:
    """Says which part lost it: the recipe (source to graph) or the target (graph to artifact)."""
    below = next((row for row in report.evaluation if not row.passed), None)
    if below is None or below.source is None or below.artifact is None or below.drop is None:
        return None
    changes = [
        (record["step"], pair)
        for record in report.history
        if (pair := record["metrics"].get(below.metric)) is not None and None not in pair
    ]
    where = f"{report.source.name} for {target.name}"
    if changes and below.graph is not None:
        changes.append((target.name, (below.graph, below.artifact)))
        where += f"; points by step: {', '.join(f'{name} {100 * (to - of):+.2f}' for name, (of, to) in changes)}"
    return ParityError(
        f"{below.metric} fell from {below.source:.4f} to {below.artifact:.4f}, {below.drop:.2f} points;"
        f" 'max_drop' allows {below.allowed_drop:g}",
        where=where,
        hint="milder steps or more epochs in the recipe, another target, or a larger 'max_drop'; report.html shows where",
    )


def _over_budget(report: Report, target: Target, request: BuildRequest) -> OverBudget | None:
    over = [check for check in report.budget if check.passed is False]
    if over:
        return OverBudget(
            "; ".join(f"{c.name} is {c.value:,.0f}, the {c.origin} allows {c.limit:,.0f}" for c in over),
            where=f"{report.source.name} for {target.name}",
            hint="report.html shows where the bytes go",
        )
    if request.strict and (report.warnings or any(c.passed is None for c in report.budget)):
        open_points = [
            *report.warnings,
            *[f"{c.name} can't be measured here: {c.note}" for c in report.budget if c.passed is None],
        ]
        return OverBudget(
            "--strict: " + "; ".join(open_points),
            where=f"{report.source.name} for {target.name}",
            hint="mend them, or build without --strict to accept them",
        )
    return None


def _shortfall(row: Verification) -> str:
    """Which floors a comparison is below."""
    short = []
    if row.floor_db is not None and not row.sqnr_db >= row.floor_db:
        short.append(f"{row.sqnr_db:.1f} dB, the floor is {row.floor_db:g} dB")
    agreement, floor = row.top1_agreement, row.floor_agreement
    if agreement is not None and floor is not None and agreement < floor:
        short.append(f"{agreement:.2%} of the samples have the same largest output, the floor is {floor:.2%}")
    return "; ".join(short)


def _worst_layers(report: Report) -> str:
    """The layers that lose most, where that was measured: by the error that each causes alone, else by the one after it."""
    causes = [(layer, layer.alone_sqnr_db) for layer in report.layers if layer.alone_sqnr_db is not None]
    along = [(layer, layer.sqnr_db) for layer in report.layers if layer.sqnr_db is not None]
    worst = sorted(causes or along, key=lambda row: row[1])[:3]
    listed = "; ".join(f"{layer.name} {found:.1f} dB ({layer.where})" for layer, found in worst)
    kind = "that cause the largest error, each alone" if causes else "with the largest error"
    return f"layers {kind}: {listed}" if listed else ""
