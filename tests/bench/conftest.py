"""Devices that the tests of this folder share; each is started once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.bench.devices import TestDevice, adb_device, local_device, ssh_device


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> TestDevice:
    return local_device(tmp_path_factory.mktemp("local"))


@pytest.fixture(scope="session")
def ssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestDevice]:
    with ssh_device(tmp_path_factory.mktemp("ssh")) as device:
        yield device


@pytest.fixture(scope="session")
def adb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestDevice]:
    with adb_device(tmp_path_factory.mktemp("adb")) as device:
        yield device


@pytest.fixture(params=["local", "ssh", "adb"])
def device(request: pytest.FixtureRequest) -> TestDevice:
    """The same test on each way to a device."""
    found: TestDevice = request.getfixturevalue(request.param)
    return found
