"""``edgekit build``: parses the options into a :class:`edgekit.config.BuildRequest`; the work is :mod:`edgekit.flow`'s."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import click

from edgekit.config import (
    CONFIG_NAME,
    DEFAULT_OUTPUT,
    BuildRequest,
    Exits,
    InputType,
    IoLayout,
    absolute_source,
    find_config,
    parse_input_shape,
    parse_share,
    project_folder,
    request_from_config,
    unnamed_input,
    with_input_settings,
)
from edgekit.errors import EdgekitError, UsageError
from edgekit.stages.builds import failed
from edgekit.stream_settings import Kept, with_options
from edgekit.tables import did_you_mean
from edgekit.target import IoType


@click.command()
@click.argument("model", required=False)
@click.option("--weights", metavar="FILE", help="Trained weights for a model given as package.module:callable.")
@click.option(
    "--input-shape",
    "input_shapes",
    multiple=True,
    metavar="[NAME=]1,3,32,32[:int64]",
    help="Shape of an example input, batch first.",
)
@click.option("--train", metavar="DATA", help="What the recipe trains with: an .npz or package.module:callable.")
@click.option("--calibration", metavar="DATA", help="Inputs to calibrate with: an .npz or package.module:callable.")
@click.option("--evaluate", metavar="DATA", help="Inputs with labels (.npz), or a callable predict -> {metric: value}.")
@click.option("--max-drop", type=float, metavar="POINTS", help="What the first metric may lose; beyond it nothing is written.")
@click.option(
    "--target", "targets", multiple=True, metavar="TARGET", help="What to build for; may be repeated (`edgekit targets`)."
)
@click.option("--device", metavar="DEVICE", help="Device whose budget is binding (`edgekit targets`).")
@click.option("--output", metavar="DIR", help=f"Folder of the artifacts. [default: {DEFAULT_OUTPUT}]")
@click.option("--name", metavar="NAME", help="Name of the artifact. [default: that of the model]")
@click.option("--batch", type=click.IntRange(min=1), help="Batch of TFLite files. [default: 1]")
@click.option("--io", type=click.Choice(get_args(IoType)), help="Type of the artifact's inputs and outputs.")
@click.option("--io-layout", type=click.Choice(get_args(IoLayout)), help="Order of axes of the artifact's inputs and outputs.")
@click.option(
    "--exits", type=click.Choice(get_args(Exits)), help="staged: early exits as one file a stage too, with host code."
)
@click.option(
    "--scale", type=float, help="Raw input values are divided by this first. [default: 255 for bytes, with --mean or --std]"
)
@click.option("--mean", metavar="M[,M...]", help="Then this is subtracted, per channel or one for all.")
@click.option("--std", metavar="S[,S...]", help="Then they are divided by this, per channel or one for all.")
@click.option("--sensitivity", is_flag=True, help="Report what quantising each layer alone does to outputs and metrics.")
@click.option(
    "--streaming",
    multiple=True,
    metavar="[NAME=]AXIS",
    help="Build for frames that follow one another along this axis of the input, keeping the past in states.",
)
@click.option("--hop", type=click.IntRange(min=1), metavar="FRAMES", help="Frames of one call. [default: the fewest]")
@click.option("--state", type=click.Choice(get_args(Kept)), help="Where states are between calls. [default: io]")
@click.option("--labels", metavar="FILE", help="Names of the classes, one a line, for the report.")
@click.option("--json", "json_", is_flag=True, help="Print one JSON document on stdout and nothing else.")
@click.option("--strict", is_flag=True, help="Warnings and what this machine cannot measure count as failures.")
@click.option("--force", is_flag=True, help="Build even where nothing has changed.")
@click.option("--dump", metavar="DIR", help="Write the graph after every stage here.")
@click.option("--depfile", metavar="FILE", help="Write the files that the build read here, for Make, Ninja and CMake.")
@click.option("--baseline", metavar="REPORT", help="An earlier report.json or summary.json to compare with.")
@click.option("--max-growth", metavar="SHARE", help="How far size and cost may exceed the baseline. [default: 2%]")
def build(**options: Any) -> int:
    """Convert, compress, verify and measure a model.

    MODEL is package.module:callable, or a .pt2, .onnx, .tflite, .keras, .h5 or .ekg file. Without it, the
    edgekit.toml in this folder or above says what
    to build; options given here go before it.
    """
    try:
        return _build(options)
    except EdgekitError as error:
        if options["json_"]:  # what ended the build before there was a target to report on
            click.echo(json.dumps(failed(error), indent=2))
        raise


def _build(options: dict[str, Any]) -> int:
    request = make_request(options)
    # Threads that wait without spinning: on a busy machine a build is then many times faster, on an idle one as fast.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from edgekit.flow import build_from_request  # late: up to here nothing heavy is imported

    return build_from_request(request)


def make_request(options: dict[str, Any]) -> BuildRequest:
    """The build that the command line and, without MODEL, edgekit.toml ask for.

    Raises:
        UsageError: an option that cannot be read, no model or no target.
        ConfigError: a wrong edgekit.toml.
    """
    request = _override(_base(options["model"], Path.cwd()), options)
    if not request.targets:
        raise UsageError("no target given", where=_origin(request), hint="--target NAME; `edgekit targets` lists them")
    return request


def _base(model: str | None, here: Path) -> BuildRequest:
    config = find_config(here)
    if model is None:
        if config is None:
            hint = f"edgekit build MODEL --target TARGET, or `edgekit init` to write an {CONFIG_NAME}"
            raise UsageError(f"no MODEL given, and no {CONFIG_NAME} in this folder or above", where=here, hint=hint)
        return request_from_config(config)
    if config is not None:
        # Its other settings (preprocessing, recipe) belong to the model that it names, so they are not applied to this one.
        click.echo(f"note: MODEL is given, so {config} is not read; its folder is on sys.path", err=True)
    return BuildRequest(model=absolute_source(model, here), root=project_folder(here), targets=(), output=here / DEFAULT_OUTPUT)


def _override(request: BuildRequest, options: dict[str, Any]) -> BuildRequest:
    """The request with everything that was given on the command line, where relative paths start in the current folder."""
    here = Path.cwd()
    given = {key: value for key, value in options.items() if value is not None}
    changes: dict[str, Any] = {
        key: given[key] for key in ("name", "device", "batch", "io", "io_layout", "exits", "max_drop") if key in given
    }
    changes |= {
        key: here / given[key] for key in ("weights", "output", "labels", "dump", "depfile", "baseline") if key in given
    }
    changes |= {key: absolute_source(given[key], here) for key in ("train", "calibration", "evaluate") if key in given}
    changes |= {"json": options["json_"], "strict": options["strict"], "force": options["force"]}
    if options["sensitivity"]:
        changes["quantization"] = replace(request.quantization, sensitivity=True)
    if options["targets"]:
        changes["targets"] = tuple(options["targets"])
    if "max_growth" in given:
        try:
            changes["max_growth"] = parse_share(given["max_growth"])
        except ValueError as error:
            raise UsageError(str(error), where="--max-growth", hint="for example --max-growth 2%") from None
        if request.baseline is None and "baseline" not in given:
            raise UsageError(
                "--max-growth without --baseline",
                where="--max-growth",
                hint="--baseline REPORT names the report to compare with",
            )
    try:
        changes["streaming"] = with_options(request.streaming, options["streaming"], options["hop"], options["state"])
    except ValueError as error:
        hint = "--streaming 2, or --streaming NAME=2 for each input; `edgekit build --help`"
        raise UsageError(str(error), where="--streaming", hint=hint) from None
    request = replace(request, **changes)
    unnamed, configured = 0, tuple(request.inputs)
    for text in options["input_shapes"]:
        name, shape, dtype = parse_input_shape(text)
        if not name and not configured:
            unnamed += 1
            name = unnamed_input(unnamed)
        elif not name and len(options["input_shapes"]) > 1:
            raise UsageError(
                f"which input is '{text}' for? {CONFIG_NAME} names them",
                where="--input-shape",
                hint=f"--input-shape NAME={text}; known: {', '.join(configured)}",
            )
        if dtype is not None and dtype not in get_args(InputType):
            raise UsageError(
                f"unknown type '{dtype}' in '{text}'", where="--input-shape", hint=did_you_mean(dtype, get_args(InputType))
            )
        if name or not configured:
            request = _changed(request, name, "--input-shape", shape=shape, dtype=dtype)
        else:
            request = _with_only_input(request, "--input-shape", shape=shape, dtype=dtype)
    mean, std = (_numbers(options[key], f"--{key}") for key in ("mean", "std"))
    if (options["scale"], mean, std) != (None, None, None):
        request = _with_only_input(request, "--scale, --mean, --std", scale=options["scale"], mean=mean, std=std)
    return request


def _with_only_input(request: BuildRequest, where: str, **settings: object) -> BuildRequest:
    """Settings of the only input that the request knows, or of the one that the model will turn out to have."""
    if len(request.inputs) > 1:
        known = ", ".join(name or "(unnamed)" for name in request.inputs)
        raise UsageError(
            f"which input is meant? The model has several: {known}", where=where, hint=f"[input.NAME] in {CONFIG_NAME}"
        )
    return _changed(request, next(iter(request.inputs), ""), where, **settings)


def _changed(request: BuildRequest, name: str, where: str, **settings: object) -> BuildRequest:
    """Settings of the input under this key."""
    try:
        return with_input_settings(request, name, **settings)
    except ValueError as error:
        raise UsageError(str(error), where=where, hint="`edgekit build --help` explains the options") from None


def _numbers(text: str | None, where: str) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError:
        raise UsageError(
            f"cannot read the numbers '{text}'", where=where, hint=f"for example {where} 0.485,0.456,0.406"
        ) from None


def _origin(request: BuildRequest) -> object:
    return request.config_file or "edgekit build"
