"""The text form reads back as the same graph, and says where it can't be read."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings

from edgekit.errors import InputError
from edgekit.ir import Graph, N, QuantParams, TensorType, Where, ops
from edgekit.ir.text import parse, to_text
from edgekit.ir.text_parser import random_constant
from edgekit.ir.verify import verify
from tests.ir.random_graphs import graphs


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(graphs())
def test_text_reads_back_as_the_same_graph(graph: Graph) -> None:
    text = to_text(graph)
    twin = parse(text, {v.name: v.tensor.detach() for v in graph.constants()})
    verify(twin)
    assert to_text(twin) == text
    assert [n.op for n in twin.nodes] == [n.op for n in graph.nodes]
    assert [v.quant for v in twin.values()] == [v.quant for v in graph.values()]
    assert {k: v.name for k, v in twin.state.items()} == {k: v.name for k, v in graph.state.items()}
    assert twin.transient == graph.transient
    for mine, theirs in zip(twin.constants(), graph.constants(), strict=True):
        assert mine.is_trainable == theirs.is_trainable and mine.tensor.requires_grad == theirs.tensor.requires_grad
        assert torch.equal(mine.tensor, theirs.tensor)


def test_a_graph_prints_as_documented() -> None:
    graph = Graph("net")
    x = graph.add_input("x", TensorType(torch.float32, (N, 3, 8, 8)))
    w = graph.add_state("conv.weight", torch.nn.Parameter(torch.zeros(4, 3, 3, 3)))
    w.quant = QuantParams("int8", (0.1, 0.2, 0.3, 4.0), (0,) * 4, 0, True)
    graph.add_state("head.weight", w)
    graph.add_state("odd name", torch.zeros(2), transient=True)
    y = graph.add(ops.Conv2d(padding=((1, 1), (1, 1))), x, w, None, name="y", where=(Where("0.conv", "net.py", 7, "forward"),))
    y.quant = QuantParams("int8", (0.05,), (-3,))
    z = graph.add(ops.Mul("relu"), y, graph.constant(torch.tensor(0.1), "tenth"), name="z")
    a, b = graph.add_node(ops.Split(1, (2, 2)), [z], name="a").outputs
    graph.outputs = [a, b]
    assert to_text(graph, places=True) == (
        "graph net(%x: float32[N,3,8,8])\n"
        "  @conv.weight: float32[4,3,3,3] ~ int8(axis=0, scale=(0.1, 0.2, 0.3, 4.0), zero_point=0, narrow=True)"
        " parameter(conv.weight, head.weight)\n"
        '  @"odd name": float32[2] transient\n'
        "  @tenth: float32[] = 0.1\n"
        "  %y: float32[N,4,8,8] ~ int8(scale=0.05, zero_point=-3) = conv2d(%x, @conv.weight, none, padding=((1, 1), (1, 1)))"
        "  # 0.conv (net.py:7, in forward)\n"
        "  %z: float32[N,4,8,8] = mul(%y, @tenth, activation='relu')\n"
        "  %a: float32[N,2,8,8], %a_1: float32[N,2,8,8] = split(%z, axis=1, sizes=(2, 2))\n"
        "  return %a, %a_1\n"
    )
    assert to_text(parse(to_text(graph, places=True))) == to_text(graph)


def test_types_of_results_may_be_left_out_and_statements_may_run_over_lines() -> None:
    graph = parse("""
        # what follows is indented, commented and wrapped
        graph g(%x: float32[N,6],   # the input
                %y: float32[N,6])
          %z = concat(%x, %y,
                      axis=1)
          %r = reshape(%z, shape=(2*N, 6))
          return %r
    """)
    assert str(graph.outputs[0].type) == "float32[2*N,6]"


def test_constants_come_from_the_text_the_caller_or_a_seed() -> None:
    text = """
        graph g(%x: float32[N,3])
          @a: float32[3] = [1, inf, -0.5]
          @b: float32[3]
          @my.var: float32[3]
          %y = add(%x, @b)
          %z = add(%y, @a)
          %v = add(%z, @my.var)
          return %v
    """
    given_b = torch.tensor([4.0, 5.0, 6.0])
    graph = parse(text, {"b": given_b})
    assert graph.value("a").tensor.tolist() == [1.0, float("inf"), -0.5]
    assert graph.value("b").tensor is given_b
    assert bool((graph.value("my.var").tensor > 0).all())
    assert torch.equal(parse(text).value("b").tensor, random_constant("b", TensorType.of(given_b)))
    ones = parse(text, lambda name, type: torch.ones(type.at(1)))
    assert ones.value("b").tensor.tolist() == [1.0, 1.0, 1.0]


def test_equal_names_and_types_give_equal_random_constants_and_other_names_give_others() -> None:
    type = TensorType(torch.float32, (64,))
    assert torch.equal(random_constant("w", type), random_constant("w", type))
    assert not torch.equal(random_constant("w", type), random_constant("v", type))


HEAD = "graph g(%x: float32[N,3])\n"
TAIL = "\n  return %x"


@pytest.mark.parametrize(
    ("text", "what", "line", "hint"),
    [
        ("", "empty text", None, "begin with"),
        ("net(%x)", "begins with 'graph", "line 1: net(%x)", None),
        ("graph g(@x: float32[3])\nreturn @x", "an input is '%name: type'", "line 1", None),
        ("graph g(%x: float33[3])\nreturn %x", "unknown dtype 'float33'", "line 1", None),
        (HEAD + "  %y = rellu(%x)" + TAIL, "no op is called 'rellu'", "line 2: %y = rellu(%x)", "did you mean 'relu'?"),
        (HEAD + "\n  %y = relu(%X)" + TAIL, "%X is not defined above", "line 3", None),
        (HEAD + "  %y = relu(@x)" + TAIL, "@x is not defined above", "line 2", "did you mean x?"),
        (HEAD + "  %y = relu(%x, slope=3)" + TAIL, "'slope'", "line 2", None),
        (HEAD + "  %y = reshape(%x)" + TAIL, "'shape'", "line 2", None),
        (HEAD + "  %y = add(%x)" + TAIL, "'add' needs its input 'b'", "line 2", None),
        (HEAD + "  %y = add(%x, none)" + TAIL, "'add' needs its input 'b'", "line 2", None),
        (HEAD + "  %y = relu(%x, %x)" + TAIL, "takes at most 1 inputs, not 2", "line 2", None),
        (HEAD + "  %y: float32[N,4] = relu(%x)" + TAIL, "declared float32[N,4] but computed float32[N,3]", "line 2", None),
        (HEAD + "  %y, %z = relu(%x)" + TAIL, "has 1 results here, not 2", "line 2", None),
        (HEAD + "  %x = relu(%x)" + TAIL, "'x' is defined twice", "line 2", None),
        (HEAD + "  @y = relu(%x)" + TAIL, "a constant is '@name: type'", "line 2", None),
        (HEAD + "  @y: float32[N] " + TAIL, "fixed dimensions", "line 2", None),
        (HEAD + "  @y: float32[2] = [1, 2, 3]" + TAIL, "shape '[2]'", "line 2", None),
        (HEAD + "  %y = softmax(%x, axis=two)" + TAIL, "'two' is no literal", "line 2", None),
        (HEAD + "  %y = softmax(%x, axis=__import__('os'))" + TAIL, "is no literal", "line 2", None),
        (HEAD + "  %y = softmax(%x, axis=1, %x)" + TAIL, "comes after an attribute", "line 2", None),
        (HEAD + "  %y ~ int8(scal=1) = relu(%x)" + TAIL, "is not '%name: type'", "line 2", None),
        (HEAD + "  %y: float32[N,3] ~ int8(scal=1) = relu(%x)" + TAIL, "a quantisation is", "line 2", None),
        (HEAD + "  %y: float32[N,3] ~ int9(scale=1.0) = relu(%x)" + TAIL, "unknown quantised type 'int9'", "line 2", None),
        (HEAD + "  %y = reshape(%x, shape=(N, 4))" + TAIL, "cannot reshape", "line 2", None),
        (HEAD + "  %y = relu(%x", "a bracket is never closed", "line 2", None),
        (HEAD + "  %y = relu(%x)", "ends with 'return", "line 2", None),
        (HEAD + "  return %x\n  return %x", "'return' is the last line", "line 2", None),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(text: str, what: str, line: str | None, hint: str | None) -> None:
    with pytest.raises(InputError) as caught:
        parse(text)
    assert what in caught.value.what
    assert line is None or line in str(caught.value.where)
    assert hint is None or hint in str(caught.value.hint)


def test_data_of_another_shape_is_refused() -> None:
    with pytest.raises(InputError, match="the data given for @a is float32"):
        parse(HEAD + "  @a: float32[3]\n  %y = add(%x, @a)\n  return %y", {"a": torch.zeros(2)})
