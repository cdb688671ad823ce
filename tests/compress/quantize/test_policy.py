"""What each runtime executes in integers, and the reasons for the rest."""

from __future__ import annotations

import pytest
import torch

from edgekit.compress.quantize.policy import LITERT, ONNXRUNTIME, POLICIES, TFLM, Mode, Policy
from edgekit.compress.quantize.post_training import quantize
from edgekit.ir.text import parse

HEAD = """
graph g(%x: float32[N,4,600], %q: float32[N,4,600])
  @mask: float32[600] = {mask}
  @c: float32[600]
"""


def mode(policy: Policy, call: str, mask: str = "") -> tuple[Mode, str | None]:
    head = HEAD.replace(" = {mask}", f" = {mask}" if mask else "")
    node = parse(f"{head}\n%y = {call}\nreturn %y").nodes[0]
    return policy.mode(node), policy.reason(node)


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES.keys())
@pytest.mark.parametrize(
    "call", ["linear(%x, @w2)", "relu(%x)", "add(%x, %q)", "mean(%x, axes=(2,))", "reshape(%x, shape=(N, 2400))"]
)
def test_common_ops_can_be_integers_everywhere(policy: Policy, call: str) -> None:
    text = f"graph g(%x: float32[N,4,600], %q: float32[N,4,600])\n@w2: float32[8,600]\n%y = {call}\nreturn %y"
    assert policy.reason(parse(text).nodes[0]) is None
    assert policy.mode(parse(text).nodes[0]) is not Mode.FLOAT


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("layer_norm(%x, @c, @c)", "loses 6-10 dB"),
        ("gelu(%x)", "loses 6-10 dB"),
        ("exp(%x)", "no integer kernel"),
        ("sum(%x, axes=(1,))", "no integer kernel"),  # LiteRT's reference SUM reads int8 as uint8
        ("elu(%x)", "no integer kernel"),  # only LiteRT's optimised resolver has it
        ("log_softmax(%x)", "no 8-bit scale fits"),
        ("pad(%x, pads=((0, 0), (0, 0), (1, 1)), mode='replicate')", "no integer kernel"),
        ("prelu(%x, %q)", "its slopes are computed"),
        ("div(%x, %q)", "no integer kernel"),
    ],
)
def test_what_stays_float_has_a_reason(call: str, reason: str) -> None:
    if call.startswith("prelu"):
        text = "graph g(%x: float32[N,4,6], %q: float32[4])\n%y = prelu(%x, %q)\nreturn %y"
        node = parse(text).nodes[0]
        found, why = LITERT.mode(node), LITERT.reason(node)
    else:
        found, why = mode(LITERT, call)
    assert found is Mode.FLOAT and why is not None and reason in why


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES.keys())
@pytest.mark.parametrize("kind", ["float16", "float64"])
def test_integers_stand_for_float32_alone(policy: Policy, kind: str) -> None:
    text = f"graph g(%x: {kind}[N,6])\n@w: {kind}[8,6]\n%y = linear(%x, @w)\n%z = cast(%y, dtype='float32')\nreturn %z"
    for node in parse(text).nodes:
        assert policy.mode(node) is Mode.FLOAT
        assert policy.reason(node) == f"it computes with {kind}"


def test_wide_softmaxes_would_kill_litert_and_stay_float_there() -> None:
    for policy in (LITERT, TFLM):
        found, why = mode(policy, "softmax(%x)")
        assert found is Mode.FLOAT and "aborts on rows of 512 elements or more" in (why or "")
    assert mode(ONNXRUNTIME, "softmax(%x)")[0] is Mode.EITHER
    narrow = parse("graph g(%x: float32[N,4,511])\n%y = softmax(%x)\nreturn %y").nodes[0]
    assert LITERT.reason(narrow) is None


@pytest.mark.parametrize(("spread", "islands"), [(8.0, []), (0.01, ["softmax"])], ids=["peaked", "flat"])
def test_a_wide_softmax_is_integer_where_calibration_saw_no_flat_rows(spread: float, islands: list[str]) -> None:
    graph = parse("graph g(%x: float32[N,600])\n%y = softmax(%x)\nreturn %y")
    rows = torch.randn(32, 600, generator=torch.Generator().manual_seed(0)) * spread
    _, record = quantize(graph, [[rows[:16]], [rows[16:]]], policy=LITERT)
    assert [island.op for island in record.islands] == islands


@pytest.mark.parametrize("policy", [LITERT, ONNXRUNTIME], ids=lambda p: p.runtime)
def test_adding_a_mask_stays_float(policy: Policy) -> None:
    causal = (
        "graph g(%x: float32[N,3,3])\n@m: float32[3,3] = [[0, -1e9, -1e9], [0, 0, -1e9], [0, 0, 0]]\n"
        "%y = add(%x, @m)\nreturn %y"
    )
    node = parse(causal).nodes[0]
    assert policy.mode(node) is Mode.FLOAT and "mask" in (policy.reason(node) or "")
    infinite = parse(causal.replace("-1e9", "-inf")).nodes[0]
    assert policy.mode(infinite) is Mode.FLOAT
    shift = "graph g(%x: float32[N,3])\n@m: float32[3] = [-1e9, -1e9, -1e9]\n%y = add(%x, @m)\nreturn %y"
    assert policy.mode(parse(shift).nodes[0]) is not Mode.FLOAT


def test_a_softmax_of_small_outputs_stays_float_where_that_is_possible() -> None:
    text = "graph g(%x: float32[N,300])\n@w: float32[4,300]\n%p = softmax(%x)\n%y = linear(%p, @w)\nreturn %y"
    answer = "graph g(%x: float32[N,300])\n%y = softmax(%x)\nreturn %y"
    rows = 0.3 * torch.randn(32, 300, generator=torch.Generator().manual_seed(0))
    for policy, source, islands in (
        (LITERT, text, ["softmax"]),
        (ONNXRUNTIME, text, ["softmax"]),
        (TFLM, text, []),
        (LITERT, answer, []),
    ):
        graph = parse(source)
        _, record = quantize(graph, [[rows]], policy=policy)
        assert [island.op for island in record.islands] == islands
        assert not islands or "steps of 1/256" in record.islands[0].reason


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES.keys())
def test_a_softmax_over_channels_is_an_integer_op(policy: Policy) -> None:
    assert mode(policy, "softmax(%x, axis=1)")[0] is not Mode.FLOAT


def test_micro_has_reasons_and_operators_of_its_own() -> None:
    assert "TFLite Micro has no operator" in (mode(TFLM, "layer_norm(%x, @c, @c)")[1] or "")
    assert mode(TFLM, "gelu(%x)")[1] == "TFLite Micro has no operator for it"
    assert mode(TFLM, "elu(%x)") == (Mode.INTEGER, None) and mode(TFLM, "abs(%x)") == (Mode.INTEGER, None)
    assert mode(TFLM, "elu(%x, alpha=0.5)")[0] is Mode.FLOAT


def test_products_of_activations_stay_float_where_they_are_not_delegated() -> None:
    assert mode(LITERT, "matmul(%x, %q, transpose_b=True)")[0] is Mode.FLOAT
    assert mode(ONNXRUNTIME, "matmul(%x, %q, transpose_b=True)")[0] is Mode.INTEGER
    assert mode(TFLM, "matmul(%x, %q, transpose_b=True)")[0] is Mode.INTEGER
