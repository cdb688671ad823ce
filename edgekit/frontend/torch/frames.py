"""Traced nodes remember the user's innermost line, helper functions included."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from torch.fx.proxy import TracerBase

from edgekit.frontend.torch.places import is_users

_FILTER = "_filter_traceback_frames"


@contextmanager
def remember_frames() -> Iterator[None]:
    """Inside the block, traces keep all of the user's frames below the model's forward.

    torch keeps those of functions called ``forward`` alone: an op in a helper would seem to stand where the helper is called.
    Where torch has no such filter, nothing is changed.
    """
    if not hasattr(TracerBase, _FILTER):
        yield
        return
    with mock.patch.object(TracerBase, _FILTER, _kept):
        yield


def _kept(tracer: TracerBase, frames: traceback.StackSummary) -> traceback.StackSummary:
    names = [frame.name for frame in frames]
    first = names.index("forward") if "forward" in names else len(names)
    return traceback.StackSummary.from_list([frame for frame in frames[first:] if is_users(frame.filename)])
