"""Loops whose number of steps is known while loading are written out, once for each step; these are the limits."""

from __future__ import annotations

#: Steps, and nodes of all steps together: beyond these a graph of single steps is of no use, and a damaged file asks for more.
MOST_STEPS, MOST_NODES = 256, 1 << 14

#: What is wrong with other loops.
HOW_OFTEN = "decides while running how often its body is computed"
TOO_OFTEN = f"goes around more than {MOST_STEPS} times"

#: What is wrong with branches whose condition is computed.
WHICH_BRANCH = "decides while running which branch is computed"
