"""A user's project folder, and `edgekit` typed in it: in this process, which is fast, or in one of its own."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgekit.cli import main

REPOSITORY = Path(__file__).resolve().parents[2]

_NUMBER = itertools.count()


@dataclass(frozen=True)
class Result:
    """What a command did."""

    code: int
    out: str
    err: str

    def parts(self) -> tuple[str, str, str]:
        """What, where and what to try of the only error; fails where one of the three is missing."""
        assert self.err.count("error: ") == 1, self.err
        text = self.err[self.err.index("error: ") :]
        what, found, rest = text.removeprefix("error: ").partition("\n  where: ")
        assert found, f"the error says nowhere where: {self.err}"
        where, found, hint = rest.partition("\n  try:   ")
        assert found, f"the error gives nothing to try: {self.err}"
        return what, where, hint.split("\nwarning: ")[0].strip()


class Project:
    """A folder with a module of its own name (so that no two tests share an imported module)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.module = f"network_{os.getpid()}_{next(_NUMBER)}"

    def write(self, text: str, name: str | None = None) -> Path:
        """A file; the project's module by default."""
        path = self.folder / (name or f"{self.module}.py")
        path.write_text(textwrap.dedent(text).lstrip())
        return path

    def model(self, body: str, example: str = "torch.randn(1, 1, 8, 8)") -> str:
        """Writes a module with a class ``Net`` of this body and a ``build`` that makes it; returns its reference."""
        text = f"import torch\nfrom torch import nn\nimport torch.nn.functional as F\n\n\nclass Net(nn.Module):\n{body}\n\n\n"
        text += f"def build():\n    torch.manual_seed(0)\n    return Net(), ({example},)\n"
        (self.folder / f"{self.module}.py").write_text(text)
        return f"{self.module}:build"

    def npz(self, name: str, **arrays: Any) -> str:
        """A file of arrays."""
        np.savez(self.folder / name, **arrays)
        return name

    def device(self, **budget: float) -> str:
        """A device file with this budget."""
        lines = "\n".join(f"{key} = {value}" for key, value in budget.items())
        facts = '[hardware]\nsoc = "s"\nabi = "arm64-v8a"\n[runtime]\nname = "litert"'
        self.write(f'description = "d"\n{facts}\n[budget]\n{lines}\n', "watch.toml")
        return "watch.toml"

    def weights(self, model: torch.nn.Module, name: str = "weights.pt") -> str:
        """A checkpoint."""
        torch.save(model.state_dict(), self.folder / name)
        return name

    def edgekit(self, *arguments: str) -> Result:
        """Types `edgekit ARGUMENTS` in the folder."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.chdir(self.folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main([str(a) for a in arguments])
        return Result(code, out.getvalue(), err.getvalue())

    def build(self, *arguments: str) -> Result:
        """Types `edgekit build ARGUMENTS`."""
        return self.edgekit("build", *arguments)

    def process(self, *arguments: str, prelude: str = "", **options: Any) -> Result:
        """The same in a process of its own; ``prelude`` is Python that runs in it first."""
        command = ["-m", "edgekit", *arguments]
        if prelude:
            command = ["-c", f"{prelude}\nimport sys\nfrom edgekit.cli import main\nsys.exit(main({list(arguments)!r}))"]
        done = subprocess.run(
            [sys.executable, *command],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
            **options,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    @property
    def environment(self) -> dict[str, str]:
        """That of a process that runs this checkout."""
        return os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}

    def report(self, target: str, output: str = "edgekit-out") -> dict[str, Any]:
        """report.json of a target."""
        return json.loads((self.folder / output / target / "report.json").read_text())  # type: ignore[no-any-return]

    def artifact(self, target: str, output: str = "edgekit-out") -> Path:
        """The only artifact of a target."""
        (path,) = [*(self.folder / output / target).glob("*.tflite"), *(self.folder / output / target).glob("*.onnx")]
        return path

    def written(self, output: str = "edgekit-out") -> list[str]:
        """Every file below the output folder that is not edgekit's own."""
        folder = self.folder / output
        files = [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()]
        return sorted(name for name in files if not name.startswith(".edgekit/"))


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Small networks gain nothing from more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


#: A small network of every common layer, fast to trace.
SMALL = """
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.head = nn.Linear(4, 10)

    def forward(self, x):
        x = F.relu(self.conv(x))
        return self.head(x.mean((2, 3)))
"""
