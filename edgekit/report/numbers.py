"""Numbers as people read them, the same on the terminal and on the page."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.report.model import SQNR_LIMIT_DB

_UNITS = (("G", 1e9), ("M", 1e6), ("k", 1e3))


def bytes_text(count: float) -> str:
    """``86.2 kB``, in powers of 1000; below 1 kB the exact number."""
    return f"{count:,.0f} bytes" if abs(count) < 1000 else f"{_scaled(count)}B"


def count_text(count: float) -> str:
    """``12.5 M``, ``640``."""
    return f"{count:,.0f}" if abs(count) < 1000 else _scaled(count)


def limit_text(name: str, value: float) -> str:
    """The value of a limit in the unit that its name ends in: ``4.2 MB`` of ``model_bytes``, ``7 ms`` of ``p95_latency_ms``."""
    if name.endswith("_bytes"):
        return bytes_text(value)
    return f"{value:.3g} ms" if name.endswith("_ms") else count_text(value)


def _scaled(count: float) -> str:
    unit, size = next(((u, s) for u, s in _UNITS if abs(count) >= 0.9995 * s), ("", 1.0))
    number = count / size
    return f"{number:.{0 if abs(number) >= 99.95 else 1}f} {unit}"


def db_text(decibels: float | None) -> str:
    """``33.1 dB``; ``identical`` for equal outputs, a dash where it was not measured."""
    if decibels is None:
        return "–"
    if decibels >= SQNR_LIMIT_DB:
        return "identical"
    return "broken" if decibels <= -SQNR_LIMIT_DB or decibels != decibels else f"{decibels:.1f} dB"


def percent_text(share: float | None, digits: int = 2) -> str:
    """``99.22 %``, a dash for None."""
    return "–" if share is None else f"{100 * share:.{digits}f} %"


def metric_text(value: float | None) -> str:
    """Four significant digits, a dash for None."""
    return "–" if value is None else f"{value:#.4g}".rstrip(".")


def error_text(value: float) -> str:
    """A maximum error: two significant digits."""
    return "0" if value == 0 else f"{value:#.2g}".rstrip(".")


def factor_text(before: float, after: float) -> str:
    """``3.8 times smaller``; empty where it is not smaller."""
    return f"{before / after:.1f} times smaller" if after and before / after >= 1.05 else ""


def seconds_text(seconds: float) -> str:
    """``5 min 12 s``, ``1.24 s``, ``35 ms``."""
    if seconds >= 120:
        return f"{int(seconds) // 60} min {int(seconds) % 60} s"
    return f"{seconds:.2f} s" if seconds >= 0.9995 else f"{1000 * seconds:.0f} ms"


def shape_text(shape: Sequence[int | str | None]) -> str:
    """``1×32×32×3``; ``N`` where the caller chooses."""
    return "×".join("N" if size is None else str(size) for size in shape) or "scalar"


def operators_text(operators: dict[str, int] | object, most: int = 6) -> str:
    """``9 CONV_2D, 3 ADD``; the rest is summed up."""
    items = list(operators.items()) if isinstance(operators, dict) else []
    shown = [f"{count} {kind}" for kind, count in items[:most]]
    rest = sum(count for _, count in items[most:])
    return ", ".join([*shown, *([f"{rest} others"] if rest else [])])
