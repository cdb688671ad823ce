"""The terminal shows one screen a target, without colours where there is no terminal."""

from __future__ import annotations

import io
import re
from dataclasses import replace

from rich.console import Console

from edgekit.report import BudgetCheck, Verification
from edgekit.report.numbers import bytes_text, count_text, db_text, factor_text, metric_text, percent_text, seconds_text
from edgekit.report.terminal import print_report, print_summary
from tests.report.sample import sample
from tests.report.test_model import minimal


def shown(report: object, **options: str) -> str:
    file = io.StringIO()
    print_report(report, Console(file=file, width=110, highlight=False), **options)  # type: ignore[arg-type]
    return file.getvalue()


def test_a_report_is_one_plain_screen() -> None:
    text = shown(sample(), folder="edgekit-out/tflite-int8")
    assert "\x1b" not in text and len(text.splitlines()) < 40
    for words in (
        "resnet20 → tflite-int8  verified",
        "edgekit-out/tflite-int8/resnet20.tflite  284 kB (3.8 times smaller)",
        "34 ops: 19 CONV_2D, 9 ADD",
        "33.1 dB",
        "≥ 15 dB",
        "macro_f1",
        "model bytes (baseline)",
        "1 op stays float (slice: its integer form runs outside the fast kernels)",
        "! calibration has 64 samples",
    ):
        assert words in text, words


def test_what_failed_is_said_first() -> None:
    missed = Verification("source", "LiteRT", "2", "default", 8, 3.0, 1.0, floor_db=15, passed=False)
    text = shown(minimal(verification=(missed,)))
    assert "below the floor, nothing written" in text.splitlines()[0] and "< 15 dB" in text
    over = BudgetCheck("model_bytes", 10_000, 11_000, passed=False)
    assert "over budget" in shown(minimal(budget=(over,))) and "exceeded" in shown(minimal(budget=(over,)))
    assert "not verified" in shown(minimal())


def test_markup_in_names_is_not_interpreted() -> None:
    report = replace(minimal(warnings=("[red]not red[/red]",)), target="[bold]x")
    assert "[red]not red[/red]" in shown(report) and "[bold]x" in shown(report)


def test_a_summary_has_a_line_a_target() -> None:
    file = io.StringIO()
    print_summary([sample(), minimal()], Console(file=file, width=110, highlight=False))
    lines = file.getvalue().splitlines()
    assert "top1" in lines[0]
    assert "tflite-int8" in lines[2] and "0.9231" in lines[2] and "verified" in lines[2]
    assert "tflite-fp32" in lines[3] and "not verified" in lines[3]
    assert lines[5] == "  source: top1 0.9243"


def test_a_summary_shows_the_recipe_that_all_targets_share_once() -> None:
    first = sample()
    rows = {"pruned": {"trained_epochs": 4, "metrics": {"top1": 0.92}, "validation": {}}}
    record = {**first.history[0], "details": {"controls": rows}, "notes": ["one seed"]}
    report = replace(first, history=(record,))
    file = io.StringIO()
    print_summary([report, replace(report, target="onnx-fp32")], Console(file=file, width=110, highlight=False))
    text = file.getvalue()
    assert len(re.findall(r"(?m)^  step ", text)) == 1 and len(re.findall(r"(?m)^  pruned ", text)) == 1
    assert text.count("prune: one seed") == 1 and text.count("left alone") == 1


def test_numbers_read_well() -> None:
    assert [bytes_text(n) for n in (0, 999, 1000, 86_200, 999_999, 1_234_567)] == [
        "0 bytes",
        "999 bytes",
        "1.0 kB",
        "86.2 kB",
        "1.0 MB",
        "1.2 MB",
    ]
    assert [count_text(n) for n in (640, 12_501_632, 2.5e9)] == ["640", "12.5 M", "2.5 G"]
    assert [db_text(v) for v in (None, 33.14, 200.0, float("inf"), -200.0, float("nan"))] == [
        "–",
        "33.1 dB",
        "identical",
        "identical",
        "broken",
        "broken",
    ]
    assert percent_text(0.99218) == "99.22 %" and metric_text(0.923) == "0.9230" and metric_text(None) == "–"
    assert factor_text(4.0, 1.0) == "4.0 times smaller" and factor_text(1.0, 1.0) == ""
    assert [seconds_text(s) for s in (0.035, 1.239, 312.4)] == ["35 ms", "1.24 s", "5 min 12 s"]


def test_a_summary_fits_a_narrow_terminal() -> None:
    file = io.StringIO()
    print_summary([sample(), minimal()], Console(file=file, width=80, highlight=False))
    assert "verified" in file.getvalue() and "…" not in file.getvalue()


def test_a_report_fits_a_narrow_terminal() -> None:
    file = io.StringIO()
    print_report(replace(sample(), warnings=()), Console(file=file, width=80, highlight=False))
    tables = file.getvalue().partition("run in")[2]
    assert "…" not in tables and re.search(r"simulation +reference +16 +identical", tables)


def test_what_a_step_notes_is_shown_beside_what_it_warns_of() -> None:
    report = sample()
    noted = replace(report, history=({**report.history[0], "notes": ["no teacher was compared"]},))
    assert "prune: no teacher was compared" in shown(noted)


def test_controls_stand_beside_the_pruned_network() -> None:
    report = sample()
    rows = {
        "pruned": {"trained_epochs": 4, "metrics": {"top1": 0.92}, "validation": {"loss": 0.3}},
        "scratch_e": {"trained_epochs": 4, "metrics": {"top1": 0.88}, "validation": {}},
        "scratch_b": {"trained_epochs": 9, "metrics": {"top1": 0.9}, "validation": {}},
    }
    text = shown(replace(report, history=({**report.history[0], "details": {"controls": rows}},)))
    assert re.search(r"prune, from scratch, equal epochs +4 +top1 0\.8800 +–", text)
    assert re.search(r"prune, from scratch, equal compute +9 +top1 0\.9000", text)
