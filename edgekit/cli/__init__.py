"""The command line: parses, calls, renders. Each command is in a file of its own and imported only when it runs."""

from edgekit.cli.root import main

__all__ = ["main"]
