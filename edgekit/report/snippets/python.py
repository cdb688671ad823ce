"""Python that feeds an artifact with numpy and its runtime alone, for a Raspberry Pi or a server."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.report.model import IoTensor
from edgekit.report.snippets.feeding import (
    RANGES,
    axes,
    file_shape,
    identifiers,
    is_single,
    quantization,
    raw_values,
    sample_shape,
    samples,
    takes_bytes,
    window,
)


def python_snippet(file_name: str, inputs: Sequence[IoTensor], outputs: Sequence[IoTensor], labels: Sequence[str] = ()) -> str:
    """A module with ``predict(...)``: one sample in, floats out.

    Args:
        file_name: the artifact's; its suffix says which runtime.
        inputs: in the file's order.
        outputs: in the file's order.
        labels: names of the classes of the first output.
    """
    tflite = file_name.endswith(".tflite")
    names = identifiers(inputs, "values", snake=True)
    lines = ["import numpy as np"]
    lines += ["from ai_edge_litert.interpreter import Interpreter"] if tflite else ["import onnxruntime"]
    lines += [""]
    if tflite:
        lines += [f'interpreter = Interpreter("{file_name}")', "interpreter.allocate_tensors()"]
    else:
        lines += [f'session = onnxruntime.InferenceSession("{file_name}", providers=["CPUExecutionProvider"])']
    if labels:
        lines += [f"labels = {list(labels)!r}"]
    for name, tensor in zip(names, inputs, strict=True):
        lines += _window_class(name, tensor, alone=len(inputs) == 1)
    count = samples(inputs)
    heading = "One sample in" if count == 1 else f"{count} samples in"
    lines += ["", "", f"def predict({', '.join(names)}):", f'    """{heading}, floats out.', ""]
    lines += [
        f"    {name}: {sample_shape(t)} in the order {axes(t)}; {raw_values(t)}" for name, t in zip(names, inputs, strict=True)
    ]
    lines += ['    """']
    for index, (name, tensor) in enumerate(zip(names, inputs, strict=True)):
        lines += feed_lines(index, name, tensor, tflite)
    if tflite:
        lines += ["    interpreter.invoke()"]
        lines += [
            f"    out{i} = interpreter.get_tensor(interpreter.get_output_details()[{i}]['index'])" for i in range(len(outputs))
        ]
    else:
        feeds = ", ".join(f"{t.name!r}: {name}" for name, t in zip(names, inputs, strict=True))
        lines += [
            f"    {''.join(f'out{i}, ' for i in range(len(outputs)))}= session.run(None, {{{feeds}}})".replace(", =", ", =")
        ]
    results = [result_text(index, tensor) for index, tensor in enumerate(outputs)]
    lines += [f"    return {', '.join(results)}"]
    if labels:
        lines += ["", "", "def label(scores):", "    return labels[int(np.argmax(scores))]"]
    return "\n".join(lines) + "\n"


def feed_lines(index: int, name: str, tensor: IoTensor, tflite: bool) -> list[str]:
    """A value as the file takes it, under its own name; with ``tflite`` it is handed to the interpreter too."""
    shape = file_shape(tensor)
    if tensor.scale is None or takes_bytes(tensor):
        lines = [f"    {name} = np.asarray({name}, np.{_numpy(tensor.dtype)}).reshape({shape})"]
    else:
        (low, high), (scale, zero_point) = RANGES[tensor.dtype], quantization(tensor)
        lines = [
            f"    {name} = np.rint(np.asarray({name}, np.float32) / np.float32({scale!r})){_plus(zero_point)}",
            f"    {name} = np.clip({name}, {low}, {high}).astype(np.{tensor.dtype}).reshape({shape})",
        ]
    if tflite:
        lines += [f"    interpreter.set_tensor(interpreter.get_input_details()[{index}]['index'], {name})"]
    return lines


def result_text(index: int, tensor: IoTensor) -> str:
    """``out0``, ``out1`` ... as floats."""
    out = f"out{index}[0]" if is_single(tensor) else f"out{index}"
    if tensor.scale is None:
        return out
    real = f"{out}.astype(np.float32)"
    return f"{f'({real}{_plus(-tensor.zero_point)})' if tensor.zero_point else real} * np.float32({tensor.scale!r})"


def _plus(number: int) -> str:
    """`` + 3``, `` - 3`` or nothing."""
    return f" {'-' if number < 0 else '+'} {abs(number)}" if number else ""


def _numpy(dtype: str) -> str:
    return "bool_" if dtype == "bool" else dtype


def _window_class(name: str, tensor: IoTensor, alone: bool) -> list[str]:
    given = window(tensor)
    if given is None:
        return []
    title = "Window" if alone else "".join(word.capitalize() for word in name.split("_")) + "Window"
    turned = "" if given.time_first else ".T"
    return [
        "",
        "",
        f"class {title}:",
        f'    """The last {given.steps} samples of {given.channels} channels, for predict({name}=window.read())."""',
        "",
        "    def __init__(self):",
        f"        self.samples = np.zeros(({given.steps}, {given.channels}), np.float32)",
        "        self.count = 0",
        "",
        "    def add(self, sample):",
        f"        self.samples[self.count % {given.steps}] = sample",
        "        self.count += 1",
        "",
        "    def ready(self):",
        f"        return self.count >= {given.steps}",
        "",
        "    def read(self):",
        f"        return np.roll(self.samples, -(self.count % {given.steps}), axis=0){turned}",
    ]
