"""A Keras model or SavedModel as a graph: through a float .tflite file, made by TensorFlow in a process of its own.

TensorFlow is large, slow to import and fights over threads with torch; nothing of it enters this process.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgekit.errors import EdgekitError, InputError, Unsupported
from edgekit.frontend.input_shapes import parsed_shapes
from edgekit.frontend.keras import environment
from edgekit.frontend.tflite.load import graph_of_content, of_the_batch
from edgekit.ir import Graph

#: Samples that a model is converted for: a number that other dimensions seldom have. TensorFlow hides a batch of 1.
_SAMPLES = 7

#: Seconds that a conversion may take.
_LONGEST = 1800

_SCRIPT = Path(__file__).with_name("tensorflow_convert.py")


def graph_of_keras(
    path: Path,
    *,
    name: str | None = None,
    input_shapes: Mapping[str, Any] | Sequence[str] | None = None,
    batch_axes: Mapping[str, int | None] | None = None,
) -> Graph:
    """The graph of a ``.keras`` or ``.h5`` file, or of a SavedModel folder.

    Args and result are those of ``graph_of_file`` of .tflite files; batch norms are folded, as TensorFlow's converter does.

    Raises:
        UsageError: no TensorFlow, here or where ``EDGEKIT_TENSORFLOW_PYTHON`` points.
        InputError: the file is damaged, or holds weights only.
        Unsupported: Lambda layers, operators without a TFLite form, or without one in the graph.
    """
    python = environment.interpreter(path)
    shapes = {label: list(shape) for label, shape, _ in parsed_shapes(input_shapes or {})}
    content, outputs = _converted(python, path, shapes, _SAMPLES)
    asked: dict[str, Any] = {"name": name, "batch_axes": batch_axes, "outputs": outputs}
    try:
        return graph_of_content(content, path, samples=_SAMPLES, **asked)
    except EdgekitError as error:  # no graph for every batch: one for a single sample, or the error that it has
        single, _ = _converted(python, path, shapes, 1)
        return graph_of_content(single, path, together=of_the_batch(error), **asked)


def _converted(python: str, path: Path, shapes: Mapping[str, list[int]], samples: int) -> tuple[bytes, tuple[str, ...]]:
    """The bytes of a float file for so many samples, and the names of several outputs in the order of the model."""
    with tempfile.TemporaryDirectory(prefix="edgekit-keras-") as folder:
        output = Path(folder) / "model.tflite"
        outcome = _convert(python, path, output, shapes, samples)
        return output.read_bytes(), tuple(outcome.get("outputs", ()))


def _convert(python: str, path: Path, output: Path, shapes: Mapping[str, list[int]], samples: int) -> dict[str, Any]:
    """Runs the script beside TensorFlow; its last line says what became of it."""
    command = [python, str(_SCRIPT), str(path.resolve()), str(output), json.dumps(shapes), str(samples)]
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LONGEST, env=kept, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(
            f"TensorFlow's converter did not run: {error}", where=path, hint=f"try {python} -c 'import tensorflow'"
        ) from error
    outcome = _outcome(done.stdout)
    if outcome is None or ("error" not in outcome and not output.is_file()):
        last = [line for line in done.stderr.splitlines() if line.strip()][-1:] or ["no message"]
        raise InputError(
            f"TensorFlow's converter ended with code {done.returncode}: {last[0][:300]}",
            where=path,
            hint="load the file with TensorFlow itself to see more",
        )
    if "error" in outcome:
        raise _error(outcome, path)
    return outcome


def _outcome(text: str) -> dict[str, Any] | None:
    """The last line of the script, None where it never came to it."""
    lines = [line for line in text.splitlines() if line.strip()]
    try:
        found = json.loads(lines[-1]) if lines else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _error(outcome: Mapping[str, Any], path: Path) -> EdgekitError:
    what, kind, hint = outcome.get("error", ""), outcome.get("kind"), outcome.get("hint")
    if kind == "missing":
        return environment.missing(path)
    return (Unsupported if kind == "unsupported" else InputError)(what, where=path, hint=hint)
