"""The program that unpacks archives in C, built once for all tests here."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.packing.c_driver import built


@pytest.fixture(scope="session")
def unpacker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """See ``c_driver.built``."""
    return built(tmp_path_factory.mktemp("ekz"))
