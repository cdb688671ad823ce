"""The graph's own methods keep it consistent: names, places, users, order."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgekit.errors import Unsupported
from edgekit.ir import Graph, N, TensorType, Value, Where, ops
from edgekit.ir.text import parse, to_text
from edgekit.ir.verify import verify

BLOCK = """
    graph g(%x: float32[N,4])
      @w: float32[4,4] parameter
      %a = linear(%x, @w)
      %b = relu(%a)
      %c = add(%b, %x)
      return %c
"""


def text(source: str) -> str:
    return to_text(parse(source))


def test_a_replaced_value_gives_its_name_and_place_to_its_successor() -> None:
    graph = parse(BLOCK)
    old = graph.value("b")
    old.producer.where = (Where("act"),)  # type: ignore[union-attr]
    new = graph.add(ops.Gelu(), graph.value("a"), where=(Where("new"),), before=old.producer)
    graph.replace(old, new)
    assert new.name == "b" and old.name != "b"
    assert new.producer is not None and new.producer.where == (Where("new"), Where("act"))
    assert graph.eliminate_dead() == 1
    verify(graph)
    assert to_text(graph) == text(BLOCK.replace("relu", "gelu"))


def test_names_of_inputs_and_parameters_never_change() -> None:
    graph = parse(BLOCK)
    graph.replace(graph.value("a"), graph.value("x"))
    assert graph.inputs[0].name == "x"
    fresh = graph.add_state("fresh", nn.Parameter(torch.ones(4, 4)))
    graph.replace(graph.state["w"], fresh)
    assert fresh.name == "fresh" and graph.state["w"] is fresh
    verify(graph)


def test_an_output_keeps_its_name_through_a_replacement() -> None:
    graph = parse(BLOCK)
    graph.replace(graph.value("c"), graph.value("b"))
    assert [v.name for v in graph.outputs] == ["c"]
    graph.eliminate_dead()
    verify(graph)
    assert [n.op.name for n in graph.nodes] == ["linear", "relu"]


def test_a_value_that_is_an_output_keeps_that_name_when_it_replaces_an_inner_one() -> None:
    graph = parse("graph g(%x: float32[N,4])\n %a = relu(%x)\n %y = relu6(%x)\n %z = add(%a, %y)\n return %y, %z")
    graph.replace(graph.value("a"), graph.value("y"))
    assert [v.name for v in graph.outputs] == ["y", "z"]


def test_replacing_by_what_reads_it_does_not_make_a_circle() -> None:
    graph = parse(BLOCK)
    b = graph.value("b")
    wrapped = graph.add(ops.Identity(), b, before=graph.value("c").producer)
    graph.replace(b, wrapped)
    verify(graph)
    assert [n.op.name for n in graph.nodes] == ["linear", "relu", "identity", "add"]
    assert graph.value("c").producer.inputs[0] is wrapped  # type: ignore[union-attr]


def test_readers_count_every_input_and_every_output() -> None:
    graph = parse("graph g(%x: float32[N,4])\n %a = mul(%x, %x)\n %b = relu(%x)\n return %x, %a, %a")
    assert graph.readers(graph.value("x")) == 4
    assert len(graph.value("x").users) == 2
    assert graph.readers(graph.value("a")) == 2
    assert graph.readers(graph.value("b")) == 0


def test_set_input_moves_the_node_between_users() -> None:
    graph = parse("graph g(%x: float32[N,4], %y: float32[N,4])\n %a = mul(%x, %x)\n return %a")
    node, x, y = graph.nodes[0], graph.value("x"), graph.value("y")
    graph.set_input(node, 0, y)
    assert x.users == [node] and y.users == [node]
    graph.set_input(node, 1, y)
    assert x.users == [] and y.users == [node]
    verify(graph)


def test_set_op_infers_the_types_again() -> None:
    graph = parse("graph g(%x: float32[N,4])\n %a = reshape(%x, shape=(N, 2, 2))\n return %a")
    graph.set_op(graph.nodes[0], ops.Reshape((N, 4, 1)))
    assert str(graph.value("a").type) == "float32[N,4,1]"
    with pytest.raises(ValueError, match="cannot reshape"):
        graph.set_op(graph.nodes[0], ops.Reshape((N, 5)))
    assert graph.nodes[0].op == ops.Reshape((N, 4, 1)), "a refused change leaves the node as it was"


def test_remove_refuses_what_is_still_read() -> None:
    graph = parse(BLOCK)
    for name in ("b", "c"):
        with pytest.raises(ValueError, match=f"%{name} is still read"):
            graph.remove(graph.value(name).producer)  # type: ignore[arg-type]
    unread = graph.add_node(ops.Relu(), [graph.value("a")])
    graph.remove(unread)
    verify(graph)
    assert to_text(graph) == text(BLOCK)


def test_dead_nodes_go_and_state_stays() -> None:
    graph = parse(BLOCK)
    dead = graph.add(ops.Relu(), graph.value("a"))
    graph.add(ops.Gelu(), dead)
    used = graph.add_node(ops.Split(1, (1, 3)), [graph.value("b")])
    graph.outputs.append(used.outputs[1])  # its other output is dead, the node is not
    assert graph.eliminate_dead() == 2
    verify(graph)
    assert [n.op.name for n in graph.nodes] == ["linear", "relu", "add", "split"]
    graph.outputs = [graph.value("x")]
    assert graph.eliminate_dead() == 4
    assert list(graph.state) == ["w"] and graph.state["w"].users == []
    verify(graph)


def test_sort_restores_an_order_and_refuses_a_circle() -> None:
    graph = parse(BLOCK)
    before = to_text(graph)
    graph.nodes.reverse()
    with pytest.raises(AssertionError):
        verify(graph)
    graph.sort()
    assert to_text(graph) == before
    graph.set_input(graph.nodes[0], 0, graph.value("c"))
    with pytest.raises(ValueError, match="circle"):
        graph.sort()


def test_names_are_unique() -> None:
    graph = Graph()
    x = graph.add_input("x", TensorType(torch.float32, (N,)))
    assert [graph.add(ops.Relu(), x, name=name).name for name in ("x", "x", "y", "y")] == ["x_1", "x_2", "y", "y_1"]


def test_a_node_that_cannot_be_says_where() -> None:
    graph = parse(BLOCK)
    with pytest.raises(Unsupported) as caught:
        graph.add(ops.Add(), graph.value("x"), graph.constant(torch.zeros(3)), where=(Where("net.0", "net.py", 3),))
    assert caught.value.where == "net.0 (net.py:3)"


def test_values_come_once_and_in_reading_order() -> None:
    graph = parse(BLOCK)
    assert [v.name for v in graph.values()] == ["x", "w", "a", "b", "c"]
    assert [v.name for v in graph.constants()] == ["w"]
    with pytest.raises(KeyError):
        graph.value("nothing")


def test_macs_and_parameters_are_counted() -> None:
    graph = parse("""
        graph g(%x: float32[N,4,8,8])
          @w: float32[6,2,3,3] parameter
          @l: float32[5,6] parameter(l, tied)
          @m: float32[6] buffer
          %a = conv2d(%x, @w, stride=(2, 2), padding=((1, 1), (1, 1)), groups=2)
          %b = mean(%a, axes=(2, 3))
          %c = linear(%b, @l)
          %d = linear(%b, @l)
          return %c, %d
    """)
    assert graph.macs == 6 * 4 * 4 * 2 * 9 + 2 * 5 * 6
    assert graph.parameters == 6 * 2 * 9 + 5 * 6


def test_access_to_what_is_not_there_says_so() -> None:
    graph = parse("graph g(%x: float32[N,4])\n @w: float32[3,4]\n %a = linear(%x, @w, none)\n return %a")
    node = graph.nodes[0]
    assert node.optional(2) is None and node.optional(7) is None
    with pytest.raises(TypeError, match="has no input 2"):
        node.input(2)
    with pytest.raises(TypeError, match="%x is not a constant"):
        _ = graph.value("x").tensor


def test_readable_representations() -> None:
    graph = parse(BLOCK)
    assert repr(graph) == "<Graph 'g': 3 nodes, 16 parameters>"
    assert repr(graph.value("w")) == "@w: float32[4,4]" and repr(graph.value("a")) == "%a: float32[N,4]"
    assert repr(graph.nodes[0]) == "%a = linear()[%x, @w]"
    assert str(graph) == to_text(graph)
    assert isinstance(graph.value("a"), Value)
