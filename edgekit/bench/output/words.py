"""Numbers as people read them. Three digits: more would be noise."""

from __future__ import annotations

from edgekit.bench.budget import Check, Verdict
from edgekit.bench.compare import Finding
from edgekit.bench.exits import ExitCosts
from edgekit.bench.qemu.counting import Count
from edgekit.bench.session import Pair
from edgekit.bench.statistics import Change, Estimate


def digits(value: float) -> str:
    """Three significant digits without an exponent: 5.30, 54.0, 544, 1,230."""
    if abs(value) >= 999.5:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:#.3g}".rstrip(".") if abs(value) >= 1e-4 else f"{value:.3g}"


def micros(us: float | None) -> str:
    """A time given in microseconds, in the unit that fits it."""
    if us is None:
        return "-"
    for limit, scale, unit in ((999.5, 1.0, "us"), (999.5e3, 1e3, "ms")):
        if us < limit:
            return f"{digits(us / scale)} {unit}"
    return f"{digits(us / 1e6)} s"


def size(count: float | None) -> str:
    """A number of bytes."""
    if count is None:
        return "-"
    for limit, scale, unit in ((1024, 1, "B"), (1024**2, 1024, "KiB"), (1024**3, 1024**2, "MiB")):
        if abs(count) < limit:
            return f"{digits(count / scale) if scale > 1 else int(count)} {unit}"
    return f"{digits(count / 1024**3)} GiB"


def interval(estimate: Estimate) -> str:
    """A relative half-width, such as +-1.2 %."""
    return f"+-{estimate.half_width * 100:.1f} %"


def quantity(value: float | None, unit: str) -> str:
    """A check's value or limit."""
    if value is None:
        return "-"
    if unit == "bytes":
        return size(value)
    return f"{digits(value)} ms" if unit == "ms" else f"{value:,.0f}"


def check_line(check: Check) -> str:
    """One line of a budget."""
    relation = f"{quantity(check.value, check.unit)} of {quantity(check.limit, check.unit)}"
    text = (
        f"{check.name}: {relation}" if check.value is not None else f"{check.name}: at most {quantity(check.limit, check.unit)}"
    )
    return f"{text}, {check.verdict.value}" + (
        f" ({check.reason})" if check.reason and check.verdict is not Verdict.PASS else ""
    )


def pair_line(pair: Pair) -> str:
    """What may be said about two artifacts measured in turn."""
    ratio = f"{pair.ratio.value:.3f} (99 % interval {pair.ratio.low:.3f} to {pair.ratio.high:.3f})"
    said = {
        Change.SLOWER: "slower",
        Change.FASTER: "faster",
        Change.SAME: "the same within 2 %",
        Change.INCONCLUSIVE: "no change shown",
    }[pair.change]
    return f"{pair.other.name} / {pair.base.name} = {ratio}: {said}"


def finding_line(finding: Finding) -> str:
    """What may be said about one metric against an older session."""
    where = f"{finding.artifact.name} {finding.metric}"
    if finding.ratio is None:
        return f"{where}: not compared, {finding.note}"
    exact = finding.ratio.low == finding.ratio.high
    span = "" if exact else f", 99 % interval {finding.ratio.low - 1:+.1%} to {finding.ratio.high - 1:+.1%}"
    timed = finding.metric.startswith("latency")
    said = {
        Change.SLOWER: "slower" if timed else "larger",
        Change.FASTER: "faster" if timed else "smaller",
        Change.SAME: "the same",
        Change.INCONCLUSIVE: "no change shown",
    }[finding.change]
    return f"{where}: {finding.ratio.value - 1:+.1%}{span}: {said}"


def exits_line(name: str, exits: ExitCosts) -> str:
    """Where the user's samples leave, how many of them are right, and what their calls took."""
    if not exits.samples:
        return f"{name}: what a call takes depends on the sample, and random numbers leave somewhere; --input SAMPLES.npz"
    shares = " / ".join(f"{100 * rate:.1f}" for rate in exits.rates)
    line = f"{name}: of {exits.samples:,} samples {shares} % leave at its exits, the whole network last"
    if exits.top1 is not None:
        of_those = " / ".join("-" if top1 is None else f"{top1:.4f}" for top1 in exits.top1_of_those)
        line += f"; top-1 {exits.top1:.4f}, of those {of_those}"
    if exits.us:
        line += f"; calls that leave there take {' / '.join(micros(us) for us in exits.us)}"
    if exits.mean_us is not None:
        line += f": mean {micros(exits.mean_us)}, 90th percentile {micros(exits.p90_us)}, worst {micros(exits.worst_us)}"
    return line


def paths_line(name: str, counted: Count) -> str:
    """What the paths through a file with early exits cost, and a sample by the rates of the count."""
    paths = " / ".join(f"{cost:,}" for cost in counted.paths)
    line = f"{name}: instructions by the exit that answers: {paths}; the column shows the worst"
    if counted.mean is None or counted.p90 is None:
        return line
    shares = " / ".join(f"{100 * rate:.0f}" for rate in counted.rates)
    return f"{line}. {shares} % of its samples leave there: mean {counted.mean:,.0f}, 90th percentile {counted.p90:,}"
