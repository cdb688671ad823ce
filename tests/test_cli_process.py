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
