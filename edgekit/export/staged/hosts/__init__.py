"""Source code that runs staged files: the loop in Python, C++, Kotlin and Swift, with the stages' facts as tables.

The texts beside this file are templates; a word between two ``@`` is filled in.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from edgekit.export.c_binary.exporter import identifier_of
from edgekit.export.staged import loop
from edgekit.export.staged.manifest import Manifest, Stage, StageTensor

_FOLDER = Path(__file__).parent
_WIDTHS = {"float32": 4, "int32": 4, "int64": 8, "int16": 2, "float16": 2, "float64": 8}

#: Words that can name no namespace in C++ or no package in Kotlin, of those that a network may be called.
_WORDS = """
    as auto bool break case catch char class const continue default delete do double else enum explicit export extern
    false float for friend fun if in inline int interface is long namespace new null object operator package private
    protected public register return short signed sizeof static std struct super switch template this throw true try
    typealias typename typeof union unsigned using val var virtual void volatile when while
"""

_CPP_TYPES = {"float32": "kFloat32", "int8": "kInt8", "uint8": "kUInt8", "int16": "kInt16"}


def host_code(manifest: Manifest) -> dict[str, str]:
    """Name of a file -> its text, for every language."""
    name = identifier_of(manifest.name)
    name = f"net_{name}" if name in _WORDS.split() else name
    title = "".join(word[:1].upper() + word[1:] for word in re.split(r"_+", name))
    return {
        f"{manifest.name}.stages.py": Path(loop.__file__).read_text(encoding="utf-8"),
        f"{name}_stages.hpp": _cpp(manifest, name),
        f"{title}Stages.kt": _kotlin(manifest, name, title),
        f"{title}Stages.swift": _swift(manifest, title),
    }


def byte_size(tensor: StageTensor) -> int:
    """Bytes of a tensor of one sample."""
    size = _WIDTHS.get(tensor.dtype, 1)
    for dimension in tensor.shape:
        size *= dimension
    return size


def _filled(file: str, **words: str) -> str:
    text = (_FOLDER / file).read_text(encoding="utf-8")
    for word, filling in words.items():
        text = text.replace(f"@{word}@", filling)
    return text


def _is_litert(manifest: Manifest) -> bool:
    return manifest.stages[0].file.endswith(".tflite")


def _logits(stage: Stage) -> int:
    return [tensor.name for tensor in stage.outputs].index(stage.logits)


def _cpp(manifest: Manifest, name: str) -> str:
    def tensors(rows: tuple[StageTensor, ...]) -> str:
        listed = [
            f"{{{_quoted(t.name)}, Type::{_CPP_TYPES.get(t.dtype, 'kOther')}, {byte_size(t)}, {_float(t.scale or 0.0)}F, "
            f"{t.zero_point}}}"
            for t in rows
        ]
        return "{" + ", ".join(listed) + "}"

    lines = [f"constexpr Score kScore = Score::k{manifest.score.capitalize()};", ""]
    lines += ["inline const std::vector<Stage>& stages() {", "  static const std::vector<Stage> all = {"]
    for stage in manifest.stages:
        answers = ", ".join(f"{{{_quoted(output)}, {_quoted(tensor)}}}" for output, tensor in stage.answers.items())
        lines += [
            f"      {{{_quoted(stage.file)},",
            f"       {tensors(stage.inputs)},",
            f"       {tensors(stage.outputs)},",
            f"       {{{answers}}},",
            f"       {_logits(stage)}, {_float(stage.temperature)}F, {_float(stage.threshold or 0.0)}F, "
            f"{'true' if stage.threshold is None else 'false'}}},",
        ]
    lines += ["  };", "  return all;", "}"]
    return _filled("stages.hpp", NAME=name, GUARD=f"{name.upper()}_STAGES_HPP", TABLES="\n".join([*lines, ""]))


def _kotlin(manifest: Manifest, name: str, title: str) -> str:
    def quoted(text: str) -> str:
        return _quoted(text).replace("$", "\\$")

    def tensors(rows: tuple[StageTensor, ...]) -> str:
        listed = [
            f"StageTensor({quoted(t.name)}, {quoted(t.dtype)}, {byte_size(t)}, {_float(t.scale or 0.0)}f, {t.zero_point})"
            for t in rows
        ]
        return f"listOf({', '.join(listed)})"

    lines = [f"        const val SCORE = {quoted(manifest.score)}", "", "        val stages = listOf("]
    for place, stage in enumerate(manifest.stages):
        answers = ", ".join(f"{quoted(output)} to {quoted(tensor)}" for output, tensor in stage.answers.items())
        threshold = "null" if stage.threshold is None else f"{_float(stage.threshold)}f"
        lines += [
            "            Stage(",
            f"                {quoted(stage.file)},",
            f"                {tensors(stage.inputs)},",
            f"                {tensors(stage.outputs)},",
            f"                mapOf({answers}),",
            f"                {_logits(stage)}, {_float(stage.temperature)}f, {threshold}",
            "            )" + ("," if place + 1 < len(manifest.stages) else ""),
        ]
    lines += ["        )", ""]
    adapter = _filled("litert.kt") if _is_litert(manifest) else "\n"
    imports = "import org.tensorflow.lite.Interpreter\n" if _is_litert(manifest) else ""
    return _filled("stages.kt", NAME=name, CLASS=title, TABLES="\n".join(lines), ADAPTER=adapter[:-1], IMPORTS=imports)


def _swift(manifest: Manifest, title: str) -> str:
    def tensors(rows: tuple[StageTensor, ...]) -> str:
        listed = [
            f"Tensor(name: {_quoted(t.name)}, type: {_quoted(t.dtype)}, bytes: {byte_size(t)}, "
            f"scale: {_float(t.scale or 0.0)}, zeroPoint: {t.zero_point})"
            for t in rows
        ]
        return f"[{', '.join(listed)}]"

    lines = [f"    static let score = {_quoted(manifest.score)}", "", "    static let stages: [Stage] = ["]
    for stage in manifest.stages:
        answers = ", ".join(f"{_quoted(output)}: {_quoted(tensor)}" for output, tensor in stage.answers.items())
        threshold = "nil" if stage.threshold is None else _float(stage.threshold)
        lines += [
            "        Stage(",
            f"            file: {_quoted(stage.file)},",
            f"            inputs: {tensors(stage.inputs)},",
            f"            outputs: {tensors(stage.outputs)},",
            f"            answers: [{answers}],",
            f"            logits: {_logits(stage)}, temperature: {_float(stage.temperature)}, threshold: {threshold}",
            "        ),",
        ]
    lines += ["    ]", ""]
    litert = _is_litert(manifest)
    example = 'try .liteRt(path: folder + "/" + stage.file, stage: stage)' if litert else "/* a Runner of stage.file */"
    return _filled(
        "stages.swift",
        CLASS=title,
        TABLES="\n".join(lines),
        ADAPTER=_filled("litert.swift")[:-1] if litert else "",
        IMPORTS="import TensorFlowLite\n" if litert else "",
        EXAMPLE=example.replace(".liteRt", f"{title}Stages.liteRt"),
    )


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _float(value: float) -> str:
    """With a point or an exponent, so that it is a float in every language; enough digits for float32."""
    text = repr(float(value))
    return text if any(mark in text for mark in ".einf") else f"{text}.0"
