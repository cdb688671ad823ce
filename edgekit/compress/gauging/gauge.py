"""A graph's cost as the harness measures it, against the graph that a step was given."""

from __future__ import annotations

import hashlib
import tempfile
from functools import cached_property
from pathlib import Path
from types import TracebackType

from edgekit.compress.gauging.candidate import FileMaker
from edgekit.compress.gauging.kept import Kept
from edgekit.compress.gauging.meters import Latency, Meter, Reading
from edgekit.ir import Graph


class Gauge:
    """Writes candidates as files and measures them; a context, because the files are temporary.

    Attributes:
        what: of the files, in a few words.
        before: the reading of the graph that the step was given; measured when it is first asked for.
        whole: its multiply-accumulates, or what else candidates are chosen by.
    """

    def __init__(
        self, graph: Graph, file: FileMaker, meter: Meter, kept: Path | None = None, *, whole: int | None = None
    ) -> None:
        """A gauge that compares with one graph.

        Args:
            graph: that the step was given.
            file: writes the files.
            meter: measures them.
            kept: file of readings, by the content of what was measured: a step that was cut off chooses again what it chose,
                although a time is never measured twice alike.
            whole: what candidates are chosen by, of this graph; its multiply-accumulates by default.

        Raises:
            EdgekitError: the graph cannot be exported; nothing has been trained yet.
        """
        self.whole = graph.macs if whole is None else whole
        self._file, self._meter, self._kept = file, meter, Kept(kept)
        self._folder = tempfile.TemporaryDirectory(prefix="edgekit-gauge-")
        try:
            self.what = ""
            self._base = self._write(graph)
        except BaseException:
            self._folder.cleanup()
            raise

    @cached_property
    def before(self) -> Reading:
        """See above."""
        return self._read(self._base)

    def __call__(self, graph: Graph) -> Reading:
        """The reading of a candidate."""
        return self._read(self._write(graph))

    def glance(self, graph: Graph) -> Reading:
        """A reading of a candidate that is quick, and rough where that takes less than the reading itself."""
        path = self._write(graph)
        if self._kept.get(path.stem) is None and isinstance(self._meter, Latency):
            return self._meter.glance(self._base, path)
        return self._read(path)

    def __enter__(self) -> Gauge:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._folder.cleanup()

    def _write(self, graph: Graph) -> Path:
        made = self._file(graph)
        self.what = made.what
        path = Path(self._folder.name) / f"{hashlib.sha256(made.content).hexdigest()[:24]}{made.suffix}"
        path.write_bytes(made.content)
        return path

    def _read(self, path: Path) -> Reading:
        found = self._kept.get(path.stem)
        if found is None:
            found = self._meter(self._base, path)
            self._kept.add(path.stem, found)
        return found
