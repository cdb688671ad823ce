"""``edgekit doctor``: renders what :mod:`edgekit.doctor` finds."""

from __future__ import annotations

import dataclasses
import json

import click

from edgekit import doctor as examination


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def doctor(as_json: bool) -> None:
    """Show versions and tools found, and what each missing one disables."""
    system, findings = examination.system(), examination.examine()
    if as_json:
        document = {
            "schema": "edgekit.doctor/1",
            "system": system,
            "findings": [
                {**dataclasses.asdict(finding.need), "found": finding.version is not None, "version": finding.version}
                for finding in findings
            ],
        }
        click.echo(json.dumps(document, indent=2))
        return
    for name, value in system.items():
        click.echo(f"{name:<22} {value}")
    click.echo()
    for finding in findings:
        need = finding.need
        if finding.version is not None:
            click.echo(f"{need.name:<22} {finding.version or 'found'}")
        else:
            click.echo(f"{need.name:<22} missing; without it: {need.enables}\n{'':<22} {need.remedy}")
