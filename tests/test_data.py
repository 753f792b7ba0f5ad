"""Datasets, samplers, loaders, and the digits that ship with the package."""

from collections import Counter, OrderedDict, UserList, defaultdict, deque, namedtuple
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    TensorDataset,
    default_collate,
    random_split,
)


def numbered(count):
    return TensorDataset(tg.arange(count), tg.arange(count) * 10)


class Squares(Dataset):
    """Without ``batch``: its items are fetched one by one."""

    def __getitem__(self, index):
        return index * index

    def __len__(self):
        return 10


def firsts(loader):
    return [batch[0].tolist() for batch in loader]


# ---- digits ------------------------------------------------------------------------------------


def test_digits_are_what_they_say():
    images, labels = tg.data.digits()
    assert images.shape == (1797, 1, 8, 8)
    assert images.dtype == tg.float32
    assert labels.shape == (1797,)
    assert labels.dtype == tg.int64
    assert images.min().item() == 0
    assert images.max().item() == 1
    counts = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert np.bincount(labels.numpy()).tolist() == counts


def test_digits_equal_scikit_learns():
    datasets = pytest.importorskip("sklearn.datasets", reason="the digits come from scikit-learn")
    original = datasets.load_digits()
    images, labels = tg.data.digits()
    np.testing.assert_array_equal(images.numpy()[:, 0] * 16, original.images)
    np.testing.assert_array_equal(labels.numpy(), original.target)


def test_digits_on_a_device():
    images, labels = tg.data.digits(device="emulated")
    assert str(images.device) == str(labels.device) == "emulated"


# ---- datasets ----------------------------------------------------------------------------------


def test_tensor_dataset():
    data = numbered(5)
    assert len(data) == 5
    assert [t.item() for t in data[2]] == [2, 20]
    assert [t.tolist() for t in data.__getbatch__([4, 0])] == [[4, 0], [40, 0]]
    with pytest.raises(ValueError, match=r"equally many rows, their shapes are \(2,\), \(3, 1\)"):
        TensorDataset(tg.zeros(2), tg.zeros(3, 1))
    with pytest.raises(ValueError, match="equally many rows"):
        TensorDataset(tg.zeros(()))
    with pytest.raises(ValueError, match="at least one tensor"):
        TensorDataset()


def test_subset_and_concat():
    part = Subset(numbered(5), [3, 1])
    assert len(part) == 2
    assert part[0][0].item() == 3
    assert part.__getbatch__([1, 0])[0].tolist() == [1, 3]
    both = ConcatDataset([part, numbered(3)])
    assert len(both) == 5
    assert [both[i][0].item() for i in range(5)] == [3, 1, 0, 1, 2]
    assert both[-1][0].item() == 2
    assert len(numbered(2) + numbered(3)) == 5
    for index in (5, -6):
        with pytest.raises(IndexError, match="ConcatDataset of 5 items has no index"):
            both[index]


@pytest.mark.parametrize("lengths", [[7, 3], [0.7, 0.3], [0.25, 0.25, 0.25, 0.25], [10, 0]])
def test_random_split_deals_out_every_item_once(lengths):
    parts = random_split(Squares(), lengths, tg.Generator().manual_seed(1))
    dealt = [i for part in parts for i in part.indices]
    assert sorted(dealt) == list(range(10))
    assert dealt != list(range(10))
    again = random_split(Squares(), lengths, tg.Generator().manual_seed(1))
    assert [p.indices for p in again] == [p.indices for p in parts]


def test_random_split_sizes():
    assert [len(p) for p in random_split(Squares(), [0.35, 0.35, 0.3])] == [4, 3, 3]
    for lengths in ([5, 4], [0.5, 0.4], [2.5, 7.5]):
        with pytest.raises(ValueError, match="must add up to the 10 items"):
            random_split(Squares(), lengths)
    with pytest.raises(ValueError, match="must not be negative"):
        random_split(Squares(), [11, -1])


# ---- samplers ----------------------------------------------------------------------------------


def test_samplers():
    assert list(SequentialSampler(range(4))) == [0, 1, 2, 3]
    sampler = RandomSampler(range(100), generator=tg.Generator().manual_seed(3))
    first, second = list(sampler), list(sampler)
    assert sorted(first) == sorted(second) == list(range(100))
    assert first != second
    assert len(list(RandomSampler(range(4), num_samples=10))) == 10
    with pytest.raises(ValueError, match="the dataset is empty"):
        RandomSampler([])
    with pytest.raises(ValueError, match="nothing to draw 3 samples from"):
        list(RandomSampler([], num_samples=3))
    drawn = list(RandomSampler(range(4), replacement=True, num_samples=50))
    assert len(drawn) == 50
    assert set(drawn) == {0, 1, 2, 3}
    assert list(BatchSampler(range(5), 2, drop_last=False)) == [[0, 1], [2, 3], [4]]
    assert list(BatchSampler(range(5), 2, drop_last=True)) == [[0, 1], [2, 3]]
    for size in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="batch_size must be a positive integer"):
            BatchSampler(range(5), size, drop_last=False)


# ---- loaders -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "size", "drop", "batches"), [
    (7, 3, False, 3), (7, 3, True, 2), (6, 3, True, 2), (2, 3, True, 0), (0, 3, False, 0),
])  # fmt: skip
def test_batches(count, size, drop, batches):
    loader = DataLoader(numbered(count), size, drop_last=drop)
    assert len(loader) == len(list(loader)) == batches
    kept = min(count, batches * size)
    assert [i for batch in firsts(loader) for i in batch] == list(range(kept))


def test_shuffling_is_decided_by_the_generator():
    def orders(seed):
        loader = DataLoader(numbered(50), 8, shuffle=True,
                            generator=tg.Generator().manual_seed(seed))  # fmt: skip
        return [firsts(loader) for _ in range(2)]

    assert orders(1) == orders(1) != orders(2)
    first, second = orders(1)
    assert first != second
    assert sorted(i for batch in first for i in batch) == list(range(50))


def test_shuffling_follows_the_global_seed():
    seen = []
    for _ in range(2):
        tg.manual_seed(5)
        seen.append(firsts(DataLoader(numbered(50), 50, shuffle=True)))
    assert seen[0] == seen[1]


def test_the_order_is_the_same_on_every_device():
    seen = []
    for device in ("cpu", "emulated"):
        tg.manual_seed(5)
        data = TensorDataset(tg.arange(50, device=device))
        seen.append(firsts(DataLoader(data, 50, shuffle=True)))
    assert seen[0] == seen[1]


def test_rows_and_batches_agree():
    """The fast path that fetches whole batches gives what fetching item by item gives."""
    data = TensorDataset(tg.randn(10, 3), tg.arange(10))
    by_item = DataLoader(data, 4, collate_fn=lambda samples: default_collate(samples))
    for fast, slow in zip(DataLoader(data, 4), by_item, strict=True):
        for a, b in zip(fast, slow, strict=True):
            assert a.dtype == b.dtype
            assert a.tolist() == b.tolist()


def test_own_samplers():
    data = numbered(10)
    assert firsts(DataLoader(data, 2, sampler=[4, 2, 9])) == [[4, 2], [9]]
    assert firsts(DataLoader(data, batch_sampler=[[1], [2, 3]])) == [[1], [2, 3]]


def test_loader_arguments_that_exclude_each_other():
    data = numbered(4)
    with pytest.raises(ValueError, match="sampler and shuffle exclude each other"):
        DataLoader(data, sampler=[0], shuffle=True)
    for arguments in ({"batch_size": 2}, {"shuffle": True}, {"drop_last": True}):
        with pytest.raises(ValueError, match="batch_sampler excludes"):
            DataLoader(data, batch_sampler=[[0]], **arguments)


def test_texts_and_mappings_are_collated_as_pytorchs() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)
    for samples in (
        [(1, "a", ["b"]), (2, "c", ["d"])],
        [OrderedDict(b=1, a="x"), OrderedDict(b=2, a="y")],
        [{"name": "x"}, {"name": "y"}],
    ):
        ours, theirs = default_collate(samples), torch.utils.data.default_collate(samples)
        assert type(ours) is type(theirs)
        assert str(ours).replace(", shape=(2,)", "") == str(theirs)


def test_collate():
    Point = namedtuple("Point", "x y")
    assert default_collate([1, 2]).dtype == tg.int64
    assert default_collate([1.5, 2.0]).dtype == tg.float64
    assert default_collate([True, False]).dtype == tg.bool
    assert default_collate(["a", "b"]) == ["a", "b"]
    assert default_collate([tg.ones(2), tg.zeros(2)]).tolist() == [[1, 1], [0, 0]]
    assert default_collate([np.ones(2), np.zeros(2)]).shape == (2, 2)
    assert default_collate([np.float32(1), np.float32(2)]).dtype == tg.float32
    batch = default_collate([{"x": (1, [2])}, {"x": (3, [4])}])
    assert batch["x"][0].tolist() == [1, 3]
    assert batch["x"][1][0].tolist() == [2, 4]
    point = default_collate([Point(1, 2), Point(3, 4)])
    assert isinstance(point, Point)
    assert point.y.tolist() == [2, 4]
    assert next(iter(DataLoader(Squares(), 3))).tolist() == [0, 1, 4]
    with pytest.raises(TypeError, match="cannot batch object; give DataLoader a collate_fn"):
        default_collate([object()])
    with pytest.raises(RuntimeError, match="sample 1 of the batch has length 2, sample 0 has 1"):
        default_collate([(1,), (1, 2)])


def test_pytorchs_address():
    from tapegrad.utils.data import DataLoader as same

    assert same is DataLoader
    assert tg.utils.data.random_split is tg.data.random_split


class Stream(tg.data.IterableDataset):
    def __iter__(self):
        return iter(range(7))


def test_a_stream_is_cut_into_batches_on_every_pass():
    loader = DataLoader(Stream(), batch_size=3, prefetch_factor=None, persistent_workers=False)
    for _ in range(2):
        assert [batch.tolist() for batch in loader] == [[0, 1, 2], [3, 4, 5], [6]]
    cut = DataLoader(Stream(), batch_size=3, drop_last=True)
    assert [batch.tolist() for batch in cut] == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(TypeError, match=r"Stream does not define __len__"):
        len(loader)
    Stream.__len__ = lambda self: 7
    try:
        assert (len(loader), len(cut)) == (3, 2)
    finally:
        del Stream.__len__
    with pytest.raises(ValueError, match=r"IterableDataset has an order of its own.*shuffle"):
        DataLoader(Stream(), shuffle=True)
    with pytest.raises(NotImplementedError, match=r"IterableDataset does not define __iter__"):
        next(iter(tg.data.IterableDataset()))


def test_a_sampler_of_some_indices():
    generator = tg.Generator().manual_seed(3)
    sampler = tg.data.SubsetRandomSampler([4, 7, 9, 11], generator)
    orders = {tuple(sampler) for _ in range(20)}
    assert len(orders) > 1
    assert {tuple(sorted(order)) for order in orders} == {(4, 7, 9, 11)}
    assert len(sampler) == 4


def test_a_sampler_by_weight():
    generator = tg.Generator().manual_seed(3)
    sampler = tg.data.WeightedRandomSampler([0.0, 3.0, 1.0], 4000, generator=generator)
    counts = np.bincount(list(sampler), minlength=3)
    assert counts[0] == 0
    assert abs(counts[1] / 4000 - 0.75) < 0.03
    once = tg.data.WeightedRandomSampler(tg.tensor([1.0, 3.0, 1.0]), 3, replacement=False)
    assert sorted(once) == [0, 1, 2]
    assert len(once) == 3
    with pytest.raises(ValueError, match="num_samples must be a positive integer, got 0"):
        tg.data.WeightedRandomSampler([1.0], 0)
    with pytest.raises(ValueError, match=r"one dimension, got shape \(1, 1\)"):
        tg.data.WeightedRandomSampler([[1.0]], 1)


# ---- how a loader fetches -----------------------------------------------------------------------


class Shifted(TensorDataset):
    def __getitem__(self, index):
        return (super().__getitem__(index)[0] + 100,)


class ShiftedPart(Subset):
    def __getitem__(self, index):
        return (super().__getitem__(index)[0] + 100,)


class WithAttribute(Squares):
    def __init__(self):
        self.batch = 32


class WithProperty(Squares):
    @property
    def batch(self):
        return 32


class WithMethod(Squares):
    def batch(self):
        raise AssertionError


class Sized(TensorDataset):
    batch = 32


class Many(Squares):
    def __getitems__(self, indices):
        return [index + 100 for index in indices]


class ManyShifted(Many):
    def __getitem__(self, index):
        return index + 200


class ManyNot(Many):
    __getitems__ = None


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: Shifted(tg.arange(3)), [100, 101, 102]),
        (lambda: Subset(Shifted(tg.arange(5)), [0, 1, 2]), [100, 101, 102]),
        (lambda: Subset(Subset(Shifted(tg.arange(5)), [3, 0, 1]), [1, 2]), [100, 101]),
        (lambda: ShiftedPart(TensorDataset(tg.arange(3)), [2, 0]), [102, 100]),
        (lambda: Subset(ShiftedPart(TensorDataset(tg.arange(3)), [2, 0]), [1]), [100]),
        (lambda: random_split(Shifted(tg.zeros(3)), [3])[0], [100.0] * 3),
        (lambda: ConcatDataset([Shifted(tg.arange(2)), Shifted(tg.arange(1))]), [100, 101, 100]),
        (lambda: Sized(tg.arange(3)), [0, 1, 2]),
        (lambda: Subset(TensorDataset(tg.arange(3)), [2, 0]), [2, 0]),
        (lambda: WithAttribute(), [i * i for i in range(10)]),
        (lambda: WithProperty(), [i * i for i in range(10)]),
        (lambda: WithMethod(), [i * i for i in range(10)]),
        (lambda: Subset(WithAttribute(), [3]), [9]),
        (lambda: Many(), list(range(100, 110))),
        (lambda: ManyShifted(), list(range(200, 210))),
        (lambda: ManyNot(), [i * i for i in range(10)]),
    ],
)
def test_only_a_class_s_own_fetch_is_replaced(make, expected):
    """(F37) (U01)"""
    loader = DataLoader(make(), batch_size=4)
    batches = [batch[0] if isinstance(batch, list) else batch for batch in loader]
    assert [x for batch in batches for x in batch.tolist()] == expected


def test_samplers_draw_a_piece_at_a_time():
    """(P03)"""
    count = int(1e10)
    for sampler in (
        RandomSampler([1, 2, 3], replacement=True, num_samples=count),
        RandomSampler([1, 2, 3], num_samples=count),
        tg.data.WeightedRandomSampler([1.0, 2.0], count),
        SequentialSampler(range(count)),
        BatchSampler(range(count), 2, drop_last=False),
    ):
        assert next(iter(sampler)) is not None
        assert len(sampler) in (count, count // 2)
    assert next(iter(BatchSampler(range(3), 2**70, drop_last=False))) == [0, 1, 2]
    for total in (4095, 4096, 4097, 10_000):
        drawn = list(RandomSampler(range(3), replacement=True, num_samples=total))
        assert len(drawn) == total
        assert {*drawn} == {0, 1, 2}
        drawn = list(tg.data.WeightedRandomSampler([0.0, 3.0, 1.0], total))
        assert len(drawn) == total
        assert abs(drawn.count(1) / total - 0.75) < 0.05


@pytest.mark.parametrize("bad", [2**32, 1, "yes", None])
def test_flags_of_samplers_are_flags(bad):
    """(R20)"""
    for make in (
        lambda: BatchSampler(range(3), 2, drop_last=bad),
        lambda: DataLoader(numbered(3), drop_last=bad),
        lambda: RandomSampler(range(3), replacement=bad),
        lambda: tg.data.WeightedRandomSampler([1.0], 1, bad),
    ):
        with pytest.raises(TypeError, match="must be True or False"):
            make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DataLoader([1, 2], sampler=5), "DataLoader: sampler must be a Sampler or .* int"),
        (lambda: DataLoader([1, 2], batch_sampler=5), "DataLoader: batch_sampler must be .* int"),
        (lambda: BatchSampler(5, 2, False), "BatchSampler: sampler must be .* got int"),
        (lambda: DataLoader([1, 2], collate_fn=5), "collate_fn must be a function .* got int"),
        (lambda: DataLoader([1, 2], generator=5), r"generator must be a Generator, got int: pass"),
    ],
)
def test_parts_of_loaders_are_what_they_should_be(make, message):
    with pytest.raises(TypeError, match=message):
        make()


@pytest.mark.parametrize("bad", [0, -1, 2.5, True, "3"])
def test_numbers_of_samples_are_positive_integers(bad):
    """(R20)"""
    for make in (
        lambda: RandomSampler(range(3), num_samples=bad),
        lambda: tg.data.WeightedRandomSampler([1.0], bad),
    ):
        with pytest.raises(ValueError, match="num_samples must be a positive integer"):
            make()


def test_a_dataset_of_tensors_takes_tensors():
    """(R17)"""
    for bad in (1, [1, 2], None):
        with pytest.raises(TypeError, match="TensorDataset takes tensors, got"):
            TensorDataset(tg.ones(2), bad)


def test_without_a_batch_size_samples_come_one_by_one():
    data = list(range(3))
    assert list(DataLoader(data, batch_size=None)) == [0, 1, 2]
    assert len(DataLoader(data, batch_size=None)) == 3
    (pair,) = DataLoader([(np.ones(2), 1)], batch_size=None)
    assert isinstance(pair, list)
    assert isinstance(pair[0], tg.Tensor)
    with pytest.raises(ValueError, match="no batches to drop"):
        DataLoader(data, batch_size=None, drop_last=True)


def test_batches_of_tuples_are_lists():
    a, b = tg.ones(4, 2), tg.zeros(4)
    for batch in DataLoader(TensorDataset(a, b), 2):
        assert type(batch) is list
        batch[0] = batch[0] * 2
    (batch,) = DataLoader([(1, 2.0)], 1)
    assert type(batch) is list
    loader = DataLoader(TensorDataset(a), 2)
    assert (loader.num_workers, loader.pin_memory, loader.prefetch_factor) == (0, False, None)


# ---- beside PyTorch ------------------------------------------------------------------------------


class Shy(dict):
    """A mapping whose type takes no entries."""

    def __init__(self):
        super().__init__(a=1)

    def __copy__(self):
        raise TypeError


def both(torch, work):
    """What both libraries give, without tensors."""

    def plain(value):
        if isinstance(value, (tg.Tensor, torch.Tensor)):
            return str(value.dtype).removeprefix("torch."), value.tolist()
        if isinstance(value, Mapping):
            return type(value).__name__, {key: plain(part) for key, part in value.items()}
        if isinstance(value, (list, tuple, deque, UserList)):
            return type(value).__name__, [plain(part) for part in value]
        return value

    return plain(work(tg)), plain(work(torch))


@pytest.mark.parametrize("name", ["default_collate", "default_convert"])
@pytest.mark.parametrize(
    "sample",
    [
        OrderedDict(a=1, b=2.5),
        defaultdict(list, a=(1, "x")),
        Counter(a=3),
        (1, [2.0]),
        deque([1]),
        [np.float32(1), np.bool_(True)],
        {"x": np.ones((2, 1), np.float16)},
        b"bytes",
        Shy(),
        MappingProxyType({"a": 1}),
        UserList([1, 2]),
        np.arange(3, dtype=np.int16),
        range(3),
        2**40,
        True,
        {},
        [],
        (),
    ],
    ids=lambda sample: type(sample).__name__,
)
def test_samples_become_what_they_do_in_pytorch(name, sample):
    torch = pytest.importorskip("torch", reason="PyTorch is what it is compared with")

    def work(lib):
        data = lib.utils.data
        if name == "default_convert":
            return data.default_convert(sample)
        return data.default_collate([sample, sample])

    ours, theirs = both(torch, work)
    assert ours == theirs


def test_collating_by_a_table():
    class Box:
        def __init__(self, value):
            self.value = value

    class SmallBox(Box):
        pass

    def boxes(batch, *, collate_fn_map):
        return Box(collate.collate([box.value for box in batch], collate_fn_map=collate_fn_map))

    collate = tg.utils.data._utils.collate
    assert collate is tg.data.collate
    table = {Box: boxes, **collate.default_collate_fn_map}
    made = collate.collate([{"b": SmallBox(1)}, {"b": SmallBox(2)}], collate_fn_map=table)
    assert made["b"].value.tolist() == [1, 2]
    collate.default_collate_fn_map[Box] = boxes
    try:
        (batch,) = DataLoader([Box(1.5)], 1)
    finally:
        del collate.default_collate_fn_map[Box]
    assert batch.value.tolist() == [1.5]


@pytest.mark.parametrize(
    ("samples", "kind", "match"),
    [
        (
            [tg.ones(2), tg.ones(2), tg.ones(3)],
            RuntimeError,
            r"sample 2 of the batch has shape \(3,\), sample 0 has \(2,\)",
        ),
        ([np.ones(2), np.ones(1)], RuntimeError, r"sample 1 .* has shape \(1,\)"),
        ([{"a": 1}, {"b": 1}], RuntimeError, "sample 1 of the batch has no entry 'a'"),
        ([[1], [1, 2]], RuntimeError, "sample 1 of the batch has length 2, sample 0 has 1"),
        ([tg.ones(2), 1], TypeError, "sample 1 of the batch is of type int, sample 0"),
        ([(1, 2), 3], TypeError, "sample 1 of the batch is of type int, sample 0 of type tuple"),
        ([{"a": 1}, 3], TypeError, "sample 1 of the batch is of type int, sample 0 of type dict"),
        ([np.array(["a"])] * 2, TypeError, "cannot batch arrays of dtype <U1"),
        ([None, None], TypeError, "cannot batch NoneType"),
        ([], ValueError, "no samples"),
    ],
)
def test_samples_that_do_not_stack(samples, kind, match):
    with pytest.raises(kind, match=match):
        default_collate(samples)


def test_samples_that_do_not_stack_are_named_by_their_place_in_the_dataset():
    data = [tg.ones(1), tg.ones(1), tg.ones(1), tg.ones(2)]
    part = Subset(data, [0, 1, 2, 3])
    for dataset in (data, part):
        loader = DataLoader(dataset, 2, sampler=[0, 1, 2, 3])
        with pytest.raises(RuntimeError, match=r"sample 1 .* \(2,\).* those at 3 and 2"):
            list(loader)


@pytest.mark.parametrize(
    "make",
    [
        lambda data: data,
        lambda data: list(data),
        lambda data: Subset(data, range(3)),
        lambda data: tg.data.StackDataset(data, data),
    ],
)
def test_a_sampler_that_names_what_there_is_not(make):
    loader = DataLoader(make(numbered(3)), 2, sampler=[0, 1, 2, 7])
    with pytest.raises(IndexError, match="the sampler named index 7, the dataset has 3 items"):
        list(loader)


def test_a_sampler_that_names_no_index():
    loader = DataLoader(TensorDataset(tg.arange(3)), 2, sampler=[0, 1.5])
    with pytest.raises(IndexError, match=r"indices must be integers, got \[0, 1\.5\]"):
        list(loader)


def test_what_is_no_dataset():
    class NoLength:
        def __getitem__(self, index):
            return index * 2

    with pytest.raises(TypeError, match="generator is no dataset: it has no __getitem__, nor is"):
        DataLoader(i for i in range(3))
    with pytest.raises(TypeError, match=r"NoLength has no __len__: give it one, or .* sampler"):
        DataLoader(NoLength())
    assert list(DataLoader(NoLength(), None, sampler=[3, 4])) == [6, 8]
    with pytest.raises(ValueError, match="the dataset is empty"):
        DataLoader([], shuffle=True)
    assert list(DataLoader([])) == []
    with pytest.raises(TypeError, match="not an IterableDataset: ChainDataset"):
        ConcatDataset([Stream()])
    with pytest.warns(UserWarning, match=r"part 1 of \[0.99, 0.01\] gets none of the 10 items"):
        random_split(Squares(), [0.99, 0.01])

    class Short(Squares):
        def __getitems__(self, indices):
            return [0]

    with pytest.raises(ValueError, match="was asked for 2 items and returned 1"):
        list(DataLoader(Short(), 2))


def test_datasets_fetch_alike_in_every_way():
    """By item, many items, or a whole batch; through datasets of datasets."""
    data = numbered(6)
    for dataset in (
        data,
        Subset(data, [5, 3, 1, 0, 2, 4]),
        Subset(Subset(data, [5, 3, 1, 0, 2, 4]), [2, 0, 1]),
        tg.data.StackDataset(data, range(6), Subset(Squares(), range(6))),
        Subset(Many(), [3, 4]),
        ConcatDataset([data, data]),
    ):
        rows = [dataset[i] for i in range(len(dataset))]
        fast = list(DataLoader(dataset, 2))
        slow = list(DataLoader(dataset, 2, collate_fn=lambda samples: default_collate(samples)))
        assert str(fast) == str(slow)
        if isinstance(dataset, Subset) and isinstance(dataset.dataset, Many):
            assert fast[0].tolist() == [103, 104]
        else:
            assert str(slow[0]) == str(default_collate(rows[:2]))
    named = tg.data.StackDataset(a=data, b=range(6))
    (batch,) = DataLoader(named, 6)
    assert batch["b"].tolist() == list(range(6))
    assert [batch["a"][1].tolist(), named[2]["b"]] == [[0, 10, 20, 30, 40, 50], 2]
    assert named.__getitems__([1])[0]["b"] == 1
    (some,) = Subset(data, [4, 2])[[1, 0]][:1]
    assert some.tolist() == [2, 4]


def test_a_dataset_may_have_any_attributes():
    class Part(Subset):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.batch = self.fetch = self.collate = 32

    (batch,) = DataLoader(Part(numbered(3), [2, 0]), 2)
    assert batch[0].tolist() == [2, 0]


def test_samplers_draw_what_pytorchs_do():
    """The length, and whether each comes once; a sampler's length follows its dataset's."""
    items = [1, 2, 3]
    sampler = RandomSampler(items)
    items += [4]
    assert len(sampler) == sampler.num_samples == 4
    assert sorted(sampler) == [0, 1, 2, 3]
    assert list(tg.data.SubsetRandomSampler([])) == []
    assert isinstance(BatchSampler(sampler, 2, False), tg.data.Sampler)
    loader = DataLoader(items, batch_sampler=[[1]])
    assert loader.batch_size is None
