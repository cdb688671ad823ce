"""``edgekit targets``: what can be built for."""

from __future__ import annotations

import dataclasses
import json

import click

from edgekit.target import Device, Target, device_names, target_names


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def targets(as_json: bool) -> None:
    """List targets and devices."""
    known_targets = [Target.load(name) for name in target_names()]
    known_devices = [Device.load(name) for name in device_names()]
    if as_json:
        document = {
            "schema": "edgekit.targets/1",
            "targets": [_plain(target) for target in known_targets],
            "devices": [_plain(device) for device in known_devices],
        }
        click.echo(json.dumps(document, indent=2))
        return
    width = max(len(name) for name in target_names() + device_names())
    click.echo("Targets: a runtime and a precision (--target NAME, or a path to your own file)")
    for target in known_targets:
        click.echo(f"  {target.name:<{width}}  {target.description}")
    click.echo("\nDevices: hardware and a budget (--device NAME, or a path to your own file)")
    for device in known_devices:
        click.echo(f"  {device.name:<{width}}  {device.description}")


def _plain(fact: Target | Device) -> dict[str, object]:
    """A fact as JSON: the content of its file plus its name; the path depends on the installation and is left out."""
    content = dataclasses.asdict(fact)
    del content["path"]
    return {"name": content.pop("name"), **content}
