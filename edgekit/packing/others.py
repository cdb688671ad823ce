"""What general compressors make of a file: an archive stands beside them, because an app's package is zipped anyway."""

from __future__ import annotations

import gzip
import lzma
import shutil
import subprocess


def others(data: bytes) -> dict[str, int | None]:
    """Bytes by compressor: ``gzip -9``, ``xz -9e`` and ``zstd -22``; None for one that is not here."""
    return {
        "gzip -9": len(gzip.compress(data, 9, mtime=0)),
        "xz -9e": len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)),
        "zstd -22": _zstd(data),
    }


def _zstd(data: bytes) -> int | None:
    """With the package ``zstandard`` or the tool; Python has none of its own before 3.14."""
    try:
        import zstandard
    except ImportError:
        tool = shutil.which("zstd")
        if tool is None:
            return None
        done = subprocess.run([tool, "--ultra", "-22", "-c", "-q"], input=data, capture_output=True, check=False)
        return len(done.stdout) if done.returncode == 0 else None
    return len(zstandard.ZstdCompressor(level=22).compress(data))
