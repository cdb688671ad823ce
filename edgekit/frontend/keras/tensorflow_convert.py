"""Runs beside TensorFlow, in a process and perhaps an environment of its own: a Keras model or SavedModel to float TFLite.

    python tensorflow_convert.py SOURCE OUTPUT.tflite SHAPES BATCH

SHAPES is JSON: ``{"name": [1, 32, 32, 3]}`` for dimensions that the model leaves open. Imports nothing of edgekit. Prints one
line of JSON at the end: an object with ``outputs``, the names of several outputs in the order of the model, or with ``error``,
``hint`` and ``kind``: "input", "unsupported" or "missing".
"""

from __future__ import annotations

import json
import os
import re
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ["CUDA_VISIBLE_DEVICES"] = ""


#: Steps of a recurrent layer that are written out one by one.
LONGEST_UNROLLED = 64


class Refused(Exception):
    """What the user should read: the kind of error, and what to try."""

    def __init__(self, kind: str, what: str, hint: str) -> None:
        super().__init__(what)
        self.kind, self.hint = kind, hint


def main(source: str, output: str, shapes: dict[str, list[int]], batch: int) -> dict[str, Any]:
    """Convert; the outcome as a dictionary."""
    try:
        import tensorflow as tf  # type: ignore[import-not-found, unused-ignore]  # of the environment that runs this
    except ImportError as error:
        return {"error": "TensorFlow cannot be imported: " + str(error), "kind": "missing", "hint": ""}
    try:
        content, outputs = converted(tf, Path(source), shapes, batch)
    except Refused as refused:
        return {"error": str(refused), "kind": refused.kind, "hint": refused.hint}
    except Exception as error:
        return {"error": first_line(error), "kind": "input", "hint": "load the file with TensorFlow itself to see more"}
    Path(output).write_bytes(content)
    return {"outputs": outputs} if len(outputs) > 1 else {}


def converted(tf: Any, source: Path, shapes: dict[str, list[int]], batch: int) -> tuple[bytes, list[str]]:
    """The bytes of the float file, and the names of its outputs in the order of TensorFlow's, which is not the file's."""
    if source.is_dir():
        function, model = of_saved_model(tf, source, shapes, batch)
    else:
        forbid_code(source)
        function, model = of_keras(tf, source, shapes, batch)
    from tensorflow.python.framework import convert_to_constants  # type: ignore[import-not-found, unused-ignore]

    # The converter itself would keep Keras 3's variables as variables.
    frozen = convert_to_constants.convert_variables_to_constants_v2(function)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen], model)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    try:
        return bytes(converter.convert()), output_names(function, model)
    except Exception as error:
        found = sorted(set(re.findall(r"(?:Flex|Custom) ops?: ([\w, ]+)", str(error)))) or sorted(
            set(re.findall(r"tf\.(\w+)' op", str(error)))
        )
        what = "operators without a TFLite form: " + "; ".join(found) if found else first_line(error)
        hint = "write these layers with others, or cut the model before them"
        raise Refused("unsupported", "TensorFlow's converter refuses the model: " + what, hint) from error


def of_keras(tf: Any, source: Path, shapes: dict[str, list[int]], batch: int) -> tuple[Any, Any]:
    """The model's call with fixed shapes, and the model."""
    try:
        model = tf.keras.models.load_model(source, compile=False)
    except Exception as error:
        hint = "a layer of your own: export a SavedModel, model.export(folder); else save it with TensorFlow " + tf.__version__
        raise Refused("input", "Keras cannot load it: " + first_line(error), hint) from error
    compute_in_float32(model)
    unroll(model)
    names = list(getattr(model, "input_names", None) or [tensor.name.split(":")[0] for tensor in model.inputs])
    specs = [spec(tf, name, t.shape, t.dtype, shapes, batch) for name, t in zip(names, model.inputs, strict=True)]
    wrapped = tf.function(lambda *tensors: model(fed(model, tensors), training=False))
    return wrapped.get_concrete_function(*specs), model


def compute_in_float32(model: Any) -> None:
    """Takes mixed precision away: the weights of such layers are float32, and TFLite has no half-precision operators."""
    for layer in model._flatten_layers():
        if getattr(layer, "compute_dtype", "") in ("float16", "bfloat16") and layer.variable_dtype == "float32":
            layer.dtype_policy = "float32"


def output_names(function: Any, model: Any) -> list[str]:
    """The names of several outputs: the keys of a dictionary, or of Keras' layers."""
    made, count = function.structured_outputs, len(function.outputs)
    keys = sorted(made) if isinstance(made, dict) else getattr(model, "output_names", None) or []
    return [str(key) for key in keys] if len(keys) == count else [f"output_{place}" for place in range(count)]


def fed(model: Any, tensors: Sequence[Any]) -> Any:
    """What the model is called with: a dictionary where it was made with one, else a list, or the one tensor."""
    made = getattr(model, "_inputs_struct", None)
    if isinstance(made, dict):
        places = {id(tensor): place for place, tensor in enumerate(model.inputs)}
        return {key: tensors[places[id(tensor)]] for key, tensor in made.items()}
    return list(tensors) if len(tensors) > 1 else tensors[0]


def unroll(model: Any) -> None:
    """Sets short recurrent layers to write out their steps: the converter has no other form without a loop for them."""
    for layer in model._flatten_layers():
        directions = [getattr(layer, name) for name in ("forward_layer", "backward_layer") if hasattr(layer, name)]
        for each in directions or [layer]:
            if hasattr(each, "unroll") and hasattr(layer, "input"):
                steps = layer.input.shape[1]
                each.unroll = steps is not None and steps <= LONGEST_UNROLLED


def of_saved_model(tf: Any, source: Path, shapes: dict[str, list[int]], batch: int) -> tuple[Any, Any]:
    """The serving signature with fixed shapes, and what was loaded."""
    try:
        loaded = tf.saved_model.load(str(source))
    except Exception as error:
        raise Refused("input", "TensorFlow cannot load it: " + first_line(error), "a folder of tf.saved_model.save") from error
    signatures = dict(loaded.signatures)
    if not signatures:
        raise Refused("input", "the SavedModel has no signature", "save it with signatures=, or with model.export(folder)")
    key = "serving_default" if "serving_default" in signatures else sorted(signatures)[0]
    served = signatures[key]
    _, wanted = served.structured_input_signature
    names = sorted(wanted)
    specs = [spec(tf, name, wanted[name].shape, wanted[name].dtype, shapes, batch) for name in names]
    wrapped = tf.function(lambda *tensors: served(**dict(zip(names, tensors, strict=True))))
    return wrapped.get_concrete_function(*specs), loaded


def spec(tf: Any, name: str, shape: Any, dtype: Any, shapes: dict[str, list[int]], batch: int) -> Any:
    """An input of this batch whose other dimensions are fixed."""
    dims = list(shape)
    given = shapes.get(name) or (shapes.get("") if "" in shapes else None)
    if given is not None and len(given) == len(dims):
        dims = [own if own is not None or axis == 0 else given[axis] for axis, own in enumerate(dims)]
    dims = [batch if axis == 0 and size is None else size for axis, size in enumerate(dims)]
    if None in dims:
        text = ",".join("?" if size is None else str(size) for size in [1, *dims[1:]])
        hint = "say them: --input-shape " + name + "=" + text + " with numbers for '?'"
        raise Refused("input", "the model leaves dimensions of its input '" + name + "' open: " + text, hint)
    return tf.TensorSpec(dims, dtype, name=name)


def forbid_code(source: Path) -> None:
    """Lambda layers hold Python bytecode: a file that has one is not loaded."""
    if zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive:
            config = json.loads(archive.read("config.json"))
    else:
        import h5py  # type: ignore[import-not-found, unused-ignore]  # comes with TensorFlow

        with h5py.File(source, "r") as file:
            text = file.attrs.get("model_config")
        if text is None:
            raise Refused("input", "the file has weights and no model", "save the whole model: model.save(path)")
        config = json.loads(text)
    found = sorted(set(lambdas(config)))
    if found:
        hint = "replace them by layers of Keras, or export a SavedModel: model.export(folder)"
        raise Refused("unsupported", "Lambda layers hold Python code, which is not run: " + ", ".join(found), hint)


def lambdas(config: Any) -> Iterator[str]:
    """Names of the Lambda layers in a model's configuration."""
    if isinstance(config, dict):
        if config.get("class_name") in ("Lambda", "__lambda__"):
            inner = config.get("config")
            yield str(inner.get("name", "lambda") if isinstance(inner, dict) else "lambda")
        for item in config.values():
            yield from lambdas(item)
    elif isinstance(config, list):
        for item in config:
            yield from lambdas(item)


def first_line(error: BaseException) -> str:
    """The part of an exception's text that says something: of one that quotes another, what that one says."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    quoted = [found[1] for line in lines if (found := re.match(r"(?:Exception encountered|[A-Z]\w*Error): (.+)", line))]
    return (quoted[0] if quoted else lines[0] if lines else type(error).__name__)[:300]


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), int(sys.argv[4]))))
