"""Run an artifact on numpy arrays in the source's terms, with nothing but the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError, UsageError
from edgekit.formats.io_metadata import IO_KEY, FileTensor, IoRecord, Structure, TensorIo, decode
from edgekit.formats.stream_record import STREAM_KEY
from edgekit.formats.tflite.read import is_tflite, read
from edgekit.runtime.batched import Batched
from edgekit.runtime.larq import Larq, LarqKernels, is_larq
from edgekit.runtime.litert import Kernels, LiteRT
from edgekit.runtime.onnx_runtime import OnnxRuntime

Array = NDArray[Any]

#: One array, a tuple of arrays in the source's order, or arrays by name.
Inputs: TypeAlias = "Array | Sequence[Array] | Mapping[str, Array]"


#: What kernels of LiteRT correspond to in Larq Compute Engine.
_LARQ_KERNELS: dict[Kernels, LarqKernels] = {"default": "optimized", "builtin": "indirect", "reference": "reference"}


class Artifact:
    """A .tflite or .onnx file that takes and gives the source's values: floats, the source's layout, any number of samples.

    The file is loaded once; use it for many calls. `run` is the short form for one.
    """

    def __init__(self, path: str | Path | bytes, *, kernels: Kernels = "default", threads: int = 1) -> None:
        """Load an artifact.

        Args:
            path: the file, or its bytes.
            kernels: which kernels of LiteRT run a .tflite file. One with operators of Larq Compute Engine is run by that
                engine, on one thread.
            threads: CPU threads.

        Raises:
            InputError: no such file, a damaged one, or one that its runtime refuses.
            UsageError: the runtime is not installed, or ``kernels`` is unknown.
        """
        self.where = None if isinstance(path, bytes) else str(path)
        content = _content(path)
        self._tflite: Batched | None = None
        self._onnx: OnnxRuntime | None = None
        record: bytes | str | None
        self.stream: bytes | str | None  # the record of a streaming artifact (`edgekit.runtime.stream`)
        if is_tflite(content) if self.where is None else self.where.lower().endswith(".tflite"):
            model = read(content, where=self.where)  # before the runtime, whose words for damage are few
            record, self.stream = model.metadata.get(IO_KEY), model.metadata.get(STREAM_KEY)
            if is_larq(model):
                self._tflite = Larq(content, _LARQ_KERNELS[kernels], where=self.where)
            else:
                self._tflite = LiteRT(content, kernels, threads, where=self.where)
            inputs, outputs = self._tflite.inputs, self._tflite.outputs
        else:
            self._onnx = OnnxRuntime(content, threads, where=self.where)
            record, inputs, outputs = self._onnx.record, self._onnx.inputs, self._onnx.outputs
            self.stream = self._onnx.stream
        self.record: IoRecord = decode(record, inputs, outputs, where=self.where)

    def run(self, inputs: Inputs) -> Any:
        """The source's outputs, nested as the source returned them.

        Args:
            inputs: stacked samples in the source's layout and value range. Several inputs are a tuple in the source's
                order or a dict by name.

        Returns:
            float32 arrays (integer and bool outputs stay what they are), stacked like the inputs.

        Raises:
            InputError: an input is missing, unknown, of the wrong shape, of a type that cannot hold the source's values,
                or NaN where the file takes integers.
        """
        return nest(self.record.structure, self.run_flat(inputs))

    def run_flat(self, inputs: Inputs) -> list[Array]:
        """Like `run`, but the outputs as a list in the file's order."""
        outputs = self.invoke(self.stored(inputs))
        return [to_source(t, a) for t, a in zip(self.record.outputs, outputs, strict=True)]

    def stored(self, inputs: Inputs) -> list[Array]:
        """The inputs of `run` as the file stores them: in its order, its layout and its types."""
        return [self.to_file(tensor, array) for tensor, array in zip(self.record.inputs, self.pick(inputs), strict=True)]

    def invoke(self, arrays: list[Array]) -> list[Array]:
        """Stored inputs in, stored outputs out."""
        axes = [tensor.file_batch for tensor in (*self.record.inputs, *self.record.outputs)]
        if self._tflite is not None:
            return self._tflite.run(arrays, axes)
        assert self._onnx is not None
        return self._onnx.run(arrays, axes) if self._onnx.takes_one_batch(axes) else self._onnx.invoke(arrays)

    def call(self, arrays: list[Array]) -> list[Array]:
        """One call of the runtime: like `invoke`, for arrays of exactly the file's batch."""
        runtime = self._tflite or self._onnx
        assert runtime is not None
        return runtime.invoke(arrays)

    def pick(self, inputs: Inputs, among: Sequence[TensorIo] | None = None) -> list[Array]:
        """The given arrays in the file's order: one for each input, or for each of those ``among`` them."""
        taken = self.record.inputs if among is None else among
        names = [tensor.file.name for tensor in taken]
        if isinstance(inputs, Mapping):
            if set(inputs) != set(names):
                raise InputError(
                    f"inputs {sorted(map(str, inputs))} were given, this artifact takes {sorted(names)}",
                    where=self.where,
                    hint="one array for each of these names",
                )
            return [np.asarray(inputs[name]) for name in names]
        given: list[Any] = list(inputs) if isinstance(inputs, tuple | list) else [inputs]
        if len(names) == 1 and (len(given) != 1 or np.ndim(given[0]) < len(taken[0].source_shape)):
            given = [inputs]  # a list of samples
        if len(given) != len(names):
            raise InputError(
                f"{len(given)} inputs were given, this artifact takes {len(names)}: {names}",
                where=self.where,
                hint="a tuple in this order, or a dict by name",
            )
        return [np.asarray(array) for array in given]

    def to_file(self, tensor: TensorIo, array: Array) -> Array:
        """An input of the source as the file takes it; InputError where it does not fit (`run`)."""
        name, shape = tensor.file.name, tensor.source_shape
        if array.ndim != len(shape) or any(want not in (None, have) for want, have in zip(shape, array.shape, strict=True)):
            wanted = ", ".join("N" if size is None else str(size) for size in shape)
            single = array.ndim == len(shape) - 1
            raise InputError(
                f"input {name!r} has the shape {list(array.shape)}, this artifact takes [{wanted}]",
                where=self.where,
                hint="stacked samples: a single one is x[None]" if single else "stacked samples in the source's order of axes",
            )
        if array.dtype == np.uint8 and tensor.file.dtype != "uint8" and tensor.preprocessing is None:
            raise InputError(
                f"input {name!r} is uint8, the model takes floats",
                where=self.where,
                hint="preprocess it as in training, for example x.astype('float32') / 255",
            )
        if tensor.layout == "channels_last":
            array = np.moveaxis(array, 1, -1)
        if tensor.preprocessing is not None and tensor.preprocessing.by_quantization and tensor.file.scale is not None:
            array = _normalized(array, tensor)
        return self._convert(tensor.file, array)

    def _convert(self, file: FileTensor, array: Array) -> Array:
        dtype = np.dtype(file.dtype)
        if file.scale is None:
            if dtype.kind in "iub" and array.dtype.kind == "f":
                raise InputError(
                    f"input {file.name!r} takes {dtype.name}, {array.dtype.name} was given",
                    where=self.where,
                    hint=f"convert it: x.astype('{dtype.name}')",
                )
            return array.astype(dtype)
        real = array.astype(np.float32)
        if not np.isfinite(real).all():
            raise InputError(
                f"input {file.name!r} holds NaN or infinity, this artifact takes integers",
                where=self.where,
                hint="leave such samples out",
            )
        limits = np.iinfo(dtype)
        rounded: Array = np.rint(real / np.float32(file.scale)) + file.zero_point
        return rounded.clip(limits.min, limits.max).astype(dtype)


def run(artifact: str | Path, inputs: Inputs, *, kernels: Kernels = "default", threads: int = 1) -> Any:
    """Run an artifact that edgekit built (or any .tflite or .onnx file): float in, float out, nothing needed but the file.

    See `Artifact.run` for the arguments and the errors; a file of another maker takes and gives its own layout.
    """
    return Artifact(artifact, kernels=kernels, threads=threads).run(inputs)


def _content(path: str | Path | bytes) -> bytes:
    if isinstance(path, bytes):
        return path
    suffix = Path(path).suffix.lower()
    if suffix not in (".tflite", ".onnx"):
        raise UsageError(f"cannot run {str(path)!r}", where=path, hint="an artifact is a .tflite or an .onnx file")
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(
            f"cannot read the artifact: {error.strerror}", where=str(path), hint="the path of a .tflite or .onnx file"
        ) from error


def _normalized(array: Array, tensor: TensorIo) -> Array:
    """Raw values as the tensor's real values, which its integers then stand for."""
    given = tensor.preprocessing
    assert given is not None
    axis = array.ndim - 1 if tensor.layout == "channels_last" else 1
    shape = [-1 if i == axis else 1 for i in range(array.ndim)]
    real = array.astype(np.float64) / given.scale
    if given.mean:
        real = real - np.asarray(given.mean).reshape(shape if len(given.mean) > 1 else [])
    if given.std:
        real = real / np.asarray(given.std).reshape(shape if len(given.std) > 1 else [])
    return real.astype(np.float32)


def to_source(tensor: TensorIo, array: Array) -> Array:
    """An output of the file as the source gives it."""
    if tensor.file.scale is not None:
        array = (array.astype(np.int32) - tensor.file.zero_point).astype(np.float32) * np.float32(tensor.file.scale)
    return np.moveaxis(array, -1, 1) if tensor.layout == "channels_last" else array


def nest(structure: Structure, leaves: list[Array]) -> Any:
    """Outputs in their order, nested as the source nested them (``IoRecord.structure``)."""
    if structure is None:
        return None
    if isinstance(structure, dict):
        return {key: nest(item, leaves) for key, item in structure.items()}
    if isinstance(structure, list):
        return [nest(item, leaves) for item in structure]
    if isinstance(structure, tuple):
        return tuple(nest(item, leaves) for item in structure)
    return leaves[structure]
