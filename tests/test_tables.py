"""TOML tables into frozen dataclasses: every wrong key and value is an error that says where and what is near."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from edgekit import tables
from edgekit.errors import ConfigError


@dataclass(frozen=True)
class Wheel:
    radius: float
    kind: Literal["spoked", "solid"] = "spoked"


@dataclass(frozen=True)
class Cart:
    name: str
    wheels: tuple[Wheel, ...] = ()
    spare: Wheel | None = None
    load: int | None = None
    brake: bool = False
    shape: float | tuple[float, ...] | None = None
    by_side: Mapping[str, Wheel] | None = None
    plans: Path | None = None

    def __post_init__(self) -> None:
        if self.load == 13:
            raise ValueError("'load' must not be 13")


FILE = Path("cart.toml")


def refusal(table: dict[str, Any]) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        tables.parse(Cart, table, file=FILE)
    return caught.value


def test_values_of_every_kind_arrive_typed() -> None:
    table = {
        "name": "red", "wheels": [{"radius": 2}], "spare": {"radius": 1.5, "kind": "solid"}, "load": 3, "brake": True,
        "shape": [1, 2], "by_side": {"left": {"radius": 4}}, "plans": "a/b",
    }  # fmt: skip
    cart = tables.parse(Cart, table, file=FILE)
    assert cart == Cart("red", (Wheel(2.0),), Wheel(1.5, "solid"), 3, True, (1.0, 2.0), {"left": Wheel(4.0)}, Path("a/b"))
    assert isinstance(cart.wheels[0].radius, float)


@pytest.mark.parametrize(
    ("table", "what", "hint"),
    [
        ({"nmae": "x"}, "unknown key 'nmae'", "did you mean 'name'?"),
        ({"name": "x", "zzz": 1}, "unknown key 'zzz'", "known: brake, by_side"),
        ({"name": "x", "spare": {"radius": 1, "knd": "solid"}}, "unknown key 'knd' in [spare]", "did you mean 'kind'?"),
        ({}, "missing key 'name'", "add `name = ...`"),
        ({"name": 3}, "'name' must be a string, not 3", ""),
        ({"name": "x", "load": True}, "'load' must be an integer, not True", ""),
        ({"name": "x", "load": 1.5}, "'load' must be an integer, not 1.5", ""),
        ({"name": "x", "brake": 1}, "'brake' must be true or false, not 1", ""),
        ({"name": "x", "load": 13}, "'load' must not be 13", ""),
        ({"name": "x", "wheels": {"radius": 1}}, "'wheels' must be a list, not a table", ""),
        ({"name": "x", "wheels": [{"radius": "big"}]}, "'wheels[0].radius' must be a number, not 'big'", ""),
        ({"name": "x", "spare": 1}, "'spare' must be a table, not 1", "write [spare]"),
        ({"name": "x", "spare": {"radius": 1, "kind": "spokd"}}, "must be one of 'spoked', 'solid'", "did you mean 'spoked'?"),
        ({"name": "x", "by_side": 3}, "'by_side' must be a table, not 3", ""),
    ],
)
def test_a_wrong_table_is_refused(table: dict[str, Any], what: str, hint: str) -> None:
    error = refusal(table)
    assert what in error.what
    assert hint in (error.hint or "")
    assert error.where == "cart.toml"
    assert error.exit_code == 2


def test_a_file_that_is_missing_or_not_toml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        tables.read_toml(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("a = \n")
    with pytest.raises(ConfigError, match="not valid TOML"):
        tables.read_toml(tmp_path / "bad.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not valid TOML"):
        tables.read_toml(tmp_path / "binary.toml")
