"""Seeds of random cases: some in every run of the tests, all in the slow ones."""

from __future__ import annotations

from typing import Any

import pytest


def seeds(count: int, *, always: int) -> list[Any]:
    """0 ... ``count`` - 1 for ``parametrize``, of which those from ``always`` on are slow tests."""
    return [pytest.param(seed, marks=[] if seed < always else pytest.mark.slow) for seed in range(count)]
