"""Early exits: what they save in instructions, what they cost in top-1, and that files decide as the graph does.

    python -m benchmarks.early_exit [--case NAME]... [--seed N]... [--work FOLDER] [--quick]

Case ``lenet``: a LeNet-like network is trained on Fashion-MNIST, then gets an exit. Case ``resnet20``: the trained network of
CIFAR-10 is left as it is, and heads alone are trained, small networks that learn its answers and its last features. Its images
are used so: four fifths of ``x_train`` train the heads; temperatures, the ensemble's weights and thresholds come of the other
fifth, three times each, altered (benchmarks/altered.py), because the network itself was trained on all of ``x_train`` and
knows it by heart; ``x_test`` is reported on and decides nothing. In case ``lenet`` likewise, with nine tenths and one tenth.
Instructions are those of the float32 file on an emulated Cortex-A53: for each exit those of a sample that leaves there, times
the share of test images that do.

Case ``msdnet``: a multi-scale dense network (examples/msdnet) on Fashion-MNIST, trained with its exits from the start, int8.
Case ``if``: what the IF itself costs in ResNet-20, beside flat files of the exit alone and of the whole network alone, in
float32 and int8. Case ``decisions``: 1000 test images through files of both formats, fp32 and int8. ``--quick`` takes few
images and records nothing.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence

from benchmarks.checks import Check, conclude, table
from benchmarks.exits import cost_of_if, decisions, multi_scale, network_with_exits
from benchmarks.seeded import Figures, SeededFigures, asked

CASES = ("lenet", "resnet20", "msdnet", "if", "decisions")

#: Case -> what mean instructions may be beside the whole network's, and points of top-1 that may be lost.
_BARS = {"lenet": (0.5, 0.3), "resnet20": (0.75, 0.5)}

#: Which images did what.
_IMAGES = (
    "resnet20: heads were trained on 12,000 images of x_train, thresholds chosen on its other 3,000, three times each and "
    "altered; all 5,000 of x_test are reported on."
)

#: Extra of the IF: on the whole path by core, and on the early one.
_LATE, _EARLY = {"cortex-a53": 0.01, "cortex-a76": 0.02}, 0.01


def main() -> int:
    """Train, export, measure, print, record; see the module's text."""
    options = asked(__doc__, "early-exit", CASES)
    figures = SeededFigures("early_exit", {}, CASES, _checks, _lines)
    for case, seed in options.runs(usual=(0, 1, 2), seedless=set(CASES) - set(_BARS)):
        if case == "if":
            row = cost_of_if()
        elif case == "msdnet":
            row = multi_scale(options.work, quick=options.quick)
        elif case == "decisions":
            row = decisions(options.work, 50 if options.quick else 1000)
        else:
            row = network_with_exits(case, seed, options.work, quick=options.quick)
        figures.add({"case": case, "seed": seed, **row}, keep=not options.quick)
    return 0 if options.quick else conclude(figures.checks)


def _checks(rows: Sequence[Figures]) -> list[Check]:
    out = []
    for row in rows:
        if row["case"] in _BARS:
            share, drop = _BARS[row["case"]]
            subject = f"{row['case']}, seed {row['seed']}"
            out.append(Check(subject, "mean instructions, share of the whole network's", row["share"], share, "<="))
            out.append(Check(subject, "points of top-1 lost", 100 * (row["top1_whole"] - row["top1"]), drop, "<="))
        elif row["case"] == "msdnet":
            out.append(
                Check("msdnet, int8", f"of {row['samples']} outputs that differ from flat files'", row["different"], 0, "<=")
            )
            out.append(Check("msdnet, int8", "points of top-1 lost", 100 * (row["top1_whole"] - row["top1"]), 0.5, "<="))
        elif row["case"] == "if":
            for one in row["counts"]:
                subject = f"IF, {one['precision']}, {one['core']}"
                out.append(Check(subject, "extra, whole path", one["late"] / one["whole"] - 1, _LATE[one["core"]], "<="))
                out.append(Check(subject, "extra, early path", one["early"] / one["exit"] - 1, _EARLY, "<="))
        else:
            for one in row["files"]:
                figure = f"of {row['samples']} outputs that differ (scores within 1e-5 of a threshold aside)"
                out.append(Check(one["file"], figure, one["different"], 0, "<="))
                out.append(Check(one["file"], "samples at the rarest exit", min(one["taken"]), 1, ">="))
    return out


def _lines(rows: Sequence[Figures]) -> list[str]:
    """The tables of README.md."""
    out: list[str] = []
    shown = []
    for case in _BARS:
        found = [row for row in rows if row["case"] == case]
        if found:
            rates = [[100 * rate for rate in row["rates"]] for row in found]
            shown.append(
                {
                    "network": case,
                    "seeds": str(len(found)),
                    "top-1 % whole": _mean([100 * row["top1_whole"] for row in found]),
                    "with exits": _mean([100 * row["top1"] for row in found]),
                    "lost, worst seed": f"{max(100 * (r['top1_whole'] - r['top1']) for r in found):.2f}",
                    "leave at the exits %": " / ".join(f"{statistics.mean(column):.0f}" for column in zip(*rates, strict=True)),
                    "instructions, whole": f"{found[0]['instructions_whole']:,}",
                    "mean": f"{statistics.mean(row['instructions_mean'] for row in found):,.0f}",
                    "share": _mean([row["share"] for row in found], 3),
                }
            )
    if shown:
        out += [*table(shown), "", f"float32 files, Cortex-A53; mean over seeds (and range). {_IMAGES}", ""]
    for row in rows:
        if row["case"] == "msdnet":
            wide = {
                "network": "multi-scale dense, Fashion-MNIST",
                "top-1 % whole": f"{100 * row['top1_whole']:.2f}",
                "with exits": f"{100 * row['top1']:.2f}",
                f"int8 file, {row['samples']} images": f"{100 * row['top1_int8']:.2f}",
                "leave at the exits %": " / ".join(f"{100 * rate:.0f}" for rate in row["rates"]),
                "instructions, whole": f"{row['instructions_whole']:,}",
                "mean": f"{row['instructions_mean']:,.0f}",
                "share": f"{row['share']:.3f}",
            }
            out += [*table([wide]), "", "int8 files, Cortex-A53.", ""]
        elif row["case"] == "if":
            counts = [
                {
                    "file": f"ResNet-20, {one['precision']}, {one['core']}",
                    "exit alone": f"{one['exit']:,}",
                    "IF, early": f"{one['early']:,} ({100 * (one['early'] / one['exit'] - 1):+.2f} %)",
                    "whole network alone": f"{one['whole']:,}",
                    "IF, late": f"{one['late']:,} ({100 * (one['late'] / one['whole'] - 1):+.2f} %)",
                }
                for one in row["counts"]
            ]
            out += [*table(counts), ""]
        elif row["case"] == "decisions":
            files = [
                {
                    "file": one["file"],
                    "compared with": one["against"],
                    "leave at the exits": " / ".join(map(str, one["taken"])),
                    "differ": str(one["different"]),
                    "within 1e-5 of a threshold": ", ".join(map(str, one["close"])) or "none",
                }
                for one in row["files"]
            ]
            out += [*table(files), "", f"The LeNet-like network with exits, {row['samples']} test images.", ""]
    return out[:-1]


def _mean(values: Sequence[float], digits: int = 2) -> str:
    text = f"{statistics.mean(values):.{digits}f}"
    return text if len(values) == 1 else f"{text} ({min(values):.{digits}f} to {max(values):.{digits}f})"


if __name__ == "__main__":
    sys.exit(main())
