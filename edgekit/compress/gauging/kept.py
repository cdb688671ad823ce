"""Readings in a file, for a step that is cut off."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from edgekit.compress.gauging.meters import Reading


class Kept:
    """Readings by name, in a JSON file where one is given, else in memory."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._found: dict[str, Reading] = {}
        if path is not None and path.is_file():
            for name, fields in json.loads(path.read_text()).items():
                interval = None if fields["interval"] is None else (fields["interval"][0], fields["interval"][1])
                self._found[name] = Reading(**{**fields, "interval": interval, "unstable": tuple(fields["unstable"])})

    def get(self, name: str) -> Reading | None:
        """A reading that was added, also by an earlier run."""
        return self._found.get(name)

    def add(self, name: str, reading: Reading) -> None:
        """Keeps a reading; the file is whole at any time."""
        self._found[name] = reading
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        beside = self._path.with_suffix(".part")
        beside.write_text(json.dumps({key: asdict(value) for key, value in self._found.items()}))
        beside.replace(self._path)
