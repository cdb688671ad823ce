"""Targets and devices: facts in TOML files, read into frozen dataclasses.

A **target** (``targets/<name>.toml``) states what a runtime and a precision demand of an artifact; see :class:`Target`.

A **device** (``targets/devices/<name>.toml``) states hardware and a budget; see :class:`Device`. Its schema::

    description = "Raspberry Pi Zero 2 W"
    [hardware]                           # facts; only `soc` and `abi` are required
    soc           = "BCM2710A1"
    cpu           = "4x Cortex-A53"      # for people
    qemu_cpu      = "cortex-a53"         # the emulated core whose instructions are counted; absent where there is none
    cores         = 4
    clock_mhz     = 1000
    ram_bytes     = 536_870_912
    flash_bytes   = 0                    # micro-controllers only
    abi           = "arm64-v8a"          # arm64-v8a, armeabi-v7a, armv7e-m, armv8-m, x86_64
    [runtime]
    name          = "litert"             # litert, onnxruntime, tflite-micro
    threads       = 1
    targets       = ["tflite-int8"]      # optional: the targets that make sense there
    [budget]                             # every key is optional; what is absent is not checked
    p95_latency_ms    = 16.7             # only ever judged on the device itself
    peak_memory_bytes = 25_165_824       # of the kind that `memory` names
    memory            = "rss_anon_delta" # rss_anon_delta (default), total_rss or vm_hwm
    model_bytes       = 4_194_304        # size of the artifact file
    arena_bytes       = 262_144          # TFLite Micro's tensor arena
    instructions      = 10_000_000       # per inference on [hardware] qemu_cpu

The name on the command line is the file's name without ``.toml``, or a path to the user's own file.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal, TypeVar

from edgekit import tables
from edgekit.errors import ConfigError, UsageError
from edgekit.precision import ActivationType, Precision, WeightType

Granularity = Literal["per_tensor", "per_channel"]
LinearGranularity = Literal["per_tensor", "per_channel", "chosen"]
IoType = Literal["float32", "int8", "uint8", "int16"]
Runtime = Literal["litert", "tflite-micro", "onnxruntime", "c99", "larq"]


@dataclass(frozen=True)
class WeightFormat:
    """How constants of convolutions, matrix products and recurrent layers are stored."""

    dtype: WeightType
    granularity: Granularity = "per_channel"
    symmetric: bool = True


@dataclass(frozen=True)
class ActivationFormat:
    """How tensors between ops are represented at run time."""

    dtype: ActivationType
    granularity: Literal["per_tensor"] = "per_tensor"
    symmetric: bool = False


@dataclass(frozen=True)
class Quantization:
    """What a target stores and computes in fewer bits.

    Attributes:
        weights: format of the weights; float32 where absent.
        activations: format of activations; float32 where absent. Integers make the target a static one: it needs calibration
            data.
        io: type of the artifact's inputs and outputs unless the user says otherwise.
        fully_connected: granularity of the weights of fully connected layers, where it differs from ``weights.granularity``;
            "chosen": one scale for the layers that lose next to nothing by it, where scales are much of the file
            (``edgekit.compress.mixed_precision.granularity``).
        packs_binary_weights: weights of binary linear layers are stored in 2 or 4 bits.
    """

    weights: WeightFormat | None = None
    activations: ActivationFormat | None = None
    io: IoType = "float32"
    fully_connected: LinearGranularity | None = None
    packs_binary_weights: bool = False

    @property
    def needs_calibration(self) -> bool:
        """True where ranges of activations must be known before the artifact can be written."""
        return self.precision.activations != "float32"

    @property
    def precision(self) -> Precision:
        """The types of every layer that nothing else is said about."""
        return Precision(
            "float32" if self.weights is None else self.weights.dtype,
            "float32" if self.activations is None else self.activations.dtype,
        )


@dataclass(frozen=True)
class Parity:
    """The floor below which an artifact is refused.

    Attributes:
        min_sqnr_db: signal to quantisation noise against the source, in dB, of the tensor before a final softmax or sigmoid.
        min_top1_agreement: share of samples with the same largest output (0 to 1), or None.
        binary: the floor of networks with signs, a few of which turn round whole; None: the same.
    """

    min_sqnr_db: float
    min_top1_agreement: float | None = None
    binary: Parity | None = None

    def __post_init__(self) -> None:
        if self.min_top1_agreement is not None and not 0 <= self.min_top1_agreement <= 1:
            raise ValueError(f"'min_top1_agreement' is a share between 0 and 1, not {self.min_top1_agreement}")


@dataclass(frozen=True)
class Target:
    """A runtime and a precision: what an artifact for it must be.

    Attributes:
        description: one line for people.
        exporter: which writer makes the artifact.
        runtime: which runtime verifies and runs it.
        min_runtime: the oldest version of that runtime that loads and runs such a file.
        parity: the floor that verification holds it to.
        quantization: what is stored and computed in fewer bits.
        name: the file's name without suffix.
        path: the file that it was read from.
    """

    description: str
    exporter: Literal["tflite", "onnx"]
    runtime: Runtime
    min_runtime: str
    parity: Parity
    quantization: Quantization = Quantization()
    name: str = ""
    path: Path = Path()

    @property
    def suffix(self) -> str:
        """The artifact's file name suffix, with the dot."""
        return f".{self.exporter}"

    @classmethod
    def load(cls, name: str | Path) -> Target:
        """The target of this name or file; UsageError for an unknown one, ConfigError for a wrong file."""
        return _load(cls, name, targets_folder(), "target")


@dataclass(frozen=True)
class Hardware:
    """Facts about a device; sizes in bytes, the clock in MHz."""

    soc: str
    abi: Literal["arm64-v8a", "armeabi-v7a", "armv7e-m", "armv8-m", "x86_64"]
    cpu: str | None = None
    qemu_cpu: str | None = None
    cores: int | None = None
    clock_mhz: float | None = None
    ram_bytes: int | None = None
    flash_bytes: int | None = None


@dataclass(frozen=True)
class DeviceRuntime:
    """How models run there."""

    name: Runtime
    threads: int = 1
    targets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Budget:
    """What an artifact may cost; a check whose figure is None is not made.

    Attributes:
        p95_latency_ms: 95th percentile of the latency on the device itself, in milliseconds.
        peak_memory_bytes: of the kind that ``memory`` names.
        memory: anonymous memory that the model adds, the process's resident memory, or its high-water mark.
        model_bytes: size of the artifact file.
        arena_bytes: TFLite Micro's tensor arena.
        instructions: per inference, counted on the hardware's ``qemu_cpu``; of a file with early exits the worst case.
        mean_instructions: of a sample in the mean, by the exit rates that the file names; of other files every inference's.
    """

    p95_latency_ms: float | None = None
    peak_memory_bytes: int | None = None
    memory: Literal["rss_anon_delta", "total_rss", "vm_hwm"] = "rss_anon_delta"
    model_bytes: int | None = None
    arena_bytes: int | None = None
    instructions: int | None = None
    mean_instructions: int | None = None

    def __post_init__(self) -> None:
        for name in ("p95_latency_ms", "peak_memory_bytes", "model_bytes", "arena_bytes", "instructions", "mean_instructions"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"'{name}' must be above 0, not {value}")


@dataclass(frozen=True)
class Device:
    """A piece of hardware with the budget that an artifact must keep there.

    Attributes:
        description: one line for people.
        hardware: facts.
        runtime: how models run there.
        budget: the limits; naming the device on the command line makes them binding.
        name: the file's name without suffix.
        path: the file that it was read from.
    """

    description: str
    hardware: Hardware
    runtime: DeviceRuntime
    budget: Budget = Budget()
    name: str = ""
    path: Path = Path()

    @classmethod
    def load(cls, name: str | Path) -> Device:
        """The device of this name or file; UsageError for an unknown one, ConfigError for a wrong file."""
        return _load(cls, name, targets_folder() / "devices", "device")


@cache
def targets_folder() -> Path:
    """The folder of target files: installed inside the package, or beside setup.cfg in a checkout.

    Found by path, because importlib.resources does not see a package_dir in an editable install.
    """
    package = Path(__file__).parent
    installed, checkout = package / "targets", package.parent / "targets"
    if not installed.is_dir() and (package.parent / "setup.cfg").is_file():
        return checkout
    return installed


def target_names() -> tuple[str, ...]:
    """Names of the targets that come with edgekit, sorted."""
    return _names(targets_folder())


def device_names() -> tuple[str, ...]:
    """Names of the devices that come with edgekit, sorted."""
    return _names(targets_folder() / "devices")


def _names(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in folder.glob("*.toml")))


_Fact = TypeVar("_Fact", Target, Device)


def _load(cls: type[_Fact], name: str | Path, folder: Path, kind: str) -> _Fact:
    path = _find(str(name), folder, kind)
    table = tables.read_toml(path)
    for key in ("name", "path"):  # these two are the file's, not keys in it
        if key in table:
            raise ConfigError(f"unknown key '{key}'", where=path, hint=f"a {kind}'s name is the name of its file")
    return replace(tables.parse(cls, table, file=path), name=path.stem, path=path)


def _find(name: str, folder: Path, kind: str) -> Path:
    known = _names(folder)
    if name in known:
        return folder / f"{name}.toml"
    looks_like_a_path = name.endswith(".toml") or "/" in name
    if looks_like_a_path and Path(name).is_file():
        return Path(name).resolve()
    if looks_like_a_path:
        hint = f"a path to a .toml file, or one of: {', '.join(known)}"
        raise UsageError(f"no {kind} file '{name}'", where=Path(name).absolute(), hint=hint)
    hint = tables.did_you_mean(name, known) + " (`edgekit targets` lists all)"
    raise UsageError(f"unknown {kind} '{name}'", where=f"--{kind} {name}", hint=hint)
