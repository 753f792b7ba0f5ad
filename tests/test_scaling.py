"""The model of data-parallel training (benchmarks/scaling.py)."""

import dataclasses
import sys
from pathlib import Path

import pytest

BENCHMARKS = str(Path(__file__).resolve().parents[1] / "benchmarks")


@pytest.fixture(scope="module")
def scaling():
    sys.path.insert(0, BENCHMARKS)
    try:
        import scaling
    finally:
        sys.path.remove(BENCHMARKS)
    return scaling


def test_the_page_is_what_the_script_writes(scaling):
    assert scaling.PAGE.read_text() == scaling.page()


def test_an_all_reduce_by_rings_takes_what_a_sum_by_hand_does(scaling):
    cluster = scaling.Cluster(tree=1e-9)
    # 16 ranks: 30 steps of a ring, 4 of them between the two nodes.
    expected = 8.4e-6 + 26 * 3.4e-6 + 4 * 14e-6 + 2 * 15 / 16 * 1e9 / 360e9
    assert cluster.all_reduce(1e9, 16) == pytest.approx(expected, rel=1e-12)
    assert cluster.gather(1e9, 8) == pytest.approx(
        8.4e-6 + 7 * 3.4e-6 + 7 / 8 * 1e9 / 360e9, rel=1e-12
    )


def test_one_rank_communicates_nothing(scaling):
    model = scaling.GPT2
    alone = model.seconds(model.tokens) + model.optimizer(1)
    for way in scaling.WAYS.values():
        assert way(model, scaling.Cluster(), 1, model.tokens) == pytest.approx(alone, rel=1e-12)


@pytest.mark.parametrize("name", ["data parallel", "optimizer sharded", "all sharded"])
def test_no_step_is_faster_than_its_parts_and_none_slower_by_a_faster_network(scaling, name):
    way, cluster = scaling.WAYS[name], scaling.Cluster()
    faster = dataclasses.replace(cluster, network=2 * cluster.network, ring=2 * cluster.ring)
    for model in (scaling.GPT2, scaling.GPT2_XL):
        for ranks in scaling.GPUS:
            seconds = way(model, cluster, ranks, model.tokens)
            assert seconds >= model.seconds(model.tokens)
            assert way(model, faster, ranks, model.tokens) <= seconds


def test_parameters_are_those_of_gpt2(scaling):
    assert scaling.GPT2.parameters == 124_439_808
    assert scaling.GPT2_XL.parameters == 1_557_611_200
