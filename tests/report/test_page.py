"""The page: all of the report is on it, nothing of it is run or loaded, and what came from outside is text."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from edgekit.report import Declined, Evaluation, IoTensor, Layer, PassInfo, Report, SourceInfo, Verification
from edgekit.report.markup import Column, Html, element, table
from edgekit.report.page import headline, to_html
from tests.report.sample import sample
from tests.report.test_model import minimal

VOID = {"meta", "br", "hr", "link", "img", "input"}


class Checker(HTMLParser):
    """Collects elements and text, and fails where elements are not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)


def check(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    checker.close()
    assert checker.open == []
    return checker


def test_everything_measured_is_on_the_page() -> None:
    text = " ".join(check(to_html(sample())).words)
    for words in (
        "→ tflite-int8",
        "Verified",
        "284 kB",
        "33.1 dB",
        "99.22 %",
        "calibration has 64 samples",
        "Where the error comes from",
        "Where the bytes go",
        "283,612 bytes in the file",
        "its integer form runs outside the fast kernels",
        "class Resnet20",
        "fold batch norm",
        "the padded dimension is the channel",
        "51.2 M → 40.6 M",
        "not measured",
        "identical",
        "models/resnet.py:31",
        "2.13.0",
    ):
        assert words in text, words


@pytest.mark.parametrize("report", [sample(), minimal()], ids=["full", "minimal"])
def test_the_page_loads_and_runs_nothing(report: Report) -> None:
    page = check(to_html(report))
    assert not {"script", "link", "img", "iframe", "object", "embed"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on") or name in ("src", "srcset", "style")]
    urls = {value for name, value in page.attributes if name.endswith(("href", "xmlns"))}
    assert urls <= {"http://www.w3.org/2000/svg"}
    assert "default-src 'none'" in to_html(report)


def test_text_from_outside_is_text() -> None:
    evil = '<script>alert("1")</script>&amp;$body'
    report = replace(
        minimal(),
        source=SourceInfo(evil, evil, weights=evil, notes=(evil,)),
        target=evil,
        tools={evil: evil},
        config={evil: evil},
        warnings=(evil,),
        passes=(PassInfo(evil, 1, (Declined(evil, evil, evil),)),),
        layers=(
            Layer(evil, evil, evil, (1,), evil, 1, 1, (0.1, 0.1), 1, 10.0, 20.0, evil),
            Layer(evil + "2", evil, evil, (1,), evil, 1, 1, None, 0, 11.0, 21.0),
        ),
        evaluation=(Evaluation(evil, 1.0, 1.0, 1.0),),
        verification=(Verification("source", evil, evil, evil, 1, 3.0, 1.0),),
        io=replace(
            sample().io, inputs=(IoTensor(evil, (1, 2), (None, 2), "source", "float32"),), labels=(evil,), snippets={evil: evil}
        ),
    )
    page = check(to_html(report))
    assert "script" not in page.tags
    assert " ".join(page.words).count(evil) > 15


def test_a_failed_build_says_so() -> None:
    missed = Verification("source", "LiteRT", "2", "default", 8, 3.0, 1.0, floor_db=15, passed=False)
    text = " ".join(check(to_html(minimal(verification=(missed,)))).words)
    assert "Below the floor" in text and "missed" in text
    assert "Not verified" in " ".join(check(to_html(minimal())).words)


def test_the_headline_is_what_an_app_gets_against_the_source() -> None:
    rows = {
        (against, kernels): Verification(against, "LiteRT", "2", kernels, 8, 3.0, 1.0)  # type: ignore[arg-type]
        for against in ("simulation", "graph", "source")
        for kernels in ("reference", "default")
    }
    assert headline(minimal(verification=tuple(rows.values()))) == rows["source", "default"]
    assert headline(minimal()) is None


def test_plots_have_a_bar_a_layer_and_name_the_falls() -> None:
    page = to_html(sample())
    bars = re.search(r'aria-label="Layers by the error that they cause".*?</svg>', page, re.DOTALL)
    assert bars is not None and bars[0].count("<rect") == 13  # twelve layers and the others
    descent = re.search(r'aria-label="Signal to noise along the network".*?</svg>', page, re.DOTALL)
    assert descent is not None and descent[0].count("<circle") == len([x for x in sample().layers if x.sqnr_db is not None])
    assert 'class="fall"' in descent[0]


def test_tables_leave_out_columns_that_are_empty_and_escape_cells() -> None:
    out = table([Column("a"), Column("b"), Column("c", True)], [("<", "", 1), ("x", "–", Html("<b>y</b>"))])
    assert "<th>b</th>" not in out and "&lt;" in out and "<b>y</b>" in out and 'class="number"' in out
    assert table([Column("a")], []) == ""
    assert element("p", "a & b", css='x"y') == '<p class="x&quot;y">a &amp; b</p>'


def test_notes_of_a_step_are_no_warnings() -> None:
    report = sample()
    page = to_html(replace(report, history=({**report.history[0], "warnings": [], "notes": ["no teacher was compared"]},)))
    assert '<ul class="notes"><li>prune: no teacher was compared</li></ul>' in page


def test_controls_stand_beside_the_pruned_network_and_have_curves_of_their_own() -> None:
    epoch = {"terms": {"task": 0.5}, "training": {"top1": 0.9}, "validation": {}}
    rows = {
        "pruned": {"trained_epochs": 2, "metrics": {"top1": 0.92}, "validation": {"loss": 0.3}},
        "scratch_e": {"trained_epochs": 2, "metrics": {"top1": 0.88}, "validation": {}, "epochs": [epoch, epoch]},
    }
    report = sample()
    page = to_html(replace(report, history=({**report.history[0], "details": {"epochs": [epoch], "controls": rows}},)))
    words = " ".join(check(page).words)
    assert "prune, from scratch, equal epochs" in words and "top1 0.8800" in words
    assert ">1 prune</text>" in page and ">1 scratch-e</text>" in page
