"""Kotlin that feeds an artifact in an Android or Wear OS app: LiteRT for .tflite, ONNX Runtime for .onnx."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from edgekit.report.model import IoTensor
from edgekit.report.snippets.feeding import (
    RANGES,
    axes,
    elements,
    file_shape,
    identifiers,
    quantization,
    raw_values,
    takes_bytes,
    window,
)

_BYTES = {"float32": 4, "int8": 1, "uint8": 1, "bool": 1, "int16": 2, "int32": 4, "int64": 8}
#: Type of the file -> the array that the app passes.
_ARRAYS = {
    "float32": "FloatArray",
    "uint8": "ByteArray",
    "int8": "ByteArray",
    "bool": "ByteArray",
    "int16": "ShortArray",
    "int32": "IntArray",
    "int64": "LongArray",
}
#: Type of the file -> what ByteBuffer's put and get are called for it.
_ACCESS = {"float32": "Float", "int8": "", "uint8": "", "bool": "", "int16": "Short", "int32": "Int", "int64": "Long"}


def kotlin_snippet(file_name: str, inputs: Sequence[IoTensor], outputs: Sequence[IoTensor], labels: Sequence[str] = ()) -> str:
    """A class with ``predict(...)``: one sample in, floats out.

    Args:
        file_name: the artifact's; its suffix says which runtime.
        inputs: in the file's order.
        outputs: in the file's order.
        labels: names of the classes of the first output.
    """
    body = (
        _litert(file_name, inputs, outputs, labels)
        if file_name.endswith(".tflite")
        else _onnx(file_name, inputs, outputs, labels)
    )
    windows = [
        _window(name, tensor, len(inputs) == 1) for name, tensor in zip(identifiers(inputs, "values"), inputs, strict=True)
    ]
    return "\n".join([body, *filter(None, windows)])


def _litert(file_name: str, inputs: Sequence[IoTensor], outputs: Sequence[IoTensor], labels: Sequence[str]) -> str:
    names, results = identifiers(inputs, "values"), identifiers(outputs, "result")
    lines = ["import java.nio.ByteBuffer", "import java.nio.ByteOrder", "import org.tensorflow.lite.Interpreter"]
    lines += ["", f"/** Runs {file_name}; one instance for one thread. */", f"class {_class(file_name)}(model: ByteBuffer) {{"]
    lines += ["    private val interpreter = Interpreter(model)"]
    lines += [f"    private val in{i} = buffer({elements(t) * _BYTES[t.dtype]})" for i, t in enumerate(inputs)]
    lines += [f"    private val out{i} = buffer({elements(t) * _BYTES[t.dtype]})" for i, t in enumerate(outputs)]
    lines += _labels(labels)
    lines += ["", *_comment(names, inputs), f"    fun predict({_parameters(names, inputs)}): {_returned(outputs)} {{"]
    for index, (name, tensor) in enumerate(zip(names, inputs, strict=True)):
        lines += [f"        in{index}.rewind()", f"        for (value in {name}) {_put(f'in{index}', tensor)}"]
    lines += [f"        in{index}.rewind()" for index in range(len(inputs))]
    lines += [f"        out{index}.rewind()" for index in range(len(outputs))]
    given = ", ".join(f"in{i}" for i in range(len(inputs)))
    taken = ", ".join(f"{i} to out{i}" for i in range(len(outputs)))
    lines += [f"        interpreter.runForMultipleInputsOutputs(arrayOf<Any>({given}), mapOf<Int, Any>({taken}))"]
    lines += [f"        val {name} = {_read(f'out{i}', t)}" for i, (name, t) in enumerate(zip(results, outputs, strict=True))]
    lines += [f"        return {_all(results)}", "    }"]
    lines += ["", "    private fun buffer(size: Int) = ByteBuffer.allocateDirect(size).order(ByteOrder.nativeOrder())"]
    lines += _quantize(inputs)
    return "\n".join([*lines, "}", ""])


def _onnx(file_name: str, inputs: Sequence[IoTensor], outputs: Sequence[IoTensor], labels: Sequence[str]) -> str:
    names, results = identifiers(inputs, "values"), identifiers(outputs, "result")
    lines = ["import ai.onnxruntime.OnnxTensor", "import ai.onnxruntime.OrtEnvironment"]
    lines += sorted({f"import java.nio.{_nio(t)}Buffer" for t in (*inputs, *outputs)})
    lines += ["", f"/** Runs {file_name}. */", f"class {_class(file_name)}(model: ByteArray) {{"]
    lines += ["    private val environment = OrtEnvironment.getEnvironment()"]
    lines += ["    private val session = environment.createSession(model)"]
    lines += _labels(labels)
    lines += ["", *_comment(names, inputs), f"    fun predict({_parameters(names, inputs)}): {_returned(outputs)} {{"]
    for index, (name, tensor) in enumerate(zip(names, inputs, strict=True)):
        shape = ", ".join(str(size) for size in file_shape(tensor))
        lines += [
            f"        val in{index} = OnnxTensor.createTensor("
            f"environment, {_nio(tensor)}Buffer.wrap({name}), longArrayOf({shape}){_onnx_type(tensor)})"
        ]
    given = ", ".join(f"{_string(t.name)} to in{i}" for i, t in enumerate(inputs))
    lines += [f"        val taken = session.run(mapOf({given}))"]
    for index, (name, tensor) in enumerate(zip(results, outputs, strict=True)):
        view = f"(taken.get({index}) as OnnxTensor).{_nio(tensor).lower()}Buffer"
        lines += [f"        val {name} = {_ARRAYS[tensor.dtype]}({elements(tensor)}).also {{ {view}.get(it) }}"]
    lines += ["        taken.close()", *(f"        in{index}.close()" for index in range(len(inputs)))]
    lines += [f"        return {_all(results)}", "    }"]
    return "\n".join([*lines, "}", ""])


def _class(file_name: str) -> str:
    words = re.sub(r"[^A-Za-z0-9]+", " ", PurePosixPath(file_name).stem).split()
    name = "".join(word[0].upper() + word[1:] for word in words)
    return name if re.match(r"[A-Z]", name) else f"Model{name}"


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("$", "\\$")


def _labels(labels: Sequence[str]) -> list[str]:
    return ["", f"    val labels = listOf({', '.join(_string(label) for label in labels)})"] if labels else []


def _is_quantized(tensor: IoTensor) -> bool:
    return tensor.scale is not None and not takes_bytes(tensor)


def _array(tensor: IoTensor) -> str:
    return "FloatArray" if _is_quantized(tensor) else _ARRAYS[tensor.dtype]


def _parameters(names: Sequence[str], inputs: Sequence[IoTensor]) -> str:
    return ", ".join(f"{name}: {_array(tensor)}" for name, tensor in zip(names, inputs, strict=True))


def _comment(names: Sequence[str], inputs: Sequence[IoTensor]) -> list[str]:
    texts = [f"{name}: {elements(t)} {raw_values(t)}, in the order {axes(t)}." for name, t in zip(names, inputs, strict=True)]
    return [f"    /** {texts[0]} */"] if len(texts) == 1 else ["    /**", *(f"     * {text}" for text in texts), "     */"]


def _returned(outputs: Sequence[IoTensor]) -> str:
    kinds = ["FloatArray" if t.scale is not None else _ARRAYS[t.dtype] for t in outputs]
    return kinds[0] if len(kinds) == 1 else f"List<{kinds[0] if len(set(kinds)) == 1 else 'Any'}>"


def _all(results: Sequence[str]) -> str:
    return results[0] if len(results) == 1 else f"listOf({', '.join(results)})"


def _put(buffer: str, tensor: IoTensor) -> str:
    value = "value"
    if _is_quantized(tensor):
        scale, zero_point = quantization(tensor)
        low, high = RANGES[tensor.dtype]
        value = f"quantize(value, {_float(scale)}, {zero_point}).coerceIn({low}, {high})"
        value += ".toShort()" if tensor.dtype == "int16" else ".toByte()"
    return f"{buffer}.put{_ACCESS[tensor.dtype]}({value})"


def _read(buffer: str, tensor: IoTensor) -> str:
    element = f"{buffer}.get{_ACCESS[tensor.dtype]}({'it' if _BYTES[tensor.dtype] == 1 else f'it * {_BYTES[tensor.dtype]}'})"
    if tensor.scale is None:
        return f"{_ARRAYS[tensor.dtype]}({elements(tensor)}) {{ {element} }}"
    integer = f"({element}.toInt() and 0xFF)" if tensor.dtype == "uint8" else element
    return f"FloatArray({elements(tensor)}) {{ ({integer} - {_signed(tensor.zero_point)}) * {_float(tensor.scale)} }}"


def _signed(number: int) -> str:
    return f"({number})" if number < 0 else str(number)


def _float(value: float | None) -> str:
    return f"{value!r}f"


def _quantize(inputs: Sequence[IoTensor]) -> list[str]:
    if not any(_is_quantized(tensor) for tensor in inputs):
        return []
    return [
        "",
        "    private fun quantize(value: Float, scale: Float, zeroPoint: Int) =",
        "        Math.rint((value / scale).toDouble()).toInt() + zeroPoint",
    ]


def _nio(tensor: IoTensor) -> str:
    return _ARRAYS[tensor.dtype].removesuffix("Array")


def _onnx_type(tensor: IoTensor) -> str:
    return f", ai.onnxruntime.OnnxJavaType.{tensor.dtype.upper()}" if tensor.dtype in ("int8", "uint8", "bool") else ""


def _window(name: str, tensor: IoTensor, alone: bool) -> str:
    given = window(tensor)
    if given is None:
        return ""
    title = "Window" if alone else f"{name[0].upper()}{name[1:]}Window"
    steps, channels = given.steps, given.channels
    place = (
        f"values[(next + it / {channels}) % {steps} * {channels} + it % {channels}]"
        if given.time_first
        else f"values[(next + it % {steps}) % {steps} * {channels} + it / {steps}]"
    )
    return f"""/** The last {steps} samples of {channels} channels, oldest first: predict(window.read()) once it is ready. */
class {title} {{
    private val values = FloatArray({steps * channels})
    private var next = 0
    var ready = false
        private set

    fun add(sample: FloatArray) {{
        sample.copyInto(values, next * {channels})
        next = (next + 1) % {steps}
        ready = ready || next == 0
    }}

    fun read() = FloatArray({steps * channels}) {{ {place} }}
}}
"""
