"""edgekit.toml: found, read and validated; and what one build is asked to do, from the file and the command line together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

from edgekit import tables
from edgekit.errors import ConfigError, UsageError
from edgekit.precision import Fallback, LayerPrecision, PrecisionBudget
from edgekit.stream_settings import Streaming
from edgekit.target import IoType

CONFIG_NAME = "edgekit.toml"
DEFAULT_OUTPUT = "edgekit-out"

IoLayout = Literal["source", "channels_last"]
Exits = Literal["one_file", "staged"]
DataLayout = Literal["NCHW", "NHWC", "NCW", "NWC"]
InputType = Literal["float32", "uint8", "int8", "int32", "int64", "bool"]

#: ``package.module:callable``; anything else names a file or folder.
_REFERENCE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_INPUT_SHAPE = re.compile(r"(?:(?P<name>[^=,:]+)=)?(?P<shape>\d+(?:,\d+)*)(?::(?P<dtype>\w+))?")


def _per_channel(owner: object, name: str, value: float | tuple[float, ...] | None) -> None:
    """A single number counts for every channel: kept as a tuple of one."""
    if isinstance(value, float):
        object.__setattr__(owner, name, (value,))


@dataclass(frozen=True)
class InputSettings:
    """``[input.NAME]``: what is declared about one input of the model.

    Preprocessing, where declared, is ``(value / scale - mean) / std`` per channel and becomes part of the artifact.

    Attributes:
        shape: example shape with the batch first.
        dtype: type that the model wants.
        scale: what raw values are divided by. None: not declared; with mean or std, bytes are then divided by 255.
        mean: per channel, or one number for all.
        std: per channel, or one number for all.
        layout: order of axes in the user's data, where it is not the model's.
        io: type of the artifact's input.
        io_layout: order of axes of the artifact's input.
    """

    shape: tuple[int, ...] | None = None
    dtype: InputType | None = None
    scale: float | None = None
    mean: float | tuple[float, ...] | None = None
    std: float | tuple[float, ...] | None = None
    layout: DataLayout | None = None
    io: IoType | None = None
    io_layout: IoLayout | None = None

    def __post_init__(self) -> None:
        _per_channel(self, "mean", self.mean)
        _per_channel(self, "std", self.std)
        if self.shape is not None and (not self.shape or min(self.shape) < 1):
            raise ValueError(f"'shape' is a list of positive sizes, the batch first, not {list(self.shape)}")
        if self.scale is not None and not self.scale > 0:
            raise ValueError(f"'scale' must be above 0, not {self.scale}")
        if isinstance(self.std, tuple) and not all(value > 0 for value in self.std):
            raise ValueError(f"'std' must be above 0, not {list(self.std)}")
        if isinstance(self.mean, tuple) and isinstance(self.std, tuple) and len({len(self.mean), len(self.std)} - {1}) > 1:
            raise ValueError(f"'mean' has {len(self.mean)} channels and 'std' {len(self.std)}")

    @property
    def preprocesses(self) -> bool:
        """True where raw values are declared to differ from what the model wants."""
        return any(value is not None for value in (self.scale, self.mean, self.std, self.layout))


@dataclass(frozen=True)
class OutputSettings:
    """``[output.NAME]``: type and order of axes of one output of the artifact."""

    io: IoType | None = None
    io_layout: IoLayout | None = None


@dataclass(frozen=True)
class QuantizationSettings:
    """``[quantization]``: how ranges are found, and which layers differ from what the target says.

    Attributes:
        observer: how the range of an activation is taken from the calibration data; None leaves it to the quantizer.
        percentile: share of values inside the range (with ``observer = "percentile"``).
        bias_correction: shift biases by the mean error that rounding the weights causes; None leaves it to the quantizer.
        rounding: of weights; "adaround" learns which go up and which down, some seconds a layer.
        rounding_iterations: for each layer (with ``rounding = "adaround"``).
        equalize: make the channels' ranges of consecutive layers equal first (cross-layer equalisation).
        replace_relu6: ReLU6 becomes ReLU where that lets layers be equalised; changes the function.
        absorb_bias: what biases add to almost every sample moves into the next layer; changes the function a little.
        sensitivity: the report tells what quantising each layer alone does to the outputs and to the metrics.
        layers: by name of a weight or a module, the types that it is stored and computed in.
        pointwise: "linear" makes linear layers of 1x1 convolutions with 4-bit weights (or that may get them, with ``budget``),
            which LiteRT computes on other kernels: docs/precisions.md.
        budget: the precision of every layer that ``layers`` does not name is chosen for this.
        allow_slower: with ``budget``: choices that make the runtime slower than int8 are made too, and named.
        fallback: layers stay float until the metric is kept, those that cost most first.
    """

    observer: Literal["min_max", "moving_average", "percentile", "mse", "entropy", "output_error", "auto"] | None = None
    percentile: float | None = None
    bias_correction: bool | None = None
    rounding: Literal["nearest", "adaround"] | None = None
    rounding_iterations: int | None = None
    equalize: bool = False
    replace_relu6: bool = False
    absorb_bias: bool = False
    sensitivity: bool = False
    layers: Mapping[str, LayerPrecision] = field(default_factory=dict)
    pointwise: Literal["convolution", "linear"] = "convolution"
    budget: PrecisionBudget | None = None
    allow_slower: bool = False
    fallback: Fallback | None = None

    def __post_init__(self) -> None:
        if self.budget is not None and self.fallback is not None:
            raise ValueError("'budget' and 'fallback' are two ways to choose precisions: give one")
        if self.allow_slower and self.budget is None:
            raise ValueError("'allow_slower' goes with 'budget'")
        if self.percentile is not None and not 0.5 < self.percentile <= 1:
            raise ValueError(f"'percentile' is a share above 0.5 and up to 1, not {self.percentile}")
        if self.percentile is not None and self.observer != "percentile":
            raise ValueError("'percentile' goes with observer = \"percentile\"")
        if self.rounding_iterations is not None and (self.rounding != "adaround" or self.rounding_iterations < 1):
            raise ValueError("'rounding_iterations' is a number from 1 and goes with rounding = \"adaround\"")
        for name in ("replace_relu6", "absorb_bias"):
            if getattr(self, name) and not self.equalize:
                raise ValueError(f"'{name}' goes with equalize = true")


@dataclass(frozen=True)
class BaselineSettings:
    """``[baseline]``: an earlier report that size and cost are held against."""

    report: Path
    max_growth: str = "2%"

    def __post_init__(self) -> None:
        parse_share(self.max_growth)


@dataclass(frozen=True)
class Config:
    """The content of an edgekit.toml, paths still as written (relative to its folder)."""

    model: str | None = None
    weights: Path | None = None
    name: str | None = None
    targets: tuple[str, ...] = ()
    device: str | None = None
    output: Path | None = None
    train: str | None = None
    calibration: str | None = None
    evaluate: str | None = None
    max_drop: float | None = None
    labels: Path | None = None
    batch: int | None = None
    io: IoType | None = None
    io_layout: IoLayout | None = None
    exits: Exits | None = None
    input: Mapping[str, InputSettings] = field(default_factory=dict)
    #: ``[output.NAME]`` tables, under the name that keeps them apart from the path ``output``
    outputs: Mapping[str, OutputSettings] = field(default_factory=dict)
    recipe: tuple[Mapping[str, object], ...] = ()
    training: Mapping[str, object] = field(default_factory=dict)
    quantization: QuantizationSettings = QuantizationSettings()
    baseline: BaselineSettings | None = None
    streaming: Streaming | None = None

    def __post_init__(self) -> None:
        _check_build(self.name, self.batch, self.max_drop, self.exits)


@dataclass(frozen=True)
class BuildRequest:
    """What one build is asked to do: plain data, every path absolute.

    Attributes:
        model: ``package.module:callable``, or the path of a model file or folder.
        root: the folder that is put on sys.path for callables.
        targets: names or paths of target files.
        output: folder of the artifacts.
        train, calibration, evaluate: path of an .npz, or ``package.module:callable``.
        max_drop: percentage points that the first metric of ``evaluate`` may lose from source to artifact; None for no limit.
        exits: "staged": a network with early exits is written as one file a stage too, with the code that runs them.
        inputs: settings by input name; ``""``, ``"#2"``, ``"#3"`` ... are for the inputs that no other key names, in their
            order.
        outputs: settings by output name.
        recipe: one table a step, as written.
        training: defaults for every training of the recipe's steps, as written.
        streaming: the artifact takes frames and keeps the past in states; None: it takes what the model takes.
        max_growth: share by which size and cost may exceed those of ``baseline`` (0.02 is 2 %).
        config_file: the edgekit.toml that was used, or None.
    """

    model: str
    root: Path
    targets: tuple[str, ...]
    output: Path
    weights: Path | None = None
    name: str | None = None
    device: str | None = None
    train: str | None = None
    calibration: str | None = None
    evaluate: str | None = None
    max_drop: float | None = None
    labels: Path | None = None
    batch: int | None = None
    io: IoType | None = None
    io_layout: IoLayout | None = None
    exits: Exits | None = None
    inputs: Mapping[str, InputSettings] = field(default_factory=dict)
    outputs: Mapping[str, OutputSettings] = field(default_factory=dict)
    recipe: tuple[Mapping[str, object], ...] = ()
    training: Mapping[str, object] = field(default_factory=dict)
    quantization: QuantizationSettings = QuantizationSettings()
    baseline: Path | None = None
    streaming: Streaming | None = None
    max_growth: float = 0.02
    json: bool = False
    strict: bool = False
    force: bool = False
    dump: Path | None = None
    depfile: Path | None = None
    config_file: Path | None = None

    def __post_init__(self) -> None:
        try:
            _check_build(self.name, self.batch, self.max_drop, self.exits)
        except ValueError as error:
            raise UsageError(str(error), where=self.config_file or "edgekit build", hint="another value, or none") from None


def _check_build(name: str | None, batch: int | None, max_drop: float | None, exits: str | None) -> None:
    """ValueError for a name that no file can have, a batch that holds nothing, a drop that is no share, or unknown exits."""
    if name is not None and (not name or name != Path(name).name or name.startswith(".") or "\0" in name):
        raise ValueError(f"'name' is that of a file without its folder and suffix, not '{name}'")
    if batch is not None and batch < 1:
        raise ValueError(f"'batch' is 1 or more, not {batch}")
    if max_drop is not None and not 0 <= max_drop <= 100:
        raise ValueError(f"'max_drop' is in percentage points, from 0 to 100, not {max_drop}")
    if exits is not None and exits not in get_args(Exits):
        raise ValueError(f"'exits' is one of {', '.join(get_args(Exits))}, not '{exits}'")


def find_config(start: Path) -> Path | None:
    """The edgekit.toml in this folder or the nearest one above, or None."""
    for folder in (start, *start.parents):
        if (folder / CONFIG_NAME).is_file():
            return folder / CONFIG_NAME
    return None


def project_folder(start: Path) -> Path:
    """The folder that callables are imported from: that of the nearest edgekit.toml, else this one."""
    config = find_config(start)
    return start if config is None else config.parent


def load_config(path: Path) -> Config:
    """The validated content of an edgekit.toml; ConfigError names file, table and nearest key."""
    table = tables.read_toml(path)
    if isinstance(table.get("recipe"), dict):
        raise ConfigError("'recipe' is a list of steps", where=path, hint="each step is a table of its own under [[recipe]]")
    # `output = "folder"` and `[output.NAME]` share a name in the file; TOML itself refuses both in one file, so the folder
    # may stand inside the table as well: `[output] folder = "..."`.
    output = table.get("output")
    if isinstance(output, dict):
        named = {key: value for key, value in output.items() if isinstance(value, dict)}
        plain = {key: value for key, value in output.items() if key not in named}
        table = {key: value for key, value in table.items() if key != "output"} | {"outputs": named}
        if "folder" in plain:
            table["output"] = plain.pop("folder")
        if plain:
            key = next(iter(plain))
            raise ConfigError(f"unknown key '{key}' in [output]", where=path, hint=tables.did_you_mean(key, ["folder"]))
    elif "outputs" in table:
        raise ConfigError("unknown key 'outputs'", where=path, hint="did you mean '[output.NAME]'?")
    return tables.parse(Config, table, file=path)


def request_from_config(path: Path) -> BuildRequest:
    """The build that an edgekit.toml describes, its paths made absolute from the file's folder."""
    config, root = load_config(path), path.parent.resolve()
    if config.model is None:
        raise ConfigError("missing key 'model'", where=path, hint='add `model = "package.module:callable"` or a model file')
    baseline = config.baseline
    return BuildRequest(
        model=absolute_source(config.model, root),
        root=root,
        targets=tuple(_absolute_fact(name, root) for name in config.targets),
        output=root / (config.output or DEFAULT_OUTPUT),
        weights=None if config.weights is None else root / config.weights,
        name=config.name,
        device=None if config.device is None else _absolute_fact(config.device, root),
        train=None if config.train is None else absolute_source(config.train, root),
        calibration=None if config.calibration is None else absolute_source(config.calibration, root),
        evaluate=None if config.evaluate is None else absolute_source(config.evaluate, root),
        max_drop=config.max_drop,
        labels=None if config.labels is None else root / config.labels,
        batch=config.batch,
        io=config.io,
        io_layout=config.io_layout,
        exits=config.exits,
        inputs=config.input,
        outputs=config.outputs,
        recipe=config.recipe,
        training=config.training,
        quantization=config.quantization,
        baseline=None if baseline is None else root / baseline.report,
        streaming=config.streaming,
        max_growth=0.02 if baseline is None else parse_share(baseline.max_growth),
        config_file=path.resolve(),
    )


def with_input_settings(request: BuildRequest, name: str, **settings: object) -> BuildRequest:
    """The request with some settings of one input replaced (None leaves a setting as it is)."""
    given = {key: value for key, value in settings.items() if value is not None}
    merged = replace(request.inputs.get(name, InputSettings()), **given)  # type: ignore[arg-type]
    return replace(request, inputs={**request.inputs, name: merged})


def parse_input_shape(text: str) -> tuple[str, tuple[int, ...], str | None]:
    """``[NAME=]1,3,32,32[:int64]`` as (name or ``""``, shape, dtype or None); UsageError for anything else."""
    match = _INPUT_SHAPE.fullmatch(text.replace(" ", ""))
    if match is None:
        raise UsageError(
            f"cannot read the input shape '{text}'", where="--input-shape", hint="for example 1,3,32,32 or ids=1,128:int64"
        )
    shape = tuple(int(size) for size in match["shape"].split(","))
    return match["name"] or "", shape, match["dtype"]


def unnamed_input(count: int) -> str:
    """The key of the count-th (from 1) input that is given by its place and not by its name."""
    return f"#{count}" if count > 1 else ""


def is_unnamed(name: str) -> bool:
    """True for a key of :func:`unnamed_input`."""
    return not name or name.startswith("#")


def parse_share(text: str) -> float:
    """``2%`` or ``0.02`` as 0.02; ValueError for anything else."""
    number = text.strip()
    try:
        share = float(number[:-1]) / 100 if number.endswith("%") else float(number)
    except ValueError:
        raise ValueError(f"'{text}' is not a share like 2% or 0.02") from None
    if not 0 <= share < 100:
        raise ValueError(f"'{text}' is not a share like 2% or 0.02")
    return share


def is_reference(text: str) -> bool:
    """True for ``package.module:callable``, False for the path of a file."""
    return _REFERENCE.fullmatch(text) is not None


def absolute_source(text: str, folder: Path) -> str:
    """A callable's name as it is; a path made absolute from the folder."""
    return text if is_reference(text) else str(folder / text)


def _absolute_fact(name: str, folder: Path) -> str:
    """A target's or device's name as it is; a path to the user's own file made absolute."""
    return str(folder / name) if name.endswith(".toml") or "/" in name else name
