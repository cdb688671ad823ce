"""Write ``edgekit/formats/tflite/schema_generated.py`` from the official generated TFLite schema.

The official one-file Python module (flatc's output for ``schema.fbs``, carried by the ai-edge-litert wheel) has 20,000
lines and takes 0.15 s to import, most of it an object API that edgekit does not use. This script reads that module's
syntax tree, without importing it, and keeps the facts alone: every enum, and for every table the name, slot, type and
default of each field. Run it after a new release of the runtime::

    python tools/generate_tflite_schema.py

A test compares the result with the installed official module field by field.
"""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path

TARGET = Path(__file__).resolve().parent.parent / "edgekit" / "formats" / "tflite" / "schema_generated.py"

HEADER = '''"""The TensorFlow Lite schema as plain facts: enums, and the fields of every table. Generated; do not edit.

Written by tools/generate_tflite_schema.py from flatc's official output for schema.fbs, file identifier "TFL3":

    Copyright 2017 The TensorFlow Authors. All Rights Reserved.

    Licensed under the Apache License, Version 2.0 (the "License");
    you may not use this file except in compliance with the License.
    You may obtain a copy of the License at

        http://www.apache.org/licenses/LICENSE-2.0

    Unless required by applicable law or agreed to in writing, software
    distributed under the License is distributed on an "AS IS" BASIS,
    WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
    See the License for the specific language governing permissions and
    limitations under the License.

Changes against the original: the accessors are replaced by the field lists that they encode. A field is
``name:type[=default]`` in the order of its slot; ``_`` is a slot without a field; ``[t]`` is a vector; a type in
CamelCase is a table; ``union`` is a table whose type stands in the field before it.
"""

from __future__ import annotations

from enum import IntEnum
'''

_SCALARS = {
    "Int8": "i8",
    "Uint8": "u8",
    "Bool": "bool",
    "Int16": "i16",
    "Uint16": "u16",
    "Int32": "i32",
    "Uint32": "u32",
    "Int64": "i64",
    "Uint64": "u64",
    "Float32": "f32",
    "Float64": "f64",
}


def _snake(name: str) -> str:
    """``dilationWFactor`` -> ``dilation_w_factor``, the spelling of schema.fbs."""
    name = re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name)
    return re.sub(r"(?<=[A-Z])([A-Z][a-z])", r"_\1", name).lower()


def _methods(node: ast.ClassDef) -> dict[str, ast.FunctionDef]:
    return {item.name: item for item in node.body if isinstance(item, ast.FunctionDef)}


def _offset_type(reader: ast.FunctionDef) -> str:
    """The schema type of a field that is stored as an offset, from the body of its reader."""
    text = ast.unparse(reader)
    vector = "self._tab.Vector(" in text
    if "self._tab.Union(" in text:
        return "union"
    if "self._tab.String(" in text:
        return "[str]" if vector else "str"
    if scalar := re.search(r"number_types\.(\w+)Flags, a \+", text):
        return f"[{_SCALARS[scalar[1]]}]"
    table = re.search(r"obj = (\w+)\(\)", text)
    assert table, text
    return f"[{table[1]}]" if vector else table[1]


def _fields(name: str, node: ast.ClassDef, functions: dict[str, ast.FunctionDef]) -> str:
    """The field list of one table, read from its ``<Table>Add<Field>`` functions."""
    count = re.search(r"StartObject\((\d+)\)", ast.unparse(functions[f"{name}Start"]))
    assert count
    slots = ["_"] * int(count[1])
    methods = _methods(node)
    for method, reader in methods.items():
        adder = functions.get(f"{name}Add{method}")
        if adder is None:
            continue
        call = re.search(r"Prepend(\w+)Slot\((\d+), (.+), ([^,]+)\)", ast.unparse(adder))
        assert call, ast.unparse(adder)
        kind, slot, _, default = call.groups()
        field = _snake(adder.args.args[1].arg)
        if kind == "UOffsetTRelative":
            slots[int(slot)] = f"{field}:{_offset_type(reader)}"
        else:
            value = {"False": "0", "True": "1"}.get(default, default)
            suffix = "" if float(value) == 0 else f"={value}"
            slots[int(slot)] = f"{field}:{_SCALARS[kind]}{suffix}"
    return " ".join(slots)


def _enum(node: ast.ClassDef) -> str:
    lines = [f"\n\nclass {node.name}(IntEnum):", f'    """``{node.name}`` of the schema."""\n']
    for item in node.body:
        assert isinstance(item, ast.Assign)
        lines.append(f"    {ast.unparse(item)}")
    return "\n".join(lines)


def generate(source: str) -> str:
    """The text of the generated module for the text of the official one."""
    tree = ast.parse(source)
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    enums = [node for node in classes if all(isinstance(item, ast.Assign) for item in node.body)]
    tables = [node for node in classes if f"{node.name}Start" in functions]
    lines = [
        HEADER.rstrip(),
        *(_enum(node) for node in enums),
        "\n\n#: Table name -> its fields.",
        "TABLES: dict[str, str] = {",
    ]
    for node in tables:
        text = _fields(node.name, node, functions)
        lines.append(f'    "{node.name}": "{text}",')
    return "\n".join([*lines, "}", ""])


def main() -> None:
    """Regenerate the module from the wheel in this environment."""
    spec = importlib.util.find_spec("ai_edge_litert")
    if spec is None or spec.origin is None:
        raise SystemExit("ai-edge-litert is not installed: pip install ai-edge-litert")
    source = (Path(spec.origin).parent / "schema_py_generated.py").read_text(encoding="utf-8")
    TARGET.write_text(generate(source), encoding="utf-8")


if __name__ == "__main__":
    main()
