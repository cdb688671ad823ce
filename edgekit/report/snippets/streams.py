"""Python that feeds a streaming artifact with numpy and its runtime alone."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.formats.stream_record import StreamRecord
from edgekit.report.model import IoTensor
from edgekit.report.snippets.feeding import axes, file_shape, identifiers, quantization, raw_values, sample_shape
from edgekit.report.snippets.python import feed_lines, result_text


def python_stream(file_name: str, record: StreamRecord, inputs: Sequence[IoTensor], outputs: Sequence[IoTensor]) -> str:
    """A module with a class ``Stream``: ``push(frames)`` gives the outputs after one call's frames.

    Args:
        file_name: the artifact's; its suffix says which runtime.
        record: what the file says about its stream.
        inputs: in the file's order, states included.
        outputs: in the file's order, states included.
    """
    tflite = file_name.endswith(".tflite")
    states = {} if record.kept == "variables" else {state.input: state.output for state in record.states}
    own = [(place, tensor) for place, tensor in enumerate(inputs) if tensor.name not in states]
    names = dict(zip([place for place, _ in own], identifiers([t for _, t in own], "frames", snake=True), strict=True))
    lines = ["import numpy as np"]
    lines += ["from ai_edge_litert.interpreter import Interpreter"] if tflite else ["import onnxruntime"]
    lines += ["", "", "class Stream:", f'    """{record.hop} frames a call; what it knows of the past stays in here."""', ""]
    lines += ["    def __init__(self):", "        self.reset()", "", "    def reset(self):", '        """Begin anew."""']
    if tflite:
        lines += [f'        self.interpreter = Interpreter("{file_name}")', "        self.interpreter.allocate_tensors()"]
    else:
        load = f'onnxruntime.InferenceSession("{file_name}", providers=["CPUExecutionProvider"])'
        lines += [f"        self.session = {load}"]
    if states:
        lines += [
            "        self.states = {",
            *(f"            {_start(place, t)}," for place, t in _held(inputs, states)),
            "        }",
        ]
    lines += ["", f"    def push(self, {', '.join(names.values())}):", f'        """{record.hop} frames in, floats out.', ""]
    lines += [f"        {names[p]}: {sample_shape(t)} in the order {axes(t)}; {raw_values(t)}" for p, t in own]
    lines += ['        """']
    for place, tensor in own:
        lines += ["    " + line for line in feed_lines(place, names[place], tensor, False)]
    lines += _call(inputs, outputs, names, states, tflite)
    given = {output.name for output in record.outputs}
    results = [result_text(place, tensor) for place, tensor in enumerate(outputs) if tensor.name in given]
    return "\n".join([*lines, f"        return {', '.join(results)}"]) + "\n"


def _held(inputs: Sequence[IoTensor], states: dict[str, str]) -> list[tuple[int, IoTensor]]:
    return [(place, tensor) for place, tensor in enumerate(inputs) if tensor.name in states]


def _start(place: int, tensor: IoTensor) -> str:
    zero = 0 if tensor.scale is None else quantization(tensor)[1]
    return f"{place}: np.full({file_shape(tensor)}, {zero}, np.{tensor.dtype})"


def _call(
    inputs: Sequence[IoTensor], outputs: Sequence[IoTensor], names: dict[int, str], states: dict[str, str], tflite: bool
) -> list[str]:
    """One call of the runtime; its outputs are ``out0``, ``out1`` ... and the next states."""
    given = {p: names.get(p, f"self.states[{p}]") for p in range(len(inputs))}
    results = ", ".join(f"out{place}" for place in range(len(outputs)))
    if tflite:
        lines = [f"        for place, array in enumerate(({', '.join(given.values())},)):"]
        lines += ["            self.interpreter.set_tensor(self.interpreter.get_input_details()[place]['index'], array)"]
        lines += ["        self.interpreter.invoke()", "        details = self.interpreter.get_output_details()"]
        lines += [f"        {results}, = (self.interpreter.get_tensor(detail['index']) for detail in details)"]
    else:
        feed = ", ".join(f"{inputs[place].name!r}: {name}" for place, name in given.items())
        lines = [f"        {results}, = self.session.run(None, {{{feed}}})"]
    places = {tensor.name: place for place, tensor in enumerate(outputs)}
    following = ", ".join(f"{place}: out{places[states[tensor.name]]}" for place, tensor in _held(inputs, states))
    return [*lines, f"        self.states = {{{following}}}"] if states else lines
