"""Random numbers: the generator's published answers, the same bits everywhere, and statistics."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import DEVICES

import tapegrad as tg
from tapegrad import nn
from tapegrad.core.devices import Device
from tapegrad.ops.sampling import philox as philox_file

each_device = pytest.mark.parametrize("device", DEVICES)
KERNELS = DEVICES[1:]  # the devices that must agree with the CPU


@pytest.fixture(params=["float16", "bfloat16", "float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> str:
    if request.param == "bfloat16":
        pytest.importorskip("ml_dtypes", reason="bfloat16 comes from ml_dtypes")
    return str(request.param)


def bits(t: tg.Tensor) -> np.ndarray:
    host = t.detach().cpu()._array
    return np.ascontiguousarray(host).view(f"u{host.itemsize}")


def philox(device: str, seed: int, offset: int, n: int) -> list[int]:
    words = tg.device(device).ops["philox"](n=n, seed=seed, offset=offset)
    return [int(w) for w in words]


# ---------------------------------------------------------------------- the generator


def reference(block: int, offset: int, seed: int) -> list[int]:
    """Philox4x32-10 of one counter, in Python's integers, from the paper (Salmon et al. 2011)."""
    c = [block & 0xFFFFFFFF, block >> 32, offset & 0xFFFFFFFF, offset >> 32]
    k = [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & 0xFFFFFFFF, (p0 >> 32) ^ c[3] ^ k[1], p0 & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


# Random123's known answers (its file kat_vectors): counter, key, words.
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000",
     "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
     "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
     "d16cfe09 94fdcceb 5001e420 24126ea1"),
]  # fmt: skip


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_the_reference_gives_the_published_answers(counter: str, key: str, words: str) -> None:
    c, k = ([int(word, 16) for word in text.split()] for text in (counter, key))
    found = reference(c[0] | c[1] << 32, c[2] | c[3] << 32, k[0] | k[1] << 32)
    assert [f"{word:08x}" for word in found] == words.split()


@each_device
def test_the_published_answer_at_zero(device: str) -> None:
    assert [f"{w:08x}" for w in philox(device, 0, 0, 4)] == KNOWN[0][2].split()


@each_device
@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1, 2**32, 2**63, 2**64 - 1, 0x299F31D0A4093822])
@pytest.mark.parametrize("offset", [0, 1, 2**32 - 1, 2**32, 2**64 - 1, 0x0370734413198A2E])
def test_every_device_computes_the_reference(device: str, seed: int, offset: int) -> None:
    """Seeds and offsets of 64 bits, and a last block that is cut short."""
    expected = [word for block in range(3) for word in reference(block, offset, seed)]
    assert philox(device, seed, offset, 11) == expected[:11]
    assert philox(device, seed, offset, 0) == []


# ---------------------------------------------------------------------- the same bits everywhere

DRAWS: dict[str, Callable[[str, Any], tg.Tensor]] = {
    "rand": lambda device, dtype: tg.rand(7, 11, device=device, dtype=dtype),
    "randn": lambda device, dtype: tg.randn(7, 11, device=device, dtype=dtype),
    "rand_like": lambda device, dtype: tg.rand_like(tg.ones(5, device=device, dtype=dtype)),
    "randn_like": lambda device, dtype: tg.randn_like(tg.ones(5, device=device, dtype=dtype)),
    "uniform_": lambda device, dtype: tg.ones(9, device=device, dtype=dtype).uniform_(-2, 3),
    "normal_": lambda device, dtype: tg.ones(9, device=device, dtype=dtype).normal_(1.5, 2),
    "bernoulli": lambda device, dtype: tg.bernoulli(
        tg.full((99,), 0.3, device=device, dtype=dtype)),
    "dropout": lambda device, dtype: tg.dropout(tg.rand(
        257, device=device, dtype=dtype) + 0.5, 0.3),
    "randint": lambda device, dtype: tg.randint(-5, 2**40, (9,), device=device),
    "randint small": lambda device, dtype: tg.randint(-5, 7, (9,), device=device, dtype="int8"),
    "randperm": lambda device, dtype: tg.randperm(100, device=device),
    "nothing": lambda device, dtype: tg.rand(0, 3, device=device, dtype=dtype),
}  # fmt: skip


@pytest.mark.parametrize("device", KERNELS)
@pytest.mark.parametrize("name", DRAWS)
def test_all_devices_draw_the_same_bits(name: str, dtype: str, device: str) -> None:
    drawn = []
    for place in ("cpu", device):
        tg.manual_seed(42)
        tg.rand(3)
        drawn.append(DRAWS[name](place, dtype))
        assert str(drawn[-1].device.type) == place
    np.testing.assert_array_equal(bits(drawn[0]), bits(drawn[1]))
    assert drawn[0].dtype == drawn[1].dtype


@pytest.mark.parametrize("device", KERNELS)
def test_initialisation_is_the_same_on_all_devices(device: str) -> None:
    weights = []
    for place in ("cpu", device):
        tg.manual_seed(7)
        weights.append(nn.Linear(13, 5, device=place).weight)
    np.testing.assert_array_equal(bits(weights[0]), bits(weights[1]))


@pytest.mark.parametrize("make", [tg.rand, tg.randn])
def test_an_element_depends_on_its_index_alone(make: Callable, dtype: str) -> None:
    """Not on how many others are drawn, nor on their shape."""
    drawn = [make(*shape, generator=tg.Generator().manual_seed(3), dtype=dtype).flatten()[:60]
             for shape in ((60,), (61,), (10_000,), (3, 4, 5))]  # fmt: skip
    for other in drawn[1:]:
        np.testing.assert_array_equal(bits(drawn[0]), bits(other))


# ---------------------------------------------------------------------- seeds and states


def test_a_seed_repeats_and_two_calls_differ() -> None:
    tg.manual_seed(5)
    first, second = tg.rand(4).tolist(), tg.rand(4).tolist()
    tg.manual_seed(5)
    assert [tg.rand(4).tolist(), tg.rand(4).tolist()] == [first, second]
    assert first != second
    tg.manual_seed(6)
    assert tg.rand(4).tolist() != first


def test_states_round_trip() -> None:
    tg.manual_seed(2**64 - 3)
    tg.randn(5)
    state = tg.get_rng_state()
    expected = [tg.rand(3).tolist(), tg.randperm(9).tolist()]
    tg.manual_seed(0)
    tg.set_rng_state(state)
    assert [tg.rand(3).tolist(), tg.randperm(9).tolist()] == expected
    assert (state.dtype, state.shape) == (tg.uint8, (16,))
    generator = tg.Generator().manual_seed(-1)
    other = tg.Generator().set_state(generator.get_state())
    assert other.initial_seed() == generator.initial_seed() == 2**64 - 1
    assert tg.rand(3, generator=other).tolist() == tg.rand(3, generator=generator).tolist()


def test_states_of_two_integers_are_still_taken() -> None:
    generator = tg.Generator().set_state(tg.tensor([-3, 7]))
    assert generator.initial_seed() == 2**64 - 3
    again = tg.Generator().set_state(generator.get_state()[::1])
    assert again.get_state().tolist() == generator.get_state().tolist()
    assert tg.rand(3, generator=again).tolist() == tg.rand(3, generator=generator).tolist()


@pytest.mark.parametrize(
    ("state", "kind", "said"),
    [
        ([1], RuntimeError, r"int64 \(1,\)"),
        ([1, 2, 3], RuntimeError, r"int64 \(3,\)"),
        ([1.5, 2.0], TypeError, r"float32 \(2,\)"),
        (tg.zeros(5, dtype=tg.uint8), RuntimeError, r"\(16,\), got uint8 \(5,\)"),
        (tg.zeros(5056, dtype=tg.uint8), RuntimeError, "another library's generators are others"),
    ],
)
def test_a_state_of_another_kind_is_refused(state: Any, kind: type, said: str) -> None:
    before = tg.get_rng_state().tolist()
    for refuse in (tg.set_rng_state, tg.Generator().set_state):
        with pytest.raises(kind, match=rf"\[set_state\] .*{said}"):
            refuse(tg.as_tensor(state))
    assert tg.get_rng_state().tolist() == before


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [(-1, 2**64 - 1, True), (2**64, 0, True), (1, 2**32 + 1, False), (3, -3, False)],
)
def test_seeds_have_64_bits(a: int, b: int, same: bool) -> None:
    first, second = (tg.rand(4, generator=tg.Generator().manual_seed(s)).tolist() for s in (a, b))
    assert (first == second) is same


def test_a_generator_is_a_stream_of_its_own() -> None:
    generator = tg.Generator().manual_seed(1)
    tg.manual_seed(2)
    expected = tg.rand(3).tolist()
    tg.manual_seed(2)
    tg.rand(3, generator=generator)
    tg.randint(9, (2,), generator=generator)
    assert tg.rand(3).tolist() == expected


def test_offsets_beyond_32_bits_are_other_numbers() -> None:
    drawn = []
    for offset in (1, 2**32 + 1, 2**63 + 1):
        state = tg.tensor([5, offset - 2**64 if offset >= 2**63 else offset])
        drawn.append(tuple(tg.rand(4, generator=tg.Generator().set_state(state)).tolist()))
    assert len(set(drawn)) == 3


def test_threads_share_the_default_generator_without_repeating() -> None:
    import threading

    tg.manual_seed(0)
    drawn: list = []

    def work() -> None:
        drawn.extend(tuple(tg.rand(2).tolist()) for _ in range(200))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(set(drawn)) == 1600


# ---------------------------------------------------------------------- distributions

N = 200_000


def kolmogorov_smirnov(sample: np.ndarray, cdf: Callable) -> float:
    """The greatest distance of the sample's distribution from ``cdf``, times sqrt(n); it exceeds
    1.95 once in a thousand seeds."""
    x = np.sort(sample)
    n = len(x)
    expected = cdf(x)
    above = np.abs(np.arange(1, n + 1) / n - expected).max()
    below = np.abs(np.arange(n) / n - expected).max()
    return max(above, below) * math.sqrt(n)


def normal_cdf(x: np.ndarray) -> np.ndarray:
    return np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in x])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("make", "cdf", "mean", "variance"),
    [(tg.rand, lambda x: x, 0.5, 1 / 12), (tg.randn, normal_cdf, 0.0, 1.0)],
    ids=["uniform", "normal"],
)
def test_distributions(make: Any, cdf: Callable, mean: float, variance: float, dtype: str) -> None:
    x = make(N, generator=tg.Generator().manual_seed(11), dtype=dtype).numpy().astype(np.float64)
    assert abs(x.mean() - mean) < 4 * math.sqrt(variance / N)
    assert abs(x.var() - variance) < 4 * variance * math.sqrt(2 / N)
    assert kolmogorov_smirnov(x, cdf) < 1.95
    assert abs(np.corrcoef(x[:-1], x[1:])[0, 1]) < 4 / math.sqrt(N)  # neighbours
    half = N // 2
    assert abs(np.corrcoef(x[:half], x[half:])[0, 1]) < 4 / math.sqrt(half)


def test_uniform_numbers_stay_below_one(dtype: str) -> None:
    x = tg.rand(N, generator=tg.Generator().manual_seed(1), dtype=dtype).double().numpy()
    assert x.min() >= 0.0
    assert x.max() < 1.0
    steps = 2.0 ** {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}[dtype]
    assert (x * steps == np.floor(x * steps)).all()  # evenly spaced: nothing was rounded
    assert abs(x.mean() - 0.5 + 0.5 / steps) < 4 * math.sqrt(1 / 12 / N)


@each_device
def test_normal_numbers_against_box_and_muller_by_numpy(dtype: str, device: str) -> None:
    """The polynomials agree with NumPy's log, sin and cos to 1e-14 before rounding."""
    place = Device(device)
    seed, offset, n = 9, 4, 50_001
    x = place.ops["normal"](n=n, dtype=np.dtype("float64"), seed=seed, offset=offset)
    pairs = -(-n // 2)
    uv = place.ops["uniform"](n=2 * pairs, dtype=np.dtype("float64"), seed=seed, offset=offset)
    host = np.asarray(uv if device != "cuda" else uv.get()).reshape(-1, 2)
    u, v = host[:, 0] + 2.0**-53, host[:, 1]
    r, angle = np.sqrt(-2 * np.log(u)), 2 * np.pi * v
    expected = np.stack([r * np.cos(angle), r * np.sin(angle)], axis=1).reshape(-1)[:n]
    found = np.asarray(x if device != "cuda" else x.get())
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)
    # The narrower dtypes draw from one word a number, in float64, and round once.
    words = np.array(philox(device, seed, offset, 400), dtype=np.float64)
    u, v = (words[0::2] + 1) * 2.0**-32, words[1::2] * 2.0**-32
    r, angle = np.sqrt(-2 * np.log(u)), 2 * np.pi * v
    expected = np.stack([r * np.cos(angle), r * np.sin(angle)], axis=1).reshape(-1)
    kind = tg.zeros(1, dtype=dtype).dtype
    if dtype != "float64":
        y = place.ops["normal"](n=400, dtype=kind, seed=seed, offset=offset)
        rounded = np.asarray(y if device != "cuda" else y.get()).astype(np.float64)
        unit = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-24}[dtype]
        np.testing.assert_allclose(rounded, expected, rtol=1.01 * unit, atol=1e-7)


def test_integers_are_uniform_and_cover_their_range() -> None:
    x = tg.randint(-3, 4, (70_000,), generator=tg.Generator().manual_seed(0)).numpy()
    counts = np.bincount(x + 3, minlength=7)
    assert len(counts) == 7
    chi_square = ((counts - 10_000.0) ** 2 / 10_000).sum()
    assert chi_square < 22.5  # 6 degrees of freedom: once in a thousand seeds
    assert tg.randint(5, (3, 2)).shape == (3, 2)
    assert tg.randint(0, 1, (4,)).tolist() == [0] * 4
    wide = tg.randint(-(2**63), 2**63 - 1, (1000,)).numpy()
    assert (wide < 0).sum() > 400
    assert (wide > 0).sum() > 400


def test_permutations() -> None:
    generator = tg.Generator().manual_seed(0)
    first = np.array([tg.randperm(5, generator=generator).tolist() for _ in range(5000)])
    assert (np.sort(first, axis=1) == np.arange(5)).all()
    counts = np.array([(first[:, 0] == k).sum() for k in range(5)])
    assert (abs(counts - 1000) < 4 * math.sqrt(800)).all()
    assert tg.randperm(0).tolist() == []
    assert tg.randperm(3, dtype="int32").dtype == tg.int32


@pytest.mark.parametrize("p", [0.0, 0.25, 1.0])
def test_bernoulli(p: float) -> None:
    tg.manual_seed(3)
    x = tg.bernoulli(tg.full((N,), p, dtype="float64"))
    assert set(x.tolist()) <= {0.0, 1.0}
    assert abs(x.mean().item() - p) <= 4 * math.sqrt(p * (1 - p) / N)


# ---------------------------------------------------------------------- dropout


@each_device
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_mean_and_its_gradient_has_the_same_mask(
    device: str, dtype: str, p: float
) -> None:
    tg.manual_seed(17)
    n = 40_000
    x = tg.ones(n, device=device, dtype=dtype, requires_grad=True)
    y = tg.dropout(x, p)
    kept = y.detach().cpu().double().numpy()
    scale = 1 / (1 - p)
    assert set(kept == 0) == {True, False}
    np.testing.assert_allclose(kept[kept != 0], scale, rtol=1e-2 if "16" in dtype else 1e-6)
    assert abs((kept != 0).mean() - (1 - p)) < 4 * math.sqrt(p * (1 - p) / n)
    y.backward(tg.full((n,), 2.0, device=device, dtype=dtype))
    np.testing.assert_allclose(
        x.grad.cpu().double().numpy(), 2 * kept, rtol=1e-2 if "16" in dtype else 1e-6
    )


def test_dropouts_extremes() -> None:
    x = tg.ones(100, requires_grad=True)
    assert tg.dropout(x, 0.0) is x
    assert tg.dropout(x, 0.5, training=False) is x
    y = tg.dropout(x, 1.0)
    assert not y.detach().numpy().any()
    y.sum().backward()
    assert not x.grad.numpy().any()
    assert tg.dropout(tg.tensor(3.0), 0.5).shape == ()
    assert tg.dropout(tg.zeros(0, 3), 0.5).shape == (0, 3)
    almost = tg.dropout(tg.ones(1000), 1 - 1e-9)
    assert not almost.numpy().any()


def test_dropout_draws_anew_each_time_and_twice_differentiable() -> None:
    tg.manual_seed(1)
    x = tg.ones(1000, dtype="float64", requires_grad=True)
    first, second = tg.dropout(x, 0.5), tg.dropout(x, 0.5)
    assert first.tolist() != second.tolist()
    (g,) = tg.autograd.grad((first * first).sum(), x, create_graph=True)
    (h,) = tg.autograd.grad(g.sum(), x)
    np.testing.assert_allclose(h.numpy(), 2 * first.detach().numpy() ** 2)


def test_dropout_of_a_non_contiguous_tensor_is_by_index() -> None:
    data = np.arange(1.0, 13.0).reshape(3, 4)
    for device in ("cpu", "emulated"):
        drawn = []
        for x in (tg.tensor(data, device=device), tg.tensor(data.T.copy(), device=device).T):
            tg.manual_seed(3)
            drawn.append(tg.dropout(x, 0.5).cpu().numpy())
        np.testing.assert_array_equal(*drawn)


@pytest.mark.parametrize("make", [tg.rand_like, tg.randn_like])
def test_like_keeps_what_is_given_as_none(make: Callable) -> None:
    x = tg.ones(5, dtype="float64", device="emulated")
    y = make(x, dtype=None, device=None, requires_grad=True)
    assert (y.dtype, y.device, y.requires_grad) == (x.dtype, x.device, True)
    assert make(x, dtype="float16").dtype == tg.float16


@pytest.mark.parametrize("make", [tg.rand, tg.randn])
def test_the_size_may_be_given_by_name(make: Callable) -> None:
    tg.manual_seed(1)
    by_name = make(size=(2, 3), dtype=tg.float64)
    tg.manual_seed(1)
    np.testing.assert_array_equal(by_name.numpy(), make(2, 3, dtype=tg.float64).numpy())
    with pytest.raises(TypeError, match="unexpected argument 'sizes'"):
        make(sizes=(2, 3))


def test_random_integers_reach_the_ends_of_their_dtype() -> None:
    """(F08) And numbers that it does not hold are refused."""
    for name in ("uint8", "int8"):
        drawn = tg.empty(20000, dtype=name).random_()
        assert (drawn.min().item(), drawn.max().item()) == (0, np.iinfo(name).max)
    for name, low, high in [("uint8", 0, 257), ("uint8", -1, 5), ("int8", 0, 129), ("bool", 0, 3)]:
        with pytest.raises(RuntimeError, match=rf"bounds that {name} holds"):
            tg.empty(3, dtype=name).random_(low, high)
    with pytest.raises(RuntimeError, match="bounds that float16 holds"):
        tg.empty(3, dtype=tg.float16).random_(0, 70000)
    assert tg.empty(3, dtype=tg.int64).random_(-(2**63), 2**63 - 1).shape == (3,)


@pytest.mark.parametrize(("name", "most"), [("uint8", 256), ("int8", 128), ("float16", 2049)])
def test_a_permutation_fits_its_dtype(name: str, most: int) -> None:
    """(F10)"""
    assert sorted(tg.randperm(most, dtype=name).tolist()) == list(range(most))
    with pytest.raises(
        RuntimeError, match=rf"\[randperm\] {name} does not hold all of 0 to {most}"
    ):
        tg.randperm(most + 1, dtype=name)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64"])
def test_numbers_made_in_pieces_are_those_of_one_piece(
    dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """(S2)"""

    def drawn() -> list:
        tg.manual_seed(3)
        if dtype == "int64":
            return tg.randint(0, 1000, (301,)).tolist()
        x = tg.empty(301, dtype=dtype)
        fills = (
            x.normal_(1, 2),
            x.uniform_(-1, 3),
            x.exponential_(),
            x.cauchy_(),
            x.geometric_(0.2),
        )
        return [tg.randn(301, dtype=dtype).tolist(), *(t.tolist() for t in fills)]

    whole = drawn()
    monkeypatch.setattr("tapegrad.ops.sampling.philox._AT_ONCE", 8)
    assert drawn() == whole


def test_few_numbers_are_the_same_in_pythons_integers(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = tg.device("cpu")
    for seed, offset, start, count in (
        (0, 0, 0, 1),
        (3, 1, 8, 30),
        (2**64 - 1, 2**63 + 5, 4 << 33, 7),
        (2**40, 2**33, 0, 0),
    ):
        few = philox_file._words(cpu.xp, start, start + count, seed, offset)
        monkeypatch.setattr(philox_file, "_FEW_BLOCKS", -1)
        many = philox_file._words(cpu.xp, start, start + count, seed, offset)
        monkeypatch.undo()
        assert (few.dtype, few.tolist()) == (many.dtype, many.tolist())
