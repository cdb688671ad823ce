"""The C decoder makes of every archive what the Python one makes of it, and of a damaged one an error."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from edgekit.packing.archive import write
from tests.packing.c_driver import SANITIZERS, SOURCE, STRICT, compiler, unpacked
from tests.packing.mutation import forged, mutants
from tests.packing.samples import clustered, every_kind, float_file

FILES = {**every_kind(), "larger": float_file(clustered(40, 150))}


@cache
def archive(name: str, fast: bool) -> bytes:
    return write(FILES[name], fast=fast).data


def test_it_compiles_without_a_warning_as_c_and_as_part_of_cpp(tmp_path: Path) -> None:
    for tool, language in ((compiler(), STRICT), (shutil.which("clang"), STRICT)):
        if tool is not None:
            command = [tool, *language, "-O2", "-c", str(SOURCE / "ekz.c"), "-o", str(tmp_path / "ekz.o")]
            assert subprocess.run(command, capture_output=True, text=True, check=False).stderr == ""
    plus = shutil.which("g++")
    if plus is not None:
        (tmp_path / "user.cpp").write_text('#include "ekz.h"\nint main() { return ekz_error(0) == nullptr; }\n')
        command = [plus, "-Wall", "-Werror", f"-I{SOURCE}", str(tmp_path / "user.cpp"), str(tmp_path / "ekz.o")]
        done = subprocess.run([*command, "-o", str(tmp_path / "user")], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_it_needs_nothing_but_memcpy_and_the_like(tmp_path: Path) -> None:
    names = shutil.which("nm")
    if names is None:
        pytest.skip("nm is not installed")
    made = tmp_path / "ekz.o"
    subprocess.run([compiler(), "-std=c99", "-O2", "-c", str(SOURCE / "ekz.c"), "-o", str(made)], check=True)
    listed = subprocess.run([names, "-u", str(made)], capture_output=True, text=True, check=True).stdout
    wanted = {line.split()[-1].split("@")[0] for line in listed.splitlines() if line.strip()}
    assert wanted <= {"memcpy", "memset", "memcmp", "__stack_chk_fail", "_GLOBAL_OFFSET_TABLE_"}
    data = subprocess.run([names, str(made)], capture_output=True, text=True, check=True).stdout
    assert not re.search(r" [bBdDcC] ", data)  # no state of its own


@pytest.mark.parametrize("fast", [False, True], ids=["models", "fast"])
def test_it_unpacks_what_python_packs(unpacker: Path, fast: bool) -> None:
    answers = unpacked(unpacker, [archive(name, fast) for name in FILES], 120)
    assert answers == [(0, data) for data in FILES.values()]


def test_a_thousand_changed_archives_give_an_error_or_the_file_itself(unpacker: Path) -> None:
    names = ["clustered weights", "pruned float weights", "int8 weights", "zeros", "onnx"]
    seen = set()
    for name in names:
        for fast in (False, True):
            changed = mutants(archive(name, fast), 70, seed=len(name)) + forged(archive(name, fast), 17, 40, seed=3)
            for error, data in unpacked(unpacker, changed, 240):
                assert data == (b"" if error else FILES[name])
                seen.add(error)
    assert {1, 3, 4} <= seen <= {0, 1, 2, 3, 4, 5}


def test_less_room_than_it_says_it_needs_is_an_error(tmp_path: Path) -> None:
    packed = archive("clustered weights", False)
    values = ",".join(str(byte) for byte in packed)
    (tmp_path / "main.c").write_text(
        f"""#include "ekz.h"
        #include <stdlib.h>
        static const uint8_t archive[] = {{{values}}};
        int main(void) {{
            ekz_info_t info;
            size_t step, size = sizeof archive;
            if (ekz_info(archive, size, &info) != EKZ_OK) return 1;
            size_t need = info.workspace;
            uint8_t *out = malloc(info.size), *space = malloc(need + 7);
            if (ekz_unpack(archive, size, out, info.size - 1, space, need) != EKZ_NO_ROOM) return 2;
            for (step = 0; step + 4096 < need; step += 9973)
                if (ekz_unpack(archive, size, out, info.size, space, step) == EKZ_OK) return 3;
            for (step = 0; step < 8; step++)
                if (ekz_unpack(archive, size, out, info.size, space + step, need) != EKZ_OK) return 4;
            return 0;
        }}
        """
    )
    program = tmp_path / "main"
    command = [compiler(), "-std=c99", *SANITIZERS, "-fno-sanitize=address", f"-I{SOURCE}", str(SOURCE / "ekz.c")]
    done = subprocess.run([*command, str(tmp_path / "main.c"), "-o", str(program)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert subprocess.run([program], check=False).returncode == 0
