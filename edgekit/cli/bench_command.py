"""``edgekit bench``: parses the options; the work is :mod:`edgekit.bench`'s."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from edgekit import __version__
from edgekit.bench.launch import Mode, Request
from edgekit.errors import UsageError

if TYPE_CHECKING:
    from edgekit.bench.execute import Arm
    from edgekit.bench.rounds import Progress, Stopping
    from edgekit.bench.session import Session
    from edgekit.bench.transport.choose import TransportOptions
    from edgekit.target import Device

#: Launches (first look, at most) per mode; a paced launch takes seconds, a soak minutes.
_LAUNCHES = {"burst": (15, 40), "cold": (15, 40), "paced": (5, 10), "soak": (1, 1)}


@click.command()
@click.argument("artifacts", nargs=-1, metavar="ARTIFACT...")
@click.option(
    "--on",
    default="local",
    show_default=True,
    metavar="DEVICE",
    help="local, ssh://user@host[:port], adb[:serial], qemu[:cpu].",
)
@click.option("--device", metavar="NAME", help="Device whose budget is binding (`edgekit targets`), or your own .toml.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads of the runtime. [default: the device's, else 1]")
@click.option("--mode", type=click.Choice(get_args(Mode)), help="What is measured. [default: burst]")
@click.option("--rate", metavar="10/s", help="Inferences a second; makes the mode paced.")
@click.option("--duration", type=click.FloatRange(min=1), help="Seconds of a soak; makes the mode soak. [default: 60]")
@click.option("--launches", type=click.IntRange(min=1), help="Processes per artifact. [default: 15]")
@click.option(
    "--max-launches", type=click.IntRange(min=1), help="Processes at most, where the interval stays wide. [default: 40]"
)
@click.option("--calls", type=click.IntRange(min=1), default=30, show_default=True, help="Least timed calls per launch.")
@click.option("--seconds", type=click.FloatRange(min=0), default=0.5, show_default=True, help="Least timed seconds per launch.")
@click.option("--cpus", metavar="0,1", help="Cores to run on.")
@click.option(
    "--runtime", type=click.Choice(("auto", "litert", "tflite-runtime", "onnxruntime")), default="auto", show_default=True
)
@click.option("--kernels", type=click.Choice(("default", "builtin", "reference")), default="default", show_default=True)
@click.option("--input", "input_", metavar="NPZ", help="Inputs. [default: seeded random numbers]")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the random inputs.")
@click.option("--golden", metavar="NPZ", help="Outputs to compare the first call's with.")
@click.option(
    "--tolerance", type=click.FloatRange(min=0), default=0.0, show_default=True, help="Largest difference from --golden."
)
@click.option(
    "--compare", metavar="OLD.json", help="An earlier session's --json: fails where something became slower or larger."
)
@click.option("--margin", default="2%", show_default=True, metavar="SHARE", help="Change that --compare lets pass.")
@click.option("--profile", is_flag=True, help="Time per operator, in a process of its own.")
@click.option("--device-binary", metavar="FILE", help="A benchmark_model built for the device, instead of Python there.")
@click.option("--python", metavar="PATH", help="Python on the device. [default: python3]")
@click.option("--ssh-config", metavar="FILE", help="Configuration file for ssh.")
@click.option("--folder", metavar="PATH", help="Where to put files on the device. [default: /tmp, /data/local/tmp]")
@click.option("--keep", is_flag=True, help="Leave files on the device, for the next time.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document (edgekit.bench/1) and nothing else.")
@click.option("--markdown", is_flag=True, help="Print Markdown.")
@click.option("--junit", metavar="FILE", help="Also write JUnit XML here.")
@click.option("--strict", is_flag=True, help="Warnings and what cannot be measured here count as failures.")
@click.option(
    "--setup-qemu",
    is_flag=True,
    help="Bring what --on qemu needs, and say what is missing. With --runtime onnxruntime: also for .onnx files.",
)
@click.option("--userland", is_flag=True, help="With --setup-qemu: also a Python for ARM64, for models with variable tensors.")
def bench(**options: Any) -> int:
    """Measure models on a device, against its budget.

    Several artifacts are measured in turn and compared. Exit codes: 0 good, 3 over budget or slower than --compare, 5 outputs
    differ from --golden, 6 device or transport, 7 too noisy to decide.
    """
    if options["setup_qemu"]:
        from edgekit.bench import qemu

        onnx = options["runtime"] == "onnxruntime"
        qemu.set_up(lambda line: click.echo(line, err=True), onnx=onnx, userland=options["userland"])
        if not options["artifacts"]:
            return 0
    if not options["artifacts"]:
        raise UsageError("no ARTIFACT given", where="edgekit bench", hint="edgekit bench model.tflite")
    if options["profile"]:
        return _profile(options)
    _look_ahead(options)
    session = _session(options)
    if options["compare"]:
        from edgekit.bench.compare import compare

        margin = _share(options["margin"])
        session = replace(
            session, comparison=compare(Path(options["compare"]), session.results, session.on, margin), margin=margin
        )
    code = session.exit_code(strict=options["strict"])
    _show(session, code, options)
    return code


def _look_ahead(options: dict[str, Any]) -> None:
    """Raise at once what would only be found after minutes of measuring: an older session that is none, nowhere to write."""
    if options["compare"]:
        from edgekit.bench.compare import read_document

        read_document(Path(options["compare"]))
    if options["junit"] and not Path(options["junit"]).absolute().parent.is_dir():
        from edgekit.errors import OutputError

        raise OutputError(f"cannot write '{options['junit']}': there is no such folder", hint="--junit FILE")
    _share(options["margin"])


def _session(options: dict[str, Any]) -> Session:
    """Measure as the options say."""
    from edgekit.bench import session as sessions
    from edgekit.bench.execute import Arm
    from edgekit.bench.transport.choose import open_transport
    from edgekit.target import Device

    device = Device.load(options["device"]) if options["device"] else None
    request, stopping = _request(options, device)
    inputs = {key: Path(options[name]) if options[name] else None for key, name in (("input", "input_"), ("golden", "golden"))}
    arms = [Arm(Path(artifact), **inputs) for artifact in options["artifacts"]]
    on = options["on"]
    if on == "qemu" or on.startswith("qemu:"):
        return sessions.examine(arms, request, cpu=on[5:] or "cortex-a53", device=device)
    if on == "local" and device and device.runtime.name == "tflite-micro":
        return sessions.examine(arms, request, cpu=None, device=device)
    with open_transport(on, _ways(options)) as transport:
        if options["device_binary"]:
            return _with_binary(options, transport, arms, request, stopping, device)
        python = options["python"] or (sys.executable if on == "local" else "python3")
        with _progress() as progress:
            measured = sessions.measure(transport, arms, request, stopping, python=python, device=device, progress=progress)
        return replace(measured, tolerance=options["tolerance"])


def _with_binary(
    options: dict[str, Any], transport: Any, arms: list[Arm], request: Request, stopping: Stopping, device: Device | None
) -> Session:
    from edgekit.bench.binary import BinaryExecutor
    from edgekit.bench.session import measure

    executor = BinaryExecutor(transport, arms, request, Path(options["device_binary"]))
    with _progress() as progress:
        return measure(transport, arms, request, stopping, python="", device=device, progress=progress, executor=executor)


def _profile(options: dict[str, Any]) -> int:
    from edgekit.bench.profile import as_json, as_text, profile
    from edgekit.bench.transport.choose import open_transport

    on = options["on"]
    if on == "qemu" or on.startswith("qemu:"):
        hint = "--profile on local, ssh:// or adb; an emulator's times mean nothing"
        raise UsageError("operators are not timed under emulation", where=f"--on {on}", hint=hint)
    python = options["python"] or (sys.executable if on == "local" else "python3")
    with open_transport(on, _ways(options)) as transport:
        profiles = [
            (Path(artifact), profile(transport, Path(artifact), python=python, threads=options["threads"] or 1))
            for artifact in options["artifacts"]
        ]
    click.echo(as_json(profiles) if options["as_json"] else as_text(profiles))
    return 0


def _ways(options: dict[str, Any]) -> TransportOptions:
    from edgekit.bench.transport.choose import TransportOptions

    return TransportOptions(options["ssh_config"], options["folder"], options["keep"])


def _request(options: dict[str, Any], device: Device | None) -> tuple[Request, Stopping]:
    """What each launch does, and how many there are.

    Raises:
        UsageError: options that contradict each other.
    """
    from edgekit.bench.rounds import Stopping

    implied: list[Mode] = []
    implied += ["paced"] if options["rate"] is not None else []
    implied += ["soak"] if options["duration"] is not None else []
    mode: Mode = options["mode"] or (implied[0] if implied else "burst")
    if len(implied) > 1 or any(other != mode for other in implied):
        raise UsageError(f"--mode {mode} does not go with the other options", hint="--rate is of paced, --duration of soak")
    launches, at_most = _LAUNCHES[mode]
    if options["launches"]:
        launches = options["launches"]
        at_most = max(at_most, launches) if mode != "soak" else launches
    at_most = options["max_launches"] or at_most
    request = Request(
        mode=mode,
        runtime=options["runtime"],
        kernels=options["kernels"],
        threads=options["threads"] or (device.runtime.threads if device else 1),
        cpus=options["cpus"],
        seed=options["seed"],
        calls=options["calls"],
        seconds=options["seconds"],
        rate=_rate(options["rate"]) if options["rate"] else 10.0,
        duration=options["duration"] or 60.0,
    )
    return request, Stopping(launches=launches, at_most=at_most)


def _rate(text: str) -> float:
    try:
        rate = float(text.removesuffix("/s"))
    except ValueError:
        rate = 0.0
    if not 0 < rate < 1e6:
        raise UsageError(f"not a rate: '{text}'", where="--rate", hint="--rate 10/s")
    return rate


def _share(text: str) -> float:
    from edgekit.config import parse_share

    try:
        return parse_share(text)
    except ValueError as error:
        raise UsageError(str(error), where="--margin", hint="--margin 2%") from None


def _show(session: Session, code: int, options: dict[str, Any]) -> None:
    """Print the session in the form that was asked for, and write the JUnit file."""
    if options["junit"]:
        from edgekit.bench.output.junit import as_junit

        try:
            Path(options["junit"]).write_text(as_junit(session))
        except OSError as error:
            from edgekit.errors import OutputError

            raise OutputError(f"cannot write '{options['junit']}': {error.strerror}", hint="--junit FILE") from None
    if options["as_json"]:
        from edgekit.bench.output.document import as_document

        click.echo(json.dumps(as_document(session, version=__version__, exit_code=code), indent=2))
    elif options["markdown"]:
        from edgekit.bench.output.markdown import as_markdown

        click.echo(as_markdown(session), nl=False)
    else:
        from rich.console import Console

        from edgekit.bench.output.table import print_table

        print_table(session, Console())


@contextmanager
def _progress() -> Iterator[Progress | None]:
    """A progress bar on stderr while a terminal is there to see it."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("launches"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[width]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None, width="")

        def tell(done: int, at_most: int, width: float | None) -> None:
            bar.update(task, completed=done, total=at_most, width="" if width is None else f"+-{width * 100:.1f} %")

        yield tell
