"""Source code that feeds an artifact in an app: complete, with the artifact's own numbers in it."""

from edgekit.report.snippets.kotlin import kotlin_snippet
from edgekit.report.snippets.python import python_snippet

__all__ = ["kotlin_snippet", "python_snippet"]
