"""What a C++ library prints on standard error, kept from the user's terminal."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


class NativeOutput:
    """The text that was captured; complete when the ``with`` block has ended."""

    text: str = ""


@contextmanager
def captured_stderr() -> Iterator[NativeOutput]:
    """Redirect file descriptor 2 of this process for the length of the block.

    Runtimes announce themselves there ("Created TensorFlow Lite XNNPACK delegate for CPU") and give the reason of an
    error only there. The redirection holds for all threads.
    """
    output = NativeOutput()
    with tempfile.TemporaryFile() as file:
        saved = os.dup(2)
        try:
            os.dup2(file.fileno(), 2)
            yield output
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            file.seek(0)
            output.text = file.read().decode("utf-8", "replace")
