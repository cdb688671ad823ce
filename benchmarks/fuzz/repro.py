"""A network as a script that shows its disagreement."""

from __future__ import annotations

from benchmarks.fuzz.program import Program


def script(program: Program) -> str:
    """Python that builds the network from rows of the operator table and prints what disagrees; run it in the repository."""
    inputs = "".join(
        f"    {name!r}: Given({given.shape!r}, {given.kind!r}, {given.below!r}),\n" for name, given in program.inputs.items()
    )
    steps = "".join(f"    Step({step.row!r}, {step.reads!r}, {step.key}),\n" for step in program.steps)
    return (
        "from benchmarks.fuzz.checking import check\n"
        "from benchmarks.fuzz.program import Network, Program, Step\n"
        "from benchmarks.operators.row import Given\n"
        "\n"
        f"inputs = {{\n{inputs}}}\n"
        f"steps = (\n{steps})\n"
        f"program = Program({program.seed}, inputs, steps, {program.outputs!r})\n"
        "\n"
        "print(Network(program))  # an nn.Module; inputs: program.draw()\n"
        "print(check(program))\n"
    )
