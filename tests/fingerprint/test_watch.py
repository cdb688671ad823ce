"""The watch sees what the user's code reads, lists and imports, and nothing of the installation."""

from __future__ import annotations

import importlib.metadata
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from edgekit.fingerprint.watch import FileWatch
from edgekit.reference import load_reference, on_sys_path


def names(watch: FileWatch, folder: Path) -> set[str]:
    """Files seen inside the folder, relative to it."""
    return {str(Path(path).relative_to(folder)) for path in watch.files if Path(path).is_relative_to(folder)}


def test_files_that_libraries_read_are_seen(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    np.savez(tmp_path / "b.npz", x=[1])
    torch.save({"w": torch.ones(1)}, tmp_path / "c.pt")
    (tmp_path / "unread.txt").touch()
    watch = FileWatch()
    with watch.watching():
        (tmp_path / "a.txt").read_text()
        with np.load(tmp_path / "b.npz") as content:
            _ = content["x"]
        torch.load(tmp_path / "c.pt", weights_only=True)
        descriptor = os.open(os.fsencode(tmp_path / "a.txt"), os.O_RDONLY)
        os.close(descriptor)
    assert names(watch, tmp_path) == {"a.txt", "b.npz", "c.pt"}


def test_files_that_safetensors_reads_by_itself_are_seen_however_it_was_imported(tmp_path: Path) -> None:
    save_file({"w": torch.ones(2)}, tmp_path / "w.safetensors")
    for first in ("import safetensors.torch", "pass"):
        script = f"""
{first}
from edgekit.fingerprint.watch import FileWatch
watch = FileWatch()
with watch.watching():
    from safetensors.torch import load_file
    load_file({str(tmp_path / "w.safetensors")!r})
print(*watch.files)
"""
        answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert "w.safetensors" in answer.stdout


def test_imports_are_seen_with_and_without_bytecode_and_nothing_installed_is(tmp_path: Path) -> None:
    package = tmp_path / "shop_of_mine"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "net.py").write_text("from shop_of_mine.part import size\nimport json, torch\nvalue = size\n")
    (package / "part.py").write_text("size = 3\n")
    for _ in range(2):  # the second time from __pycache__
        watch = FileWatch()
        with watch.watching():
            assert load_reference("shop_of_mine.net:value", tmp_path) == 3
        assert names(watch, tmp_path) == {"shop_of_mine/__init__.py", "shop_of_mine/net.py", "shop_of_mine/part.py"}
        assert [path for path in watch.files if "site-packages" in path or f"{os.sep}lib{os.sep}python" in path] == []
        for name in [name for name in sys.modules if name.startswith("shop_of_mine")]:
            del sys.modules[name]


def test_looking_for_modules_does_not_list_their_folder_but_globbing_does(tmp_path: Path) -> None:
    (tmp_path / "lister_of_mine.py").write_text(
        "import pathlib\n\ndef images():\n    return sorted((pathlib.Path(__file__).parent / 'images').glob('*.png'))\n"
    )
    (tmp_path / "images").mkdir()
    watch = FileWatch()
    with watch.watching():
        with on_sys_path(tmp_path):
            importlib.metadata.packages_distributions()
            list(pkgutil.iter_modules())
        load_reference("lister_of_mine:images", tmp_path)()
    assert {Path(path) for path in watch.folders} == {tmp_path / "images"}


def test_what_is_written_is_no_input(tmp_path: Path) -> None:
    (tmp_path / "count").write_text("1")
    watch = FileWatch()
    with watch.watching():
        (tmp_path / "cache").write_text("x")
        (tmp_path / "cache").read_text()
        (tmp_path / "count").read_text()
        (tmp_path / "count").write_text("2")
    assert names(watch, tmp_path) == {"count"}


class Samples(torch.utils.data.Dataset[torch.Tensor]):
    """Reads one file a sample, in whatever process asks for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.tensor(float((self.folder / f"{index}.txt").read_text()))


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")
def test_what_forked_workers_read_is_seen(tmp_path: Path) -> None:
    for index in range(3):
        (tmp_path / f"{index}.txt").write_text(str(index))
    watch = FileWatch()
    loader = torch.utils.data.DataLoader(Samples(tmp_path), num_workers=2, multiprocessing_context="fork")
    with watch.watching():
        assert [float(value) for value in loader] == [0.0, 1.0, 2.0]
    assert names(watch, tmp_path) == {"0.txt", "1.txt", "2.txt"}


def test_nothing_is_seen_outside_the_block(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    watch = FileWatch()
    with watch.watching():
        pass
    (tmp_path / "a").read_text()
    assert names(watch, tmp_path) == set()
    with watch.watching(), pytest.raises(RuntimeError, match="one watch at a time"), FileWatch().watching():
        pass


def test_an_error_in_the_hook_is_not_the_users_but_makes_the_watch_incomplete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").touch()
    watch = FileWatch()
    with watch.watching():
        monkeypatch.setattr(FileWatch, "note_file", lambda *_, **__: 1 / 0)
        (tmp_path / "a").read_text()
        monkeypatch.undo()
    assert not watch.complete


def test_an_error_in_the_block_ends_the_watch(tmp_path: Path) -> None:
    watch = FileWatch()
    with pytest.raises(FileNotFoundError), watch.watching():
        (tmp_path / "none").read_text()
    assert names(watch, tmp_path) == set()
    with watch.watching():
        pass
