"""What does nothing, what nobody reads, what is known already and what is computed twice is taken out."""

from __future__ import annotations

import pytest
import torch

from edgekit.ir import Where
from edgekit.ir.text import parse
from edgekit.passes.eliminate import (
    EliminateDead,
    EliminateDuplicates,
    EliminateEmptyParts,
    EliminateEmptySplits,
    EliminateIdentity,
    FoldConstants,
)
from tests.rewrites import assert_rewrites

HEAD = "graph g(%x: float32[N,2,3,4])\n"


@pytest.mark.parametrize(
    "nothing",
    [
        "dropout(%r, p=0.5)",
        "identity(%r)",
        "cast(%r, dtype='float32')",
        "reshape(%r, shape=(N, 2, 3, 4))",
        "expand(%r, shape=(N, 2, 3, 4))",
        "slice(%r, starts=(0, 0, 0, 0), stops=(N, 2, 3, 4), steps=(1, 1, 1, 1))",
        "permute(%r, dims=(0, 1, 2, 3))",
        "pad(%r, pads=((0, 0), (0, 0), (0, 0), (0, 0)), value=7.0)",
        "tile(%r, repeats=(1, 1, 1, 1))",
        "concat(%r, axis=1)",
        "split(%r, axis=1, sizes=(2,))",
        "resize(%r, size=(3, 4), mode='bilinear')",
        "resize(%r, size=(3, 4), scales=(1.0, 1.0))",
    ],
)
def test_an_op_that_returns_its_input_is_taken_out(nothing: str) -> None:
    assert_rewrites(
        EliminateIdentity(),
        f"{HEAD}%r = relu(%x)\n%y = {nothing}\n%z = sigmoid(%y)\nreturn %z",
        count=1,
        becomes=f"{HEAD}%y = relu(%x)\n%z = sigmoid(%y)\nreturn %z",
    )


def test_parts_without_elements_are_not_joined() -> None:
    text = f"{HEAD}%a, %e = split(%x, axis=3, sizes=(4, 0))\n%r = relu(%a)\n%y = concat(%r, %e, axis=3)\nreturn %y"
    joined = text.replace("concat(%r, %e,", "concat(%r,")
    assert_rewrites(EliminateEmptyParts(), text, count=1, becomes=joined)
    split = joined.replace("%a, %e = split(%x, axis=3, sizes=(4, 0))", "%a = split(%x, axis=3, sizes=(4,))")
    assert_rewrites(EliminateEmptySplits(), joined, count=1, becomes=split)
    assert_rewrites(EliminateEmptySplits(), text, count=0, becomes=text, skips=["without elements is read"])


@pytest.mark.parametrize(
    "something",
    [
        "cast(%r, dtype='int32')",
        "reshape(%r, shape=(N, 24))",
        "slice(%r, starts=(0, 0, 0, 0), stops=(N, 2, 3, 4), steps=(1, 1, 2, 1))",
        "pad(%r, pads=((0, 0), (0, 0), (1, -1), (0, 0)))",
        "permute(%r, dims=(0, 2, 1, 3))",
        "resize(%r, size=(3, 4), mode='nearest', scales=(1.3, 1.2))",
        "flip(%r, axes=(1,))",
    ],
)
def test_an_op_that_changes_anything_stays(something: str) -> None:
    text = f"{HEAD}%r = relu(%x)\n%y = {something}\nreturn %y"
    assert_rewrites(EliminateIdentity(), text, count=0, becomes=text)


def test_an_identity_that_makes_an_input_an_output_stays() -> None:
    text = f"{HEAD}%y = dropout(%x)\nreturn %y"
    assert_rewrites(EliminateIdentity(), text, count=0, becomes=text)


def test_two_outputs_that_would_be_one_value_stay_two() -> None:
    text = f"{HEAD}%r = relu(%x)\n%y = dropout(%r)\nreturn %r, %y"
    assert_rewrites(EliminateIdentity(), text, count=0, becomes=text)


def test_an_output_behind_an_identity_keeps_its_name() -> None:
    assert_rewrites(
        EliminateIdentity(),
        f"{HEAD}%r = relu(%x)\n%y = dropout(%r)\n%s = sigmoid(%r)\nreturn %y, %s",
        count=1,
        becomes=f"{HEAD}%y = relu(%x)\n%s = sigmoid(%y)\nreturn %y, %s",
    )


@pytest.mark.parametrize("dropouts", [2, 5])
def test_a_chain_of_identities_goes_at_once(dropouts: int) -> None:
    chain = "".join(f"%d{i + 1} = dropout(%d{i})\n" for i in range(dropouts))
    after = assert_rewrites(EliminateIdentity(), f"{HEAD}%d0 = relu(%x)\n{chain}return %d{dropouts}", count=dropouts)
    assert len(after.nodes) == 1


def test_a_border_between_quantised_and_float_stays() -> None:
    text = f"{HEAD}%y: float32[N,2,3,4] ~ int8(scale=0.1, zero_point=0) = identity(%x)\nreturn %y"
    assert_rewrites(EliminateIdentity(), text, count=0, becomes=text)


def test_what_depends_on_constants_alone_is_computed() -> None:
    after = assert_rewrites(
        FoldConstants(),
        "graph g(%x: float32[N,4])\n@c: float32[2,2] = [[1, 2], [3, 4]]\n@d: float32[] = 10\n"
        "%a = reshape(@c, shape=(1, 4))\n%b = mul(%a, @d)\n%y = add(%x, %b)\nreturn %y",
        count=2,
        becomes="graph g(%x: float32[N,4])\n@k: float32[1,4]\n%y = add(%x, @k)\nreturn %y",
    )
    assert after.nodes[0].input(1).tensor.tolist() == [[10.0, 20.0, 30.0, 40.0]]


def test_an_output_may_turn_out_to_be_constant() -> None:
    after = assert_rewrites(
        FoldConstants(),
        "graph g(%x: float32[N,4])\n@c: float32[2] = [1, 2]\n%y = relu(%x)\n%k = neg(@c)\nreturn %y, %k",
        count=1,
    )
    assert after.outputs[1].is_constant and after.outputs[1].name == "k"


def test_several_outputs_of_one_node_are_all_computed() -> None:
    after = assert_rewrites(
        FoldConstants(),
        "graph g(%x: float32[N,2])\n@c: float32[2,2] = [[1, 2], [3, 4]]\n%a, %b = split(@c, axis=0, sizes=(1, 1))\n"
        "%y = add(%x, %a)\n%z = mul(%y, %b)\nreturn %z",
        count=1,
    )
    assert len(after.nodes) == 2


def test_a_constant_that_would_be_large_stays_computed() -> None:
    text = "graph g(%x: float32[N,5000])\n@c: float32[1]\n%e = expand(@c, shape=(5000,))\n%y = add(%x, %e)\nreturn %y"
    assert_rewrites(FoldConstants(), text, count=0, becomes=text)


@pytest.mark.parametrize(
    "text",
    [
        "graph g(%x: float32[N,4])\n@c: float32[1,4]\n%e = expand(@c, shape=(N, 4))\n%y = add(%x, %e)\nreturn %y",
        "graph g(%x: float32[N,4])\n@c: float32[4] ~ int8(scale=0.1, zero_point=0)\n%e = neg(@c)\n%y = add(%x, %e)\nreturn %y",
        "graph g(%x: float32[N,4])\n@c: float32[4]\n%e: float32[4] ~ int8(scale=0.1, zero_point=0) = neg(@c)\n"
        "%y = add(%x, %e)\nreturn %y",
    ],
    ids=["batch", "quantised input", "quantised output"],
)
def test_what_is_not_known_before_the_batch_or_the_integers_are_stays(text: str) -> None:
    assert_rewrites(FoldConstants(), text, count=0, becomes=text)


def test_folding_does_not_write_to_the_parameters_it_reads() -> None:
    before = parse("graph g(%x: float32[N,4])\n@w: float32[4] parameter\n%e = neg(@w)\n%y = add(%x, %e)\nreturn %y")
    after = assert_rewrites(FoldConstants(), before, count=1)
    after.nodes[0].input(1).tensor.fill_(7)
    assert not torch.equal(before.state["w"].tensor.detach(), torch.full((4,), 7.0))
    assert not after.nodes[0].input(1).is_trainable


def test_nodes_and_state_without_readers_go() -> None:
    after = assert_rewrites(
        EliminateDead(),
        "graph g(%x: float32[N,4])\n@w: float32[4,4] parameter\n@old: float32[3] parameter\n@t: float32[3] transient\n"
        "%dead = sigmoid(%x)\n%deader = relu(%dead)\n%y = linear(%x, @w)\nreturn %y",
        count=4,
    )
    assert list(after.state) == ["w"] and not after.transient and len(after.nodes) == 1


def test_tied_names_stay_while_one_of_them_is_read() -> None:
    text = "graph g(%x: float32[N,4])\n@w: float32[4,4] parameter(w, head)\n%y = linear(%x, @w)\nreturn %y"
    assert set(assert_rewrites(EliminateDead(), text, count=0).state) == {"w", "head"}


def test_equal_nodes_become_one() -> None:
    assert_rewrites(
        EliminateDuplicates(),
        f"{HEAD}%a = relu(%x)\n%b = relu(%x)\n%p = sigmoid(%a)\n%q = sigmoid(%b)\n%y = add(%p, %q)\nreturn %y",
        count=2,
        becomes=f"{HEAD}%a = relu(%x)\n%p = sigmoid(%a)\n%y = add(%p, %p)\nreturn %y",
    )


def test_equal_splits_share_all_their_parts() -> None:
    after = assert_rewrites(
        EliminateDuplicates(),
        f"{HEAD}%a, %b = split(%x, axis=1, sizes=(1, 1))\n%c, %d = split(%x, axis=1, sizes=(1, 1))\n"
        "%y = sub(%a, %d)\n%z = mul(%y, %b)\n%q = mul(%z, %c)\nreturn %q",
        count=1,
    )
    assert [n.op.name for n in after.nodes] == ["split", "sub", "mul", "mul"]


def test_the_node_that_stays_says_where_both_were() -> None:
    graph = parse(f"{HEAD}%a = relu(%x)\n%b = relu(%x)\n%y = add(%a, %b)\nreturn %y")
    graph.nodes[0].where, graph.nodes[1].where = (Where("one"),), (Where("two"),)
    after = assert_rewrites(EliminateDuplicates(), graph, count=1)
    assert set(after.nodes[0].where) == {Where("one"), Where("two")}


@pytest.mark.parametrize(
    "body",
    [
        "%a = relu(%x)\n%b = relu6(%x)\n%y = add(%a, %b)\nreturn %y",
        "%a = dropout(%x)\n%b = dropout(%x)\n%y = add(%a, %b)\nreturn %y",  # in training they differ
        "%a = relu(%x)\n%b = relu(%x)\nreturn %a, %b",
        "%a: float32[N,2,3,4] ~ int8(scale=0.1, zero_point=0) = relu(%x)\n%b = relu(%x)\n%y = add(%a, %b)\nreturn %y",
    ],
    ids=["other op", "random", "outputs", "other quantisation"],
)
def test_nodes_that_differ_stay_two(body: str) -> None:
    assert_rewrites(EliminateDuplicates(), f"{HEAD}{body}", count=0, becomes=f"{HEAD}{body}")
