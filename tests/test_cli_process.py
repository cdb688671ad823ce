"""What the command line sets in its own process, and what it leaves to others."""

from __future__ import annotations

import subprocess
import sys
import textwrap


def run(code: str) -> str:
    """What this code prints in a process of its own."""
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_tracer_is_imported_without_sharded_training_which_others_can_still_import() -> None:
    printed = run("""
        import sys
        from edgekit.cli.process import become_command
        become_command()
        import torch
        import torch.export._trace
        print("torch.distributed.fsdp" in sys.modules)
        import torch.distributed.fsdp
        print(torch.distributed.fsdp.fully_shard.__name__)
        class Net(torch.nn.Module):
            def forward(self, x):
                return torch.relu(x)
        program = torch.export.export(Net(), (torch.ones(2, 3),))
        print([n.name for n in program.graph.nodes])
    """)
    assert printed.splitlines() == ["False", "fully_shard", "['x', 'relu', 'output']"]


def test_other_versions_of_torch_import_all_they_ask_for() -> None:
    printed = run("""
        import sys
        from edgekit.cli import process
        process.become_command()
        process._KNOWN_VERSIONS = ("1.0.",)
        import torch.export._trace
        print("torch.distributed.fsdp" in sys.modules)
    """)
    assert printed == "True"


def test_a_program_that_calls_the_command_line_keeps_its_own_settings() -> None:
    printed = run("""
        import gc, sys
        before = gc.get_threshold(), list(sys.meta_path)
        from edgekit.cli import main
        main(["targets"])
        print((gc.get_threshold(), list(sys.meta_path)) == before)
    """)
    assert printed.splitlines()[-1] == "True"


def test_a_process_with_torch_ends_with_its_code_and_all_that_it_printed() -> None:
    code = textwrap.dedent("""
        import atexit, sys
        import torch
        from edgekit.cli.process import leave
        atexit.register(print, "at exit")
        class Last:
            def __del__(self): print("taken apart")
        last = Last()
        print("printed", end=" ")
        leave(3)
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (3, "printed at exit\n")


def test_threads_and_profilers_end_in_the_ordinary_way() -> None:
    printed = run("""
        import sys, threading, time
        import torch
        from edgekit.cli.process import leave
        sys.setprofile(lambda *_: None)
        leave(3)
        sys.setprofile(None)
        threading.Thread(target=lambda: (time.sleep(0.2), print("the thread's work"))).start()
        leave(3)
        print("still here")
    """)
    assert printed.splitlines() == ["still here", "the thread's work"]


def test_a_process_without_torch_ends_in_the_ordinary_way() -> None:
    assert run("from edgekit.cli.process import leave; leave(3); print('still here')") == "still here"
