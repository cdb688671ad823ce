"""The console that commands print tables on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

#: Width where there is no terminal: nothing is cut off in a file or a pipe.
_WIDE = 200


def stdout_console() -> Console:
    """Standard output: as wide as the terminal, wide where there is none; no colours there, nor with NO_COLOR."""
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_WIDE)
