"""Images resized, sampled at places, pooled to a size; columns and pixels."""

from __future__ import annotations

from typing import Any

from .base import case, constant, distinct, f, unit, values

# One row reads best on one line.
# fmt: off


def resize(name: str, size: Any, *samples: Any, low: bool = True, **options: Any) -> None:
    case(f"interpolate_{name}", lambda t, x: t.nn.functional.interpolate(x, size, **options), *samples,
         low=low)


case("interpolate", lambda t, x: t.nn.functional.interpolate(x, scale_factor=(2, 1.5)),
     (f(1, 2, 2, 3),), (f(2, 3, 5, 4),), (f(0, 1, 2, 2),))
resize("nearest", 4, (f(1, 2, 6),), (f(2, 3, 7),), mode="nearest")
resize("exact", (3, 5, 2), (f(1, 1, 2, 3, 3),), (f(2, 3, 4, 4, 5),), mode="nearest-exact")
resize("area", (2, 3), (f(1, 2, 3, 4),), (f(2, 1, 7, 2),), mode="area")
resize("linear", 5, (f(1, 2, 3),), (f(2, 3, 8),), (f(0, 1, 4),), mode="linear")
resize("bilinear", (5, 2), (f(1, 1, 3, 4),), (f(2, 3, 8, 7),), mode="bilinear")
resize("corners", (5, 1), (f(1, 1, 3, 4),), (f(2, 3, 8, 7),), mode="bilinear", align_corners=True)
resize("bicubic", (5, 3), (f(1, 1, 3, 4),), (f(2, 3, 8, 7),), mode="bicubic")
resize("bicubic_corners", (5, 3), (f(1, 1, 3, 4),), mode="bicubic", align_corners=True)
resize("trilinear", (3, 1, 4), (f(1, 1, 2, 2, 3),), (f(2, 1, 4, 3, 2),), mode="trilinear")
resize("antialiased", (2, 5), (f(1, 1, 5, 4),), (f(2, 1, 9, 7),), mode="bilinear", antialias=True,
       low=False)
resize("antialiased_bicubic", (3, 2), (f(1, 1, 7, 4),), mode="bicubic", antialias=True, low=False)
case("interpolate_factor", lambda t, x: t.nn.functional.interpolate(
    x, scale_factor=1.7, mode="bilinear"), (f(1, 1, 3, 4),))
case("interpolate_recomputed", lambda t, x: t.nn.functional.interpolate(
    x, scale_factor=1.7, mode="bicubic", recompute_scale_factor=True), (f(1, 1, 3, 4),))
case("interpolate_infinite", lambda t, x: t.nn.functional.interpolate(x, 4, mode="nearest"),
     (values([[[1.0, float("inf"), 2.0, float("nan"), -1.0, 0.0]]]),), second=False)

case("adaptive_avg_pool1d", lambda t, x: t.nn.functional.adaptive_avg_pool1d(x, 4), (f(1, 2, 6),),
     (f(3, 9),), (f(0, 2, 5),))
case("adaptive_avg_pool2d", lambda t, x: t.nn.functional.adaptive_avg_pool2d(x, (2, None)),
     (f(1, 2, 3, 2),), (f(2, 3, 7, 5),), (f(0, 1, 3, 2),))
case("adaptive_avg_pool2d_one", lambda t, x: t.nn.functional.adaptive_avg_pool2d(x, 1),
     (f(1, 2, 3, 2),), (f(3, 7, 5),))
case("adaptive_avg_pool3d", lambda t, x: t.nn.functional.adaptive_avg_pool3d(x, (1, 3, 2)),
     (f(1, 1, 2, 2, 3),), (f(2, 2, 4, 5, 3),), low=False)  # PyTorch has it in 32 and 64 bits only
case("adaptive_max_pool1d", lambda t, x: t.nn.functional.adaptive_max_pool1d(x, 4),
     (distinct(1, 2, 6),), (distinct(3, 8),), (f(0, 2, 5),))
case("adaptive_max_pool2d", lambda t, x: t.nn.functional.adaptive_max_pool2d(x, (2, 4)),
     (distinct(1, 2, 3, 3),), (distinct(2, 3, 4, 8),), (distinct(3, 7, 5),))
case("adaptive_max_pool2d_indices", lambda t, x: t.nn.functional.adaptive_max_pool2d(
    x, (2, 4), True)[1], (distinct(1, 2, 3, 3),), (distinct(2, 3, 4, 8),), grad=False)
case("adaptive_max_pool3d", lambda t, x: t.nn.functional.adaptive_max_pool3d(x, (1, 3, 2)),
     (distinct(1, 1, 2, 2, 3),), (distinct(2, 2, 4, 5, 3),), low=False)
case("fractional_max_pool2d", lambda t, x, u: t.nn.functional.fractional_max_pool2d(
    x, (2, 3), (3, 2), _random_samples=u),
     (distinct(1, 2, 5, 6), constant(unit(1, 2, 2))),
     (distinct(2, 3, 9, 8), constant(unit(2, 3, 2))), low=False)
case("fractional_max_pool3d", lambda t, x, u: t.nn.functional.fractional_max_pool3d(
    x, 2, output_ratio=0.6, return_indices=True, _random_samples=u)[0],
     (distinct(1, 1, 4, 5, 4), constant(unit(1, 1, 3))), low=False)


def unpool(t: Any, x: Any) -> Any:
    y, where = t.nn.functional.max_pool2d(x, 2, 2, return_indices=True)
    return t.nn.functional.max_unpool2d(y, where, 2, 2, output_size=tuple(x.shape))


case("max_unpool2d", unpool, (distinct(1, 1, 4, 5),), (distinct(2, 3, 7, 6),), low=False)
case("max_unpool1d", lambda t, x: t.nn.functional.max_unpool1d(
    *t.nn.functional.max_pool1d(x, 3, return_indices=True), 3), (distinct(1, 2, 6),), low=False)
case("max_unpool3d", lambda t, x: t.nn.functional.max_unpool3d(
    *t.nn.functional.max_pool3d(x, 2, return_indices=True), 2), (distinct(1, 2, 2, 4, 2),), low=False)

case("unfold_columns", lambda t, x: t.nn.functional.unfold(x, (2, 3), (1, 2), (1, 2), (2, 1)),
     (f(1, 2, 3, 3),), (f(2, 3, 6, 7),), (f(3, 5, 5),), (f(0, 1, 3, 3),))
case("unfold_pixels", lambda t, x: t.nn.functional.unfold(x, 1), (f(1, 2, 2, 3),))
case("fold", lambda t, x: t.nn.functional.fold(x, (4, 3), 2, padding=(0, 1), stride=(1, 2)),
     (f(1, 8, 6),), (f(2, 12, 6),), (f(4, 6),), (f(0, 4, 6),))
case("pixel_shuffle", lambda t, x: t.pixel_shuffle(x, 2), (f(1, 4, 2, 3),), (f(2, 2, 12, 1, 2),))
case("pixel_unshuffle", lambda t, x: t.pixel_unshuffle(x, 2), (f(1, 2, 4, 2),), (f(3, 2, 6),))
case("channel_shuffle", lambda t, x: t.channel_shuffle(x, 3), (f(1, 6, 2),), (f(2, 9, 2, 3),))


def sample(name: str, mode: str, padding: str, corners: bool, image: Any, grid: Any) -> None:
    case(f"grid_sample_{name}", lambda t, x, g: t.nn.functional.grid_sample(
        x, g, mode, padding, corners), (image, grid), low=False)


# Places between -1.9 and 1.9, off the pixels' centres, where the gradient jumps.
NEAR = values([[[[-1.9, 0.3], [0.17, -0.83], [1.31, 0.61], [-0.45, 1.71]]] * 2])
sample("zeros", "bilinear", "zeros", False, f(1, 2, 3, 4), NEAR)
sample("border", "bilinear", "border", False, f(1, 2, 4, 3), NEAR)
sample("reflection", "bilinear", "reflection", False, f(1, 1, 4, 3), NEAR)
sample("corners", "bilinear", "reflection", True, f(1, 1, 3, 4), NEAR)
sample("nearest", "nearest", "border", False, f(1, 2, 3, 4), constant(NEAR))
sample("bicubic", "bicubic", "zeros", False, f(1, 1, 4, 5), NEAR)
sample("bicubic_border", "bicubic", "border", True, f(1, 1, 4, 5), NEAR)
sample("bicubic_reflection", "bicubic", "reflection", False, f(1, 1, 4, 5), NEAR)
sample("volume", "bilinear", "zeros", False, f(1, 1, 2, 3, 2),
       values([[[[[-0.9, 0.3, 0.2], [0.17, -1.23, 0.71]]]]]))
case("affine_grid", lambda t, m: t.nn.functional.affine_grid(m, [2, 3, 2, 3], False), (f(2, 2, 3),))
case("affine_grid_corners", lambda t, m: t.nn.functional.affine_grid(m, (1, 1, 2, 3, 2), True),
     (f(1, 3, 4),))
