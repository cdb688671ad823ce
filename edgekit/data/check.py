"""One array against one input of the model: its type, shape and values, never repaired in silence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING, Any

from edgekit.config import InputSettings
from edgekit.errors import InputError

if TYPE_CHECKING:
    import numpy as np

#: What raw bytes are divided by where mean or std is declared and scale is not.
SCALE_OF_BYTES = 255.0


@dataclass(frozen=True)
class InputSpec:
    """What one input of the model takes.

    Attributes:
        name: of the input.
        dtype: numpy name of the type that the model computes with, for example ``float32`` or ``int64``.
        shape: of one sample, without the batch; in the layout of the user's data.
        raw: preprocessing is declared, so that integers (a camera's bytes) are taken as they are for a float input.
        bytes_only: the declared preprocessing has no scale of its own and divides by 255, which is right for bytes only.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    raw: bool = False
    bytes_only: bool = False


def raw_scale(settings: InputSettings) -> tuple[float, bool]:
    """What raw values are divided by, and whether that was assumed (so that only bytes may come; ``InputSpec.bytes_only``)."""
    if settings.scale is not None:
        return settings.scale, False
    assumed = settings.mean is not None or settings.std is not None
    return (SCALE_OF_BYTES if assumed else 1.0), assumed


def as_array(value: Any, where: str) -> np.ndarray:
    """A numpy array from an array, a torch tensor (which is not imported here) or a nested list; InputError for others."""
    import numpy as np

    if hasattr(value, "detach") and hasattr(value, "cpu"):
        tensor = value.detach().cpu()
        # numpy has no bfloat16
        value = tensor.float().numpy() if str(tensor.dtype) == "torch.bfloat16" else tensor.numpy()
    try:
        array = np.asarray(value)
    except ValueError:
        raise InputError("samples of different shapes", where=where, hint="stack them: axis 0 is the sample") from None
    if array.dtype.kind not in "fiub":
        raise InputError(
            f"values of type '{array.dtype}' are not numbers", where=where, hint="arrays of floats, integers or booleans"
        )
    return array


def checked(array: np.ndarray, spec: InputSpec, where: str) -> np.ndarray:
    """The stacked samples in the model's type, C-contiguous.

    Args:
        array: axis 0 is the sample.
        spec: the input that they are for.
        where: where they come from, for errors.

    Raises:
        InputError: no samples, a wrong shape, a type that does not fit, NaN or infinity.
    """
    import numpy as np

    _check_shape(array.shape, spec, where)
    wanted = np.dtype(spec.dtype)
    _check_type(array, wanted, spec, where)
    with np.errstate(over="ignore"):  # found below, and said
        converted = np.ascontiguousarray(array, dtype=wanted)
    if wanted.kind == "f" and not np.isfinite(converted).all():
        bad = int(np.argmin(np.isfinite(converted).reshape(len(converted), -1).all(axis=1)))
        kind = "NaN" if np.isnan(converted[bad]).any() else "infinity"
        raise InputError(
            f"the data for input '{spec.name}' has {kind} in it",
            where=f"{where}, sample {bad}",
            hint="mend the preprocessing that made it, or leave such samples out",
        )
    if wanted.kind in "iu" and not np.array_equal(converted, array):
        raise InputError(
            f"the data for input '{spec.name}' has values outside {wanted}",
            where=where,
            hint="check what the model was trained with, and clip or rescale accordingly",
        )
    return converted


def _check_shape(shape: tuple[int, ...], spec: InputSpec, where: str) -> None:
    wanted = f"(samples, {', '.join(map(str, spec.shape))})" if spec.shape else "(samples,)"
    if len(shape) == 0 or shape[0] == 0:
        raise InputError(f"no samples for input '{spec.name}'", where=where, hint=f"stacked samples of shape {wanted}")
    if shape[1:] == spec.shape:
        return
    hint = f"stacked samples of shape {wanted}"
    if shape == spec.shape:
        hint = "axis 0 is the sample: a single one is x[None]"
    elif math.prod(shape[1:]) == math.prod(spec.shape) and len(shape) < len(spec.shape) + 1:
        hint += f", for example x.reshape(-1, {', '.join(map(str, spec.shape))})"
    elif len(shape) == len(spec.shape) + 1 and shape[1:] in permutations(spec.shape):
        layout = {4: ("NHWC", "NCHW"), 3: ("NWC", "NCW")}.get(len(shape), ("", ""))[0 if shape[-1] == spec.shape[0] else 1]
        declare = f'`[input.{spec.name}] layout = "{layout}"` in edgekit.toml, or ' if layout else ""
        hint = f"the axes are in another order: {declare}transpose the data"
    raise InputError(f"the data for input '{spec.name}' has shape {shape}, the model wants {wanted}", where=where, hint=hint)


def _check_type(array: np.ndarray, wanted: np.dtype[Any], spec: InputSpec, where: str) -> None:
    declare = f"`[input.{spec.name}] scale = 255` (and mean, std) in edgekit.toml, or --mean and --std"
    if wanted.kind == "f" and array.dtype.kind in "iub" and not spec.raw:
        raise InputError(
            f"the data for input '{spec.name}' is {array.dtype}, the model wants {wanted}, and no preprocessing is declared",
            where=where,
            hint=f"declare it: {declare}; or give the data as the model was trained with it",
        )
    if spec.bytes_only and array.dtype.name != "uint8":
        raise InputError(
            f"mean or std is declared for input '{spec.name}' without a scale, and the data is {array.dtype}, not bytes",
            where=where,
            hint="state the scale: 1 for values as they are (`scale = 1`, --scale 1)",
        )
    if wanted.kind in "iub" and array.dtype.kind == "f":
        raise InputError(
            f"the data for input '{spec.name}' is {array.dtype}, the model wants {wanted}",
            where=where,
            hint=f"convert it: x.astype('{wanted}')",
        )
