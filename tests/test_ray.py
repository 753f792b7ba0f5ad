"""Training on a cluster of Ray, of two nodes on this machine: what is lost is replaced, and the
result is that of the undisturbed run."""

import os
import signal
import sys
import threading
import time
from itertools import chain
from random import Random

import numpy as np
import pytest
from ray_run import Once, samples, train

import tapegrad as tg
import tapegrad.distributed as dist
from tapegrad.distributed import DistBackendError
from tapegrad.train.ray import attempt

ray = pytest.importorskip("ray", reason="needs ray: pip install 'tapegrad[ray]'")
run = tg.train.ray.run


@pytest.fixture(scope="module")
def cluster():
    """A cluster of two nodes with two places each."""
    from ray.cluster_utils import Cluster

    patch = pytest.MonkeyPatch()  # for what the nodes start, some of it ahead
    patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    before = signal.getsignal(signal.SIGTERM)  # Ray's is one that exits with another status
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    memory = {"num_cpus": 2, "object_store_memory": 100 * 2**20}
    made = Cluster(initialize_head=True, head_node_args={**memory, "include_dashboard": False})
    made.second = made.add_node(**memory)
    ray.init(made.address, logging_level="warning")
    yield made
    ray.shutdown()
    made.shutdown()
    patch.undo()
    signal.signal(signal.SIGTERM, before)


def _epochs(steps):
    """The samples of three epochs of eight steps."""
    return [sorted(chain.from_iterable(steps[i : i + 8])) for i in (0, 8, 16)]


@pytest.fixture(scope="module")
def undisturbed(cluster, tmp_path_factory):
    """What the training on two ranks returns."""
    folder = tmp_path_factory.mktemp("undisturbed")
    results = run(train, (folder,), ranks=2)
    assert results[0] == results[1]
    assert _epochs(samples(folder)) == [[*range(96)]] * 3
    return results


def _exchanged():
    """Collectives on all sizes of arrays, and what they give."""
    dist.init_process_group()
    rank, size = dist.get_rank(), dist.get_world_size()
    for count in (1, 1000, 300_000):
        own = tg.arange(count, dtype=tg.float64) * (rank + 1)
        whole = own.clone()
        work = dist.all_reduce(whole, async_op=True)
        parts = [tg.empty(count, dtype=tg.float64) for _ in range(size)]
        dist.all_gather(parts, own)
        work.wait()
        np.testing.assert_array_equal(whole.numpy(), sum(part.numpy() for part in parts))
        first = own.clone()
        dist.broadcast(first, 1)
        np.testing.assert_array_equal(first.numpy(), parts[1].numpy())
        if rank == 0:
            dist.send(own + 5, 2)
        elif rank == 2:
            dist.recv(first, 0)
            np.testing.assert_array_equal(first.numpy(), parts[0].numpy() + 5)
    some = dist.new_group([0, 2])
    two = tg.tensor([rank])
    if rank != 1:
        dist.all_reduce(two, group=some)
    found = []
    dist.all_gather_object(found, {"rank": rank, "two": two.item()})
    return dist.get_backend(), os.environ["LOCAL_RANK"], found


def test_places_on_one_node_or_on_all_do_not_grow():
    """has_more_room cannot know of a place alone whether the others could be there, too."""
    for strategy in ("STRICT_PACK", "STRICT_SPREAD"):
        with pytest.raises(ValueError, match=f"grow_every.*{strategy}"):
            run(print, ranks=(1, 2), strategy=strategy, grow_every=1)


def test_ranks_exchange_arrays_and_those_of_a_node_follow_each_other(cluster):
    results = run(_exchanged, ranks=3)
    assert [backend for backend, _, _ in results] == ["ray"] * 3
    assert [local for _, local, _ in results] in (["0", "1", "0"], ["0", "0", "1"])
    everyones = [{"rank": rank, "two": two} for rank, two in enumerate((2, 1, 2))]
    assert all(found == everyones for _, _, found in results)


@pytest.mark.parametrize("seed", range(2))
def test_a_killed_rank_is_replaced_and_no_bit_changes(undisturbed, tmp_path, seed, capfd):
    random = Random(seed)
    harm = Once(tmp_path, random.randrange(2), random.randrange(1, 10), "kill", random.random() / 5)
    assert run(train, (tmp_path,), {"harm": harm, "pause": 0.02}, ranks=2) == undisturbed
    assert harm.mark.exists()
    assert f"rank {harm.rank} of 2, process" in capfd.readouterr().err


def test_a_rank_that_hangs_is_replaced(undisturbed, tmp_path, capfd):
    harm = Once(tmp_path, 1, 10, "hang")
    assert run(train, (tmp_path,), {"harm": harm}, ranks=2, timeout=3) == undisturbed
    assert "Missing: rank 1 does not answer" in capfd.readouterr().err


def _hang_once(folder):
    """All ranks, outside of every call."""
    dist.init_process_group()
    dist.barrier()
    mark = folder / str(dist.get_rank())
    if not mark.exists():
        mark.touch()
        time.sleep(1000)
    return dist.get_rank()


def test_all_ranks_that_hang_are_replaced(cluster, tmp_path, capfd):
    assert run(_hang_once, (tmp_path,), ranks=2, timeout=3) == [0, 1]
    words = "no rank has called another one for 3 s: rank 0 was in _hang_once, line "
    assert words in capfd.readouterr().err


def test_what_a_rank_raises_ends_the_run_unless_it_is_to_be_tried_again(undisturbed, tmp_path):
    harm = Once(tmp_path, 1, 10, "raise")
    with pytest.raises(ConnectionError, match="the data are not there") as caught:
        run(train, (tmp_path,), {"harm": harm}, ranks=2)
    told = str(caught.value.__cause__)
    assert told.startswith("rank 1 of 2 has raised this:")
    assert 'raise ConnectionError("the data are not there")' in told
    harm.mark.unlink()  # and it goes on from there
    result = run(train, (tmp_path,), {"harm": harm}, ranks=2, retry=(OSError,))
    assert result == undisturbed


def test_it_gives_up(cluster, tmp_path, monkeypatch):
    harm = Once(tmp_path, 0, 1)
    with pytest.raises(DistBackendError, match=r"rank 0 of 1, process \d+.*was lost.*0 times"):
        run(train, (tmp_path,), {"harm": harm, "pause": 0.2}, ranks=1, max_failures=0)
    with pytest.raises(DistBackendError, match=r"no room for 9 ranks of \{'CPU': 1\} \(PACK\)"):
        run(train, (tmp_path,), ranks=9, wait=0.2)
    for ranks in (0, (3, 2)):
        with pytest.raises(ValueError, match="the smallest and the largest"):
            run(train, (tmp_path,), ranks=ranks)
    monkeypatch.setattr(attempt, "head_answers", lambda: False)
    with pytest.raises(DistBackendError, match="head of Ray's cluster has not answered for 20 s"):
        run(time.sleep, (100,))


def _count(folder):
    """Wait until there are three ranks."""
    dist.init_process_group()
    (folder / f"of {dist.get_world_size()}").touch()
    while dist.get_world_size() < 3:
        time.sleep(0.1)
    return dist.get_world_size()


def test_it_grows_where_there_is_room(cluster, tmp_path):
    @ray.remote(num_cpus=1)
    def elsewhere(number):
        (tmp_path / f"busy {number}").touch()
        while not (tmp_path / "of 2").exists():
            time.sleep(0.1)

    busy = [elsewhere.remote(number) for number in range(2)]
    while len([*tmp_path.glob("busy *")]) < 2:
        time.sleep(0.05)
    assert run(_count, (tmp_path,), ranks=(2, 3), patience=1, grow_every=0.5) == [3, 3, 3]
    ray.get(busy)


def test_a_lost_node_leaves_fewer_ranks_and_no_sample_is_lost(cluster, tmp_path, capfd):
    """The last test: it removes a node."""
    before, alone = tmp_path / "four", tmp_path / "one"
    for folder in (before, alone):
        folder.mkdir()
    harm = Once(before, 0, 10, "hang")  # so that the others are in the middle of it

    def remove():
        while not harm.mark.exists():
            time.sleep(0.01)
        cluster.remove_node(cluster.second, allow_graceful=False)

    threading.Thread(target=remove, daemon=True).start()
    results = run(train, (before,), {"dropout": 0.0, "harm": harm}, ranks=(2, 4), patience=2)
    assert len(results) == 2
    steps = samples(before)
    assert {*map(len, steps)} == {12}
    assert _epochs(steps) == [[*range(96)]] * 3
    try:
        expected, _ = train(alone, dropout=0.0)
    finally:
        dist.destroy_process_group()
    np.testing.assert_allclose(results[0][0], expected, rtol=1e-5)
