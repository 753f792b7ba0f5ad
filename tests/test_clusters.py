"""Clusters of blocks on the emulator: their barrier, shared memory and mbarriers of each other,
boxes that one loads for several; that each way to use them wrongly is an error.

The kernels are in kernels/cluster_cases.cu, where the lines that a report has to name bear the name
of the case.
"""

from __future__ import annotations

from pathlib import Path

import emulated_cases
import numpy as np
import pytest
from emulated_cases import SCHEDULES, aligned
from test_hopper import assert_says, schedules

CASES = Path(__file__).parent / "kernels" / "cluster_cases.cu"


emulator, checked = emulated_cases.builds(CASES)

checked_in_every_order = pytest.mark.parametrize("schedule", SCHEDULES)


def line_of(case):
    (line,) = emulated_cases.lines_of(CASES, case)
    return f"cluster_cases.cu:{line}"


def outcomes(emulator, run):
    """Of each schedule."""
    for schedule in schedules():
        emulator.schedule(*schedule)
        yield run()


# ---- shared memory of each other ----


def peer(emulator, grid, cluster, mistake=0):
    y = np.zeros((grid, 32), "int32")
    return emulator("peer", y, grid, cluster, mistake), y


@pytest.mark.parametrize(("grid", "cluster"), [(1, 1), (3, 1), (4, 2), (6, 3), (8, 4), (8, 8)])
def test_a_block_reads_what_the_next_one_has(emulator, grid, cluster):
    blocks = np.arange(grid)
    there = blocks // cluster * cluster + (blocks + 1) % cluster
    for message, y in outcomes(emulator, lambda: peer(emulator, grid, cluster)):
        assert message is None
        np.testing.assert_array_equal(y, there[:, None] * 100 + np.arange(32))


PEERS = [
    (3, "mapa at .*: the cluster has no block 2, but 2"),
    (4, "mapa at .*: not an address in shared memory of this block"),
    (6, "waits at the cluster's barrier at .* without having arrived there"),
    (7, "arrives at the cluster's barrier at .* for the second time"),
    (8, "deadlock: .* for the cluster's barrier, at which 63 of 64 threads have arrived"),
]


@pytest.mark.parametrize(("mistake", "words"), PEERS)
def test_clusters_used_wrongly(emulator, mistake, words):
    for message, _ in outcomes(emulator, lambda: peer(emulator, 2, 2, mistake)):
        assert_says(message, words)


def test_who_has_exited_is_not_waited_for(emulator):
    for message, y in outcomes(emulator, lambda: peer(emulator, 2, 2, 10)):
        assert message is None
        assert y[0, 6] == 106


@pytest.mark.parametrize(("grid", "cluster"), [(9, 9), (3, 2), (2, 0)])
def test_clusters_that_no_gpu_has(emulator, grid, cluster):
    message, _ = peer(emulator, grid, cluster)
    assert_says(message, "a cluster has 1 to 8 blocks, and the grid's width is a multiple of it")


def test_a_cluster_of_blocks_that_are_not_whole_warps(emulator):
    message = emulator("odd_threads", np.zeros(80, "int32"))
    assert_says(message, r"grid \(2, 1, 1\) in clusters of 2, .*those are emulated whose ")


# ---- mbarriers of each other ----


def remote(emulator, times, mistake=0):
    y = np.zeros((4, 32), "int32")
    return emulator("remote", y, times, mistake), y


def test_arrivals_at_the_mbarrier_of_another_block(emulator):
    i = (np.arange(32) + 1) % 32
    for message, y in outcomes(emulator, lambda: remote(emulator, 5)):
        assert message is None
        for block in range(4):
            np.testing.assert_array_equal(y[block], (2 - block % 2) * (5 * i + 10))


REMOTES = [
    (3, "of another block, is at an mbarrier that no fence made visible to it"),
    (4, "mbarrier.arrive at .*: the cluster has no block 2, but 2"),
    (6, "mbarrier.arrive at .*: not in shared memory of this block"),
]


@pytest.mark.parametrize(("mistake", "words"), REMOTES)
def test_mbarriers_of_others_used_wrongly(emulator, mistake, words):
    for message, _ in outcomes(emulator, lambda: remote(emulator, 2, mistake)):
        assert_says(message, words)


@pytest.mark.parametrize(("mistake", "words"), [
    (1, "no mbarrier was initialised there"),
    (2, r"memory of block \(.*, 0, 0\), which has exited: all blocks of a cluster wait for"),
])  # fmt: skip
def test_a_missing_barrier_of_the_cluster_shows_in_some_schedule(emulator, mistake, words):
    found = [message for message, _ in outcomes(emulator, lambda: remote(emulator, 2, mistake))]
    (wrong, *_) = (message for message in found if message is not None)
    assert_says(wrong, words)


# ---- boxes for several blocks ----


def box(emulator, cluster, ranks, mistake=0):
    x = aligned(24, 64, dtype="float16")
    x.view("uint16")[...] = np.arange(1, x.size + 1).reshape(x.shape)
    y = np.zeros((cluster, 512), "uint16")
    message = emulator("box", y, x, cluster, ranks, mistake)
    return message, y, x.view("uint16")[8:16].ravel()


@pytest.mark.parametrize(
    ("cluster", "ranks"), [(1, 1), (2, 1), (2, 2), (2, 3), (4, 0b1011), (8, 0xFF)]
)
def test_boxes_for_several_blocks(emulator, cluster, ranks):
    for message, y, expected in outcomes(emulator, lambda: box(emulator, cluster, ranks)):
        assert message is None
        for rank in range(cluster):
            np.testing.assert_array_equal(y[rank], expected if ranks >> rank & 1 else 0)


@pytest.mark.parametrize(("ranks", "mistake", "words"), [
    (0, 0, "is for blocks 0x00000000, a bit for each; the cluster has 2"),
    (0b101, 0, "is for blocks 0x00000005, a bit for each; the cluster has 2"),
    (3, 1, "lacks 0 of 1 arrivals, to which 16 bytes more came than were expected"),
])  # fmt: skip
def test_boxes_for_several_blocks_loaded_wrongly(emulator, ranks, mistake, words):
    for found in outcomes(emulator, lambda: box(emulator, 2, ranks, mistake)):
        assert_says(found[0], words)


def ring(emulator, steps, mistake=0):
    x = aligned(16 * steps, 64, dtype="float16")
    x.view("uint16")[...] = np.arange(x.size).reshape(x.shape)
    y = np.zeros((2, steps, 32), "uint16")
    message = emulator("ring", y, x, steps, mistake)
    sums = x.view("uint16").reshape(steps, 16, 64)[:, :, :32].sum(1).astype("uint16")
    return message, (y == sums).all()


def test_a_ring_that_two_blocks_fill(emulator):
    assert set(outcomes(emulator, lambda: ring(emulator, 6))) == {(None, True)}


@pytest.mark.parametrize("mistake", [1, 2, 3])
def test_a_ring_of_two_blocks_without_one_of_its_waits(emulator, mistake):
    assert set(outcomes(emulator, lambda: ring(emulator, 6, mistake))) != {(None, True)}


# ---- the checked build ----


@pytest.mark.checked
@checked_in_every_order
def test_what_is_right_is_not_reported(checked, schedule):
    checked.schedule(schedule)
    assert peer(checked, 4, 2)[0] is None
    assert peer(checked, 8, 4)[0] is None
    assert remote(checked, 4)[0] is None
    assert box(checked, 4, 0b1011)[0] is None
    assert ring(checked, 6) == (None, True)


REPORTED = [
    (peer, (2, 2, 1), "race on byte .* of own", ["peer_write", "peer_read"]),
    (peer, (2, 2, 9), "race on byte .* of own", ["peer_writes", "peer_read"]),
    (peer, (2, 2, 2), r"which (may have|has) (ended|exited)", []),
    (peer, (2, 2, 5), "out of bounds: 0 bytes past the end of own", ["peer_read"]),
    (remote, (2, 5), "race on byte .* of given", ["remote_write", "remote_read"]),
    (remote, (2, 2), r"which (may have|has) (ended|exited)", []),
    (box, (2, 3, 3), "race on byte .* of dynamic shared memory", ["box", "box_read"]),
    (ring, (6, 1), "race on byte .* of dynamic shared memory|all . arrivals|deadlock", []),
    (ring, (6, 2), "race on byte .* of dynamic shared memory|all . arrivals", []),
    (ring, (6, 3), r"which (may have|has) (ended|exited)", []),
]


@pytest.mark.checked
@checked_in_every_order
@pytest.mark.parametrize(("case", "arguments", "words", "lines"), REPORTED)
def test_what_is_wrong_is_reported_in_every_order(checked, schedule, case, arguments, words, lines):
    checked.schedule(schedule)
    message = case(checked, *arguments)[0]
    assert_says(message, words)
    for line in lines:
        assert line_of(line) in message
