"""Matrix products in all ranks, and einsum."""

from __future__ import annotations

import torch

from benchmarks.operators.row import function, refused

LEFT, RIGHT = (5, 6), (6, 7)

ROWS = (
    function("x @ y, matrices", lambda x, y: x @ y, LEFT, RIGHT),
    function("x @ y, heads", lambda x, y: x @ y, (2, 5, 6), (2, 6, 7)),
    function("x @ y, broadcast", lambda x, y: x @ y.unsqueeze(1), (2, 5, 6), (6, 7)),
    function("x @ y.transpose(-1, -2)", lambda x, y: x @ y.transpose(-1, -2), LEFT, (7, 6)),
    function("x @ constant", lambda x: x @ torch.linspace(-1, 1, 42).reshape(6, 7), LEFT),
    function("constant @ x", lambda x: torch.linspace(-1, 1, 20).reshape(4, 5) @ x, LEFT),
    function("x @ vector", lambda x: x @ torch.linspace(-1, 1, 6), LEFT),
    function("matrix @ vector, both inputs", lambda x, y: (x @ y.unsqueeze(-1)).squeeze(-1), LEFT, (6,)),
    function("torch.bmm", torch.bmm, LEFT, RIGHT),
    function("torch.baddbmm", torch.baddbmm, (5, 7), LEFT, RIGHT),
    function(
        "torch.addmm",
        lambda x: torch.addmm(torch.ones(3), x, torch.linspace(-1, 1, 36).reshape(12, 3), beta=2, alpha=0.5),
        (12,),
    ),
    function("torch.mm", lambda x: torch.mm(x, torch.linspace(-1, 1, 36).reshape(12, 3)), (12,)),
    function("torch.mv", lambda x: torch.mv(x, torch.linspace(-1, 1, 12)), (12,)),
    function("torch.einsum 'bij,bjk->bik'", lambda x, y: torch.einsum("bij,bjk->bik", x, y), LEFT, RIGHT),
    function("torch.einsum 'bhqd,bhkd->bhqk'", lambda x, y: torch.einsum("bhqd,bhkd->bhqk", x, y), (2, 5, 6), (2, 4, 6)),
    function(
        "torch.einsum 'bchw,oc->bohw'",
        lambda x: torch.einsum("bchw,oc->bohw", x, torch.linspace(-1, 1, 12).reshape(3, 4)),
        (4, 5, 6),
    ),
    function("torch.einsum 'bi,bj->bij'", lambda x, y: torch.einsum("bi,bj->bij", x, y), (5,), (6,)),
    refused("torch.einsum 'bii->bi'", lambda x: torch.einsum("bii->bi", x), "takes a diagonal", (5, 5)),
    function("torch.einsum 'bij->b'", lambda x: torch.einsum("bij->b", x), LEFT),
    refused("torch.linalg.inv", torch.linalg.inv, "inv", (4, 4)),
    refused("torch.fft.rfft", lambda x: torch.fft.rfft(x).abs(), "fft", (16,)),
    refused("torch.stft", lambda x: torch.stft(x, 8, return_complex=True).abs(), "stft", (32,)),
)
