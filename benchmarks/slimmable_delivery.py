"""What the one delivery of all widths of a slimmable network costs beside the widest one's alone.

    python -m benchmarks.slimmable_delivery [--graph FILE.ekg] [--work FOLDER]

The ResNet-8-like network of ``benchmarks.slimmable`` at four widths is built for each target; the archive of all widths is held
against that of the widest file alone, every byte counted. Python and the C99 decoder make each width's file of it, compared
byte for byte with the file that the build verified. ``--graph`` takes a network that is trained already; without it two epochs
are trained: what is delivered hardly depends on it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

import edgekit as ek
from benchmarks import networks
from benchmarks.checks import Check, conclude, into_readme, record, table
from benchmarks.seeded import Figures
from benchmarks.slimmable import WIDTHS, ResNet8
from edgekit.ir import Graph
from edgekit.packing.archive import read
from edgekit.packing.several import parts_of

TARGETS = ("tflite-int8", "tflite-fp32")

#: The archive of all widths, as a multiple of the widest file's archive. Only the first target's is promised.
_BAR = 1.05

_EPOCHS = 2

#: Writes each named file of an archive: ``unpack ARCHIVE NAME FILE [NAME FILE]...``
_PROGRAM = """
#include "ekz.h"
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv) {
    static uint8_t archive[1 << 24];
    FILE *file = fopen(argv[1], "rb");
    size_t size = file ? fread(archive, 1, sizeof archive, file) : 0;
    ekz_info_t info;
    if (ekz_info(archive, size, &info)) return 1;
    uint8_t *all = malloc(info.size), *space = malloc(info.workspace);
    if (ekz_unpack(archive, size, all, info.size, space, info.workspace)) return 2;
    for (int i = 2; i + 1 < argc; i += 2) {
        const uint8_t *part;
        size_t part_size;
        if (ekz_part(all, info.size, argv[i], &part, &part_size)) return 3;
        FILE *out = fopen(argv[i + 1], "wb");
        if (!out || fwrite(part, 1, part_size, out) != part_size || fclose(out)) return 4;
    }
    return 0;
}
"""


def main() -> int:
    """Build, pack, unpack, print, record; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graph", type=Path)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "edgekit-slimmable-delivery")
    options = parser.parse_args()
    if not networks.available():
        print(f"the data ({networks.DATA}) is not there", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    graph = _trained(options.work) if options.graph is None else ek.load(options.graph)
    rows = [_delivered(graph, target, options.work) for target in TARGETS]
    checks = _checks(rows)
    into_readme("slimmable_delivery", _lines(rows))
    record("slimmable_delivery", {"widths": WIDTHS, "rows": rows}, checks)
    return conclude(checks)


def _trained(work: Path) -> Graph:
    torch.manual_seed(0)
    whole = ek.load(ResNet8(), (torch.zeros(2, 3, 32, 32),))
    step = ek.Slimmable(widths=WIDTHS, epochs=_EPOCHS, training=ek.Training(optimizer="sgd", lr=0.1, batch_size=128, seed=0))
    return ek.Recipe([step]).apply(whole, ek.Data(train=networks.images("train")), folder=work / "trained")


def _delivered(graph: Graph, target: str, work: Path) -> Figures:
    """The figures of one target."""
    x, _ = networks.images("train")
    builds = ek.build(graph, [target], calibration=x[:128], output=work / "out")
    for build in builds:
        if build.error is not None:
            raise build.error
    folder = work / "out" / f"{target}-sizes"
    facts = json.loads((folder / "sizes.json").read_text())
    archive = folder / facts["packed"]["file"]
    files = {row["name"]: (work / "out" / row["folder"] / row["artifact"]).read_bytes() for row in facts["sizes"]}
    packed, joined = facts["packed"], read(archive.read_bytes())
    made = {part.name: joined[part.start : part.start + part.size] for part in parts_of(joined)}
    row: Figures = {
        "target": target,
        "files": sum(map(len, files.values())),
        "largest": len(files["1"]),
        "packed": packed["bytes"],
        "alone": packed["largest_alone"],
        "parts": packed["parts_of_largest"],
        "beyond": {part: size - packed["parts_of_largest"].get(part, 0) for part, size in packed["parts"].items()},
        "python": sum(made[name] == content for name, content in files.items()),
        "c": _in_c(archive, files, work),
    }
    print(row, flush=True)
    return row


def _in_c(archive: Path, files: dict[str, bytes], work: Path) -> int:
    """How many of the files the C decoder makes."""
    folder = work / "c"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "main.c").write_text(_PROGRAM)
    source = Path(ek.__file__).parent / "packing" / "c"
    command = [
        "cc",
        "-std=c99",
        "-O2",
        f"-I{source}",
        str(source / "ekz.c"),
        str(folder / "main.c"),
        "-o",
        str(folder / "unpack"),
    ]
    subprocess.run(command, check=True)
    asked = [word for name in files for word in (name, str(folder / name))]
    subprocess.run([folder / "unpack", archive, *asked], check=True)
    return sum((folder / name).read_bytes() == content for name, content in files.items())


def _checks(rows: Sequence[Figures]) -> list[Check]:
    size = [
        Check(row["target"], "packed sizes / packed largest", row["packed"] / row["alone"], _BAR, "<=")
        for row in rows
        if row["target"] == TARGETS[0]
    ]
    same = [
        Check(row["target"], f"widths that {way} makes byte for byte", row[way], len(WIDTHS), ">=")
        for row in rows
        for way in ("python", "c")
    ]
    return [*size, *same]


def _lines(rows: Sequence[Figures]) -> list[str]:
    """The table of README.md."""
    shown = [
        {
            "target": row["target"],
            "four files": f"{row['files']:,}",
            "largest packed": f"{row['alone']:,}",
            "all packed": f"{row['packed']:,}",
            "ratio": f"{row['packed'] / row['alone']:.4f}",
            **{part: f"{row['beyond'].get(part, 0):,}" for part in ("weights", "scales", "biases", "structure")},
        }
        for row in rows
    ]
    of_widest = ", ".join(f"{name} {size:,}" for name, size in sorted(rows[0]["parts"].items(), key=lambda part: -part[1]))
    return [
        *table(shown),
        "",
        "Bytes; the last four columns say what the three smaller widths add to the widest one's archive. That alone, in int8:",
        f"{of_widest}.",
    ]


if __name__ == "__main__":
    sys.exit(main())
