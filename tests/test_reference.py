"""``package.module:callable``: found in the user's folder; what goes wrong is told with the user's own line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edgekit.errors import InputError, Unsupported
from edgekit.reference import call, load_reference

SHOP = """
import json

class Nets:
    @staticmethod
    def small():
        return 7

def fails():
    json.loads("{")

def refuses():
    from edgekit.errors import Unsupported
    raise Unsupported("not this one", where="here")
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "shop_for_references.py").write_text(SHOP)
    (tmp_path / "typo_for_references.py").write_text("def build(:\n    pass\n")
    (tmp_path / "needs_for_references.py").write_text("import no_such_package_at_all\n")
    (tmp_path / "breaks_for_references.py").write_text("\nvalue = 1 / 0\n")
    return tmp_path


def refusal(text: str, root: Path) -> InputError:
    before = list(sys.path)
    with pytest.raises(InputError) as caught:
        load_reference(text, root)
    assert sys.path == before
    return caught.value


def test_a_nested_name_is_found_and_sys_path_is_as_before(root: Path) -> None:
    before = list(sys.path)
    assert load_reference("shop_for_references:Nets.small", root)() == 7
    assert sys.path == before


@pytest.mark.parametrize(
    ("text", "what", "where", "hint"),
    [
        ("shop_for_reference:x", "no module 'shop_for_reference'", "", "did you mean 'shop_for_references'?"),
        ("shop_for_references:Nets.smal", "has no 'smal'", "shop_for_references.py", "did you mean 'small'?"),
        ("shop_for_references.inner:x", "no module 'shop_for_references.inner'", "", ""),
        ("typo_for_references:build", "raised SyntaxError", "typo_for_references.py:1", ""),
        ("needs_for_references:x", "needs the module 'no_such_package_at_all'", "needs_for_references.py:1", "install it for"),
        ("breaks_for_references:x", "raised ZeroDivisionError", "breaks_for_references.py:2", ""),
    ],
)
def test_what_cannot_be_imported_is_refused(root: Path, text: str, what: str, where: str, hint: str) -> None:
    error = refusal(text, root)
    assert what in error.what
    assert where in str(error.where)
    assert hint in (error.hint or "")


def test_an_exception_names_the_users_innermost_line_not_the_librarys(root: Path) -> None:
    function = load_reference("shop_for_references:fails", root)
    with pytest.raises(InputError, match="'net:fails' raised JSONDecodeError") as caught:
        call(function, what="'net:fails'", root=root)
    assert str(caught.value.where).endswith("shop_for_references.py:10, in fails")


def test_an_error_of_edgekits_passes_through(root: Path) -> None:
    with pytest.raises(Unsupported, match="not this one"):
        call(load_reference("shop_for_references:refuses", root), what="x", root=root)
