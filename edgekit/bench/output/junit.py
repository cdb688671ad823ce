"""A session as JUnit XML: one test case per check, comparison and stability verdict, so that a CI page shows what failed."""

from __future__ import annotations

from xml.etree import ElementTree

from edgekit.bench.budget import Verdict
from edgekit.bench.output.words import check_line, finding_line
from edgekit.bench.session import Session
from edgekit.bench.statistics import Change


def as_junit(session: Session) -> str:
    """The document; a check that cannot be answered here is a skipped case."""
    suite = ElementTree.Element("testsuite", name="edgekit bench", timestamp=session.started, hostname=session.on)
    failures = skipped = 0
    for result in session.results:
        name = result.artifact.name
        case = ElementTree.SubElement(suite, "testcase", classname=name, name="measured")
        if result.latency:
            case.set("time", f"{result.latency.median.value / 1e6:.9f}")
        if result.unstable:
            ElementTree.SubElement(case, "system-out").text = "unstable: " + "; ".join(result.unstable)
        for check in result.checks:
            case = ElementTree.SubElement(suite, "testcase", classname=name, name=f"budget {check.name}")
            if check.verdict is Verdict.FAIL:
                failures += 1
                ElementTree.SubElement(case, "failure", message=check_line(check))
            elif check.verdict is Verdict.NOT_MEASURABLE:
                skipped += 1
                ElementTree.SubElement(case, "skipped", message=check_line(check))
    for finding in session.comparison.findings if session.comparison else ():
        case = ElementTree.SubElement(suite, "testcase", classname=finding.artifact.name, name=f"regression {finding.metric}")
        if finding.change is Change.SLOWER:
            failures += 1
            ElementTree.SubElement(case, "failure", message=finding_line(finding))
        elif finding.ratio is None:
            skipped += 1
            ElementTree.SubElement(case, "skipped", message=finding_line(finding))
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(failures))
    suite.set("skipped", str(skipped))
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"
