"""The curves of a recipe's trainings, one behind the other: loss and accuracy by epoch, as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

_WIDTH, _HEIGHT = 960.0, 250.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 52.0, 12.0, 26.0, 34.0


@dataclass(frozen=True)
class Stretch:
    """One training: what it belongs to, and its epochs as ``edgekit.train.trained.Epoch.as_dict`` gives them."""

    name: str
    epochs: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Line:
    """One curve over all stretches; None where it was not measured. ``style`` colours it ("line" or "line2")."""

    name: str
    values: Sequence[float | None]
    style: str


def stretches(history: Sequence[Mapping[str, Any]]) -> list[Stretch]:
    """Every training that the records tell of, in order."""
    found = []
    for number, record in enumerate(history, 1):
        name = str(record["step"]).replace("_", " ")
        details = record.get("details", {})
        inner = list(_trainings(details))
        for index, epochs in enumerate(inner, 1):
            found.append(Stretch(f"{number} {name}" + (f" ({index})" if len(inner) > 1 else ""), epochs))
        for control, row in details.get("controls", {}).items():
            found += [Stretch(f"{number} {control.replace('_', '-')}", epochs) for epochs in _trainings(row)]
    return found


def _trainings(details: Any) -> Iterator[Sequence[Mapping[str, Any]]]:
    """Lists of epochs anywhere in a record's details, but for those of controls."""
    if isinstance(details, Mapping):
        epochs = details.get("epochs")
        if isinstance(epochs, Sequence) and epochs and isinstance(epochs[0], Mapping) and "terms" in epochs[0]:
            yield epochs
        for key, value in details.items():
            if key not in ("epochs", "controls"):
                yield from _trainings(value)
    elif isinstance(details, list | tuple):
        for value in details:
            yield from _trainings(value)


def curve_plots(history: Sequence[Mapping[str, Any]]) -> list[str]:
    """The plot of losses and, where labels are classes, that of accuracies; none where nothing was trained."""
    parts = stretches(history)
    epochs = [epoch for part in parts for epoch in part.epochs]
    if not epochs:
        return []
    losses = [
        Line("training loss", [float(sum(epoch["terms"].values())) for epoch in epochs], "line"),
        Line("validation loss", [_number(epoch["validation"].get("loss")) for epoch in epochs], "line2"),
    ]
    scores = [
        Line("training top-1", [_number(epoch["training"].get("top1")) for epoch in epochs], "line"),
        Line("validation top-1", [_number(epoch["validation"].get("top1")) for epoch in epochs], "line2"),
    ]
    plots = [_plot(losses, parts, "Loss by epoch"), _plot(scores, parts, "Accuracy by epoch")]
    return [plot for plot in plots if plot]


def _plot(lines: Sequence[Line], parts: Sequence[Stretch], title: str) -> str:
    values = [v for line in lines for v in line.values if v is not None]
    if not values:
        return ""
    low, high, step = ticks(min(values), max(values))
    count = len(lines[0].values)
    room = _WIDTH - _LEFT - _RIGHT

    def x_of(index: float) -> float:
        return _LEFT + room * (index + 0.5) / count

    def y_of(value: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - (value - low) / (high - low))

    out = []
    for number in range(round((high - low) / step) + 1):
        tick = low + number * step
        out.append(f'<path class="grid" d="M{_LEFT:.0f} {y_of(tick):.1f}H{_WIDTH - _RIGHT:.0f}"/>')
        out.append(f'<text class="soft tick" x="{_LEFT - 8:.0f}" y="{y_of(tick) + 4:.1f}">{tick:.4g}</text>')
    start = 0
    for part in parts:
        left = _LEFT + room * start / count
        if start:
            out.append(f'<path class="grid" d="M{left:.1f} {_TOP:.0f}V{_HEIGHT - _BOTTOM:.0f}"/>')
        fits = int(room * len(part.epochs) / count / 6.8)
        name = part.name if len(part.name) <= fits else part.name[: max(fits - 1, 0)] + "…" if fits > 1 else ""
        out.append(f'<text class="soft" x="{left + 3:.1f}" y="{_HEIGHT - 10:.0f}">{escape(name)}</text>')
        start += len(part.epochs)
    of = [number for number, part in enumerate(parts) for _ in part.epochs]
    legend = _LEFT
    for line in lines:
        found = [(x_of(i), y_of(v), v, i) for i, v in enumerate(line.values) if v is not None]
        if not found:
            continue
        path, before = "", -1
        for x, y, _, index in found:  # one training's curve does not lead into the next one's
            path += f"{'M' if before < 0 or of[index] != of[before] else 'L'}{x:.1f} {y:.1f}"
            before = index
        out.append(f'<path class="{line.style}" d="{path}"/>')
        for x, y, value, index in found:
            tip = f"<title>{escape(line.name)}, epoch {index + 1}: {value:.4g}</title>"
            out.append(
                f'<circle class="{"c1" if line.style == "line" else "c2"}" cx="{x:.1f}" cy="{y:.1f}" r="2.6">{tip}</circle>'
            )
        out.append(
            f'<rect class="{"c1" if line.style == "line" else "c2"}" x="{legend:.0f}" y="4" width="10" height="10" rx="2"/>'
        )
        out.append(f'<text x="{legend + 16:.0f}" y="13">{escape(line.name)}</text>')
        legend += 30 + 7.2 * len(line.name)
    return (
        f'<svg class="plot curve" role="img" aria-label="{escape(title)}" viewBox="0 0 {_WIDTH:.0f} {_HEIGHT:.0f}" '
        f'width="{_WIDTH:.0f}" height="{_HEIGHT:.0f}">{"".join(out)}</svg>'
    )


def ticks(low: float, high: float) -> tuple[float, float, float]:
    """Lowest and highest grid line, and their distance: 1, 2 or 5 times a power of ten, at most six of them."""
    span = max(high - low, 1e-3 * max(abs(high), 1e-6))
    power = 10.0 ** math.floor(math.log10(span / 6))
    step = next(s * power for s in (1, 2, 5, 10, 20) if span / (s * power) <= 6)
    first = math.floor(low / step) * step
    return first, max(math.ceil(high / step) * step, first + step), step


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
