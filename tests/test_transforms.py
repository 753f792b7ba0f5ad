"""Transforms of images against closed forms: each of one image and of a batch, of floats and uint8,
by the numbers of a seed."""

from __future__ import annotations

import colorsys
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from conftest import DEVICES

import tapegrad as tg
from tapegrad.data import transforms as T


def photo(n: int = 4, c: int = 3, h: int = 6, w: int = 5, dtype: Any = tg.float32) -> tg.Tensor:
    """A batch of different images."""
    x = tg.rand(n, c, h, w, generator=tg.Generator().manual_seed(3))
    return x.to(dtype) if dtype != tg.uint8 else (x * 255).to(tg.uint8)


def seeded(seed: int = 0) -> tg.Generator:
    return tg.Generator().manual_seed(seed)


RANDOM: dict[str, Callable] = {
    "random_crop": partial(T.random_crop, size=4, padding=2),
    "random_crop_reflect": partial(T.random_crop, size=(3, 5), padding=1, padding_mode="reflect"),
    "random_horizontal_flip": T.random_horizontal_flip,
    "random_vertical_flip": T.random_vertical_flip,
    "random_resized_crop": partial(T.random_resized_crop, size=4),
    "random_erasing": partial(T.random_erasing, p=0.8, scale=(0.1, 0.3)),
    "random_rotation": partial(T.random_rotation, degrees=40, mode="bilinear"),
    "random_affine": partial(
        T.random_affine, degrees=(5, 30), translate=(0.2, 0.4), scale=(0.7, 1.3), shear=10
    ),
    "color_jitter": partial(
        T.color_jitter, brightness=0.3, contrast=0.4, saturation=(0.2, 1.5), hue=0.2
    ),
}
FIXED: dict[str, Callable] = {
    "center_crop": partial(T.center_crop, size=(4, 3)),
    "crop": partial(T.crop, top=1, left=2, height=3, width=2),
    "hflip": T.hflip,
    "resize": partial(T.resize, size=9),
    "rotate": partial(T.rotate, angle=33, mode="bilinear", fill=0.5),
    "affine": partial(T.affine, angle=10, translate=(1, -1), scale=1.2, shear=(5, 7)),
    "grey": T.rgb_to_grayscale,
    "brightness": partial(T.adjust_brightness, factor=1.7),
    "contrast": partial(T.adjust_contrast, factor=0.4),
    "saturation": partial(T.adjust_saturation, factor=1.9),
    "hue": partial(T.adjust_hue, factor=-0.3),
}


@pytest.mark.parametrize("dtype", [tg.float32, tg.float64, tg.float16, tg.uint8], ids=str)
@pytest.mark.parametrize("name", FIXED)
def test_images_of_a_batch_are_transformed_as_one_is(name: str, dtype: Any) -> None:
    batch = photo(dtype=dtype)
    result = FIXED[name](batch)
    assert result.dtype == dtype
    one_by_one = tg.stack([FIXED[name](image) for image in batch])
    np.testing.assert_array_equal(result, one_by_one)
    exact = FIXED[name](
        photo(dtype=tg.uint8).double() / 255 if dtype == tg.uint8 else batch.double()
    )
    off = {tg.float64: 0, tg.float32: 1e-6, tg.float16: 4e-3, tg.uint8: 1.01 / 255}[dtype]
    scale = 255 if dtype == tg.uint8 else 1
    outside = 0.5 if name == "rotate" and dtype == tg.uint8 else 0  # fill is in the image's units
    difference = np.abs(result.double().numpy() / scale - exact.numpy())
    assert np.quantile(difference, 0.5 if outside else 1) <= off


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", RANDOM)
def test_random_transforms_are_those_of_the_seed(name: str, device: str) -> None:
    transform = RANDOM[name]
    batch = photo()
    expected = transform(batch, generator=seeded())
    again = transform(batch.to(device), generator=seeded())
    assert again.device.type == device
    np.testing.assert_allclose(again.cpu(), expected, atol=1e-6)
    first = transform(batch[0], generator=seeded())
    np.testing.assert_allclose(first, expected[0], atol=1e-6)
    assert any((transform(batch, generator=seeded(s)) != expected).any() for s in (1, 2, 3))
    tg.manual_seed(0)
    np.testing.assert_array_equal(transform(batch), expected)
    same = tg.stack([batch[0]] * 20)  # each of a batch has numbers of its own
    results = transform(same, generator=seeded()).numpy()
    assert any((image != results[0]).any() for image in results[1:])
    assert transform(batch[:0]).shape == (0, *expected.shape[1:])
    whole = transform(photo(dtype=tg.uint8), generator=seeded())
    assert whole.dtype == tg.uint8


def test_crops_are_parts() -> None:
    image = tg.arange(30, dtype=tg.float32).reshape(1, 5, 6)
    assert T.center_crop(image, 3).tolist() == image[:, 1:4, 2:5].tolist()
    assert T.center_crop(image, (7, 2)).shape == (1, 7, 2)
    assert T.center_crop(image, (7, 6))[0, 0].tolist() == [0] * 6
    assert T.crop(image, 4, 0, 1, 6)[0, 0].tolist() == image[0, 4].tolist()
    found = set()
    for seed in range(60):
        part = T.random_crop(image, 4, generator=seeded(seed))
        top, left = divmod(int(part[0, 0, 0]), 6)
        assert part.tolist() == image[:, top : top + 4, left : left + 4].tolist()
        found.add((top, left))
    assert found == {(top, left) for top in range(2) for left in range(3)}
    padded = T.random_crop(image + 1, 5, padding=2, fill=-1, generator=seeded(1))
    assert set(padded.reshape(-1).tolist()) <= {-1.0, *range(1, 31)}


def test_flips() -> None:
    image = photo(1)[0]
    np.testing.assert_array_equal(T.hflip(image), image.numpy()[..., ::-1])
    np.testing.assert_array_equal(T.vflip(image), image.numpy()[:, ::-1])
    many = tg.stack([image] * 2000)
    flipped = (T.random_horizontal_flip(many, p=0.3, generator=seeded()) != many).any((1, 2, 3))
    assert abs(flipped.float().mean().item() - 0.3) < 4 * (0.21 / 2000) ** 0.5
    np.testing.assert_array_equal(T.random_vertical_flip(image, p=1.0), T.vflip(image))


def test_resize_keeps_proportions() -> None:
    assert T.resize(photo(1, 3, 4, 6), 8).shape == (1, 3, 8, 12)
    assert T.resize(photo(1, 3, 6, 4)[0], 3).shape == (3, 4, 3)
    constant = tg.full((3, 4, 4), 77, dtype=tg.uint8)
    assert (T.resize(constant, (7, 3)) == 77).all()


def test_random_parts_have_the_area_and_ratio_asked_for() -> None:
    ramp = tg.arange(10000, dtype=tg.float64).reshape(1, 100, 100)
    seen = T.random_resized_crop(
        tg.stack([ramp] * 200), 100, (0.25, 0.25), (2.0, 2.0), "nearest", generator=seeded()
    )
    corners = seen.numpy()[:, 0, [0, -1], [0, -1]].astype(int)
    (top, left), (bottom, right) = divmod(corners[:, 0], 100), divmod(corners[:, 1], 100)
    assert set(bottom - top + 1) <= {35}  # 2 h * h = 2500
    assert set(right - left + 1) <= {70, 71}
    assert len(set(top)) > 30
    whole = T.random_resized_crop(ramp, 50, (2, 3), (1, 1), "nearest")  # never fits
    np.testing.assert_array_equal(whole, T.resize(ramp, 50, "nearest"))

    erased = T.random_erasing(
        tg.ones(500, 2, 40, 40), 0.5, (0.1, 0.1), (1, 1), value=-3, generator=seeded()
    ).numpy()
    hit = (erased != 1).any((1, 2, 3))
    assert abs(hit.mean() - 0.5) < 0.1
    assert set((erased[hit] == -3).sum((1, 2, 3))) == {2 * 13 * 13}  # 12.6 rounded
    np.testing.assert_array_equal(erased[:, 0], erased[:, 1])


def test_turns_by_quarters_are_exact() -> None:
    image = photo(1, 3, 5, 5)[0]
    for quarters in range(-3, 4):
        for mode in ("nearest", "bilinear"):
            turned = T.rotate(image, 90 * quarters, mode)
            expected = np.rot90(image.numpy(), quarters, (1, 2))  # counter-clockwise
            np.testing.assert_allclose(turned, expected, atol=1e-6)
    clockwise = T.affine(image, 90)
    np.testing.assert_allclose(clockwise, np.rot90(image.numpy(), -1, (1, 2)), atol=1e-6)
    assert (T.rotate(tg.ones(1, 9, 9), 45, fill=7)[0, 0, 0] == 7).all()


def test_affine_moves_and_scales() -> None:
    image = photo(1, 1, 5, 7)[0]
    moved = T.affine(image, 0, translate=(2, -1)).numpy()
    np.testing.assert_allclose(moved[:, :4, 2:], image.numpy()[:, 1:, :5], atol=1e-6)
    assert (moved[:, 4] == 0).all()
    dot = tg.zeros(1, 9, 9)
    dot[0, 4, 6] = 1
    assert T.affine(dot, 0, scale=2).numpy()[0, 4, 8] == 1  # twice as far from the middle
    diagonal = tg.eye(9)[None]
    assert (T.affine(diagonal, 0, shear=(45, 0))[0, :, 4] == 1).all()  # it has become upright
    assert (T.affine(diagonal, 0, shear=(0, 45))[0, 4] == 1).all()
    assert (T.affine(diagonal, 90, shear=(45, 0))[0, 4] == 1).all()  # sheared, then turned
    turned = T.random_rotation(tg.ones(400, 1, 9, 9), (45, 45), generator=seeded())
    np.testing.assert_array_equal(turned[0], T.rotate(tg.ones(1, 9, 9), 45))
    with pytest.raises(ValueError, match="scale must be positive, got 0"):
        T.affine(image, 0, scale=0)


def test_colours_are_their_formulas() -> None:
    image = photo(1, dtype=tg.float64)[0]
    x = image.numpy()
    grey = np.tensordot([0.2989, 0.587, 0.114], x, 1)
    for result, expected in (
        (T.rgb_to_grayscale(image), grey[None]),
        (T.rgb_to_grayscale(image, 3), np.stack([grey] * 3)),
        (T.adjust_brightness(image, 1.6), 1.6 * x),
        (T.adjust_contrast(image, 1.6), 1.6 * x - 0.6 * grey.mean()),
        (T.adjust_saturation(image, 1.6), 1.6 * x - 0.6 * grey),
        (T.adjust_saturation(image, 0), np.stack([grey] * 3)),
        (T.adjust_hue(image, 0), x),
        (T.adjust_hue(image, 1 / 3), x[[2, 0, 1]]),
    ):
        np.testing.assert_allclose(result, expected.clip(0, 1), atol=1e-12)
    for factor in (-0.5, -0.13, 0.4):
        turned = T.adjust_hue(image, factor).numpy()
        for i in np.ndindex(x.shape[1:]):
            h, s, v = colorsys.rgb_to_hsv(*x[(slice(None), *i)])
            np.testing.assert_allclose(
                turned[(slice(None), *i)], colorsys.hsv_to_rgb((h + factor) % 1, s, v), atol=1e-12
            )
    assert T.adjust_hue(tg.full((3, 1, 1), 0.5), 0.3).tolist() == [[[0.5]]] * 3


def test_numbers_that_networks_want() -> None:
    image = photo(1, dtype=tg.uint8)[0]
    floats = T.to_float(image)
    np.testing.assert_allclose(floats, image.numpy() / 255, rtol=1e-6)
    normal = T.normalize(floats, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    mean, std = (np.array(v).reshape(3, 1, 1) for v in ((0.5, 0.4, 0.3), (0.2, 0.3, 0.4)))
    np.testing.assert_allclose(normal, (floats.numpy() - mean) / std, rtol=1e-5)


def test_jitter_stays_within_its_ranges() -> None:
    grey = tg.full((300, 3, 2, 2), 0.4, dtype=tg.float64)
    shades = T.color_jitter(grey, brightness=0.5, generator=seeded()).numpy()[:, 0, 0, 0] / 0.4
    assert 0.5 <= shades.min() < 0.52
    assert 1.48 < shades.max() <= 1.5
    assert abs(shades.mean() - 1) < 4 * 0.29 / 300**0.5
    np.testing.assert_array_equal(T.color_jitter(photo()), photo())


def test_mixup_mixes_images_and_labels_alike() -> None:
    n = 400
    images = tg.arange(n, dtype=tg.float64).reshape(n, 1, 1, 1).expand(n, 1, 2, 2) / n
    labels = tg.arange(n)
    mixed, shares = T.mixup(images, labels, alpha=0.4, num_classes=n, generator=seeded())
    np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(  # the mean of what is in it
        mixed[:, 0, 0, 0], (shares.double() @ images[:, 0, 0, 0]).numpy(), atol=1e-6
    )
    kept = shares.numpy()[np.arange(n), np.arange(n)]
    assert abs(kept.mean() - 0.5) < 0.08  # Beta(a, a): variance 1 / (4 (2 a + 1))
    assert abs(kept.var() - 1 / (4 * 1.8)) < 0.03
    again = T.mixup(images, tg.eye(n)[labels], alpha=0.4, generator=seeded())
    np.testing.assert_array_equal(again[1], shares)


@pytest.mark.parametrize("device", DEVICES)
def test_mixtures_are_the_same_on_all_devices(device: str) -> None:
    images, labels = photo(), tg.tensor([0, 2, 1, 1])
    for mix in (T.mixup, T.cutmix):
        expected = mix(images, labels, num_classes=3, generator=seeded())
        found = mix(images.to(device), labels.to(device), num_classes=3, generator=seeded())
        for one, other in zip(found, expected, strict=True):
            assert one.device.type == device
            np.testing.assert_allclose(one.cpu(), other, rtol=1e-6)


def test_cutmix_labels_by_what_is_seen() -> None:
    n = 60
    images = tg.arange(n, dtype=tg.float64).reshape(n, 1, 1, 1).expand(n, 2, 8, 10)
    mixed, shares = T.cutmix(images, tg.arange(n), num_classes=n, generator=seeded())
    seen = np.stack([(mixed.numpy()[:, 0] == i).mean((1, 2)) for i in range(n)], 1)
    np.testing.assert_allclose(shares, seen, atol=1e-6)
    assert (shares.numpy().max(1) < 1).sum() > n // 2
    np.testing.assert_array_equal(mixed[:, 0], mixed[:, 1])


def test_compose_calls_in_order_and_travels() -> None:
    both = T.Compose([T.hflip, partial(T.crop, top=0, left=0, height=2, width=1)])
    image = photo(1)[0]
    assert both(image).tolist() == image[:, :2, -1:].tolist()
    assert pickle.loads(pickle.dumps(both))(image).tolist() == both(image).tolist()
    with pytest.raises(TypeError, match=r"functions, got Tensor; functools.partial"):
        T.Compose([image])  # type: ignore[list-item]


def test_images_may_require_gradients() -> None:
    image = photo(1)[0].requires_grad_()
    for name, transform in (FIXED | RANDOM).items():
        (slope,) = tg.autograd.grad(transform(image).sum(), image)
        assert np.isfinite(slope.numpy()).all(), name


WRONG: list[tuple[Callable, type, str]] = [
    (lambda x: T.hflip(x[0, 0]), ValueError, r"\[hflip\] takes an image .* got shape \(6, 5\)"),
    (lambda x: T.hflip(x.long()), ValueError, r"\[hflip\] images are floats or uint8, got int64"),
    (lambda x: T.hflip(x.numpy()), TypeError, r"\[hflip\]"),
    (lambda x: T.crop(x, 3, 0, 4, 5), ValueError, r"rows 3 to 7 .* image of 6 x 5"),
    (lambda x: T.random_crop(x, 7), ValueError, r"6 x 5 .* no part of 7 x 7: give padding="),
    (lambda x: T.random_crop(x, 0), ValueError, r"size must be one positive int, or two, got 0"),
    (lambda x: T.normalize(x, 0, 0), ValueError, r"std must not be 0"),
    (lambda x: T.normalize(x, (0, 0), 1), ValueError, r"mean has 2 numbers for 3 channels"),
    (lambda x: T.normalize(x.to(tg.uint8), 0, 1), ValueError, r"call to_float first"),
    (lambda x: T.adjust_hue(x, 0.6), ValueError, r"factor must lie in -0.5..0.5, got 0.6"),
    (lambda x: T.adjust_saturation(x[:, :2], 1), ValueError, r"3 channels .* \(4, 2, 6, 5\)"),
    (lambda x: T.color_jitter(x, hue=0.7), ValueError, r"hue must be .* within -0.5..0.5, got 0.7"),
    (lambda x: T.color_jitter(x, brightness=-1), ValueError, r"brightness must be a number >= 0"),
    (lambda x: T.mixup(x, tg.zeros(4).long()), ValueError, r"\[mixup\] .* need num_classes="),
    (lambda x: T.mixup(x[0], tg.zeros(4).long()), ValueError, r"batch of images .* got shape \(3"),
    (lambda x: T.mixup(x, tg.zeros(3).long(), 1, 9), ValueError, r"n = 4, got int64 \(3,\)"),
    (lambda x: T.cutmix(x, tg.zeros(4).long(), 0, 9), ValueError, r"alpha must be positive, got 0"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), WRONG)
def test_what_is_no_image_or_no_setting(call: Callable, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        call(photo())


def test_names_of_torchvisions_classes_lead_to_functions() -> None:
    with pytest.raises(AttributeError, match=r"'RandomCrop': did you mean 'random_crop'\?"):
        _ = T.RandomCrop
    with pytest.raises(AttributeError, match=r"'Normalize': did you mean 'normalize'\?"):
        _ = T.Normalize
