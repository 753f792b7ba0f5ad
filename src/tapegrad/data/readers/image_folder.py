"""Folders of images, a class in each (Pillow, extra ``data``)."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapegrad.core.devices import CPU
from tapegrad.core.files import require_regular_file
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.data.dataset import Dataset
from tapegrad.ops.common.refusals import retelling

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
_MODES = ("L", "RGB", "RGBA")


@retelling
def read_image(path: str | os.PathLike, mode: str = "RGB") -> Tensor:
    """An image file as uint8, (channels, height, width): of mode "RGB", "L" (grey) or "RGBA".

    Raises ImportError without Pillow, OSError naming the file where it is missing, no image,
    damaged or cut off, or so large (above 179 million pixels) that it looks like an attack.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("[read_image] needs Pillow: pip install 'tapegrad[data]'") from error
    if mode not in _MODES:
        raise ValueError(f"[read_image] mode must be one of {', '.join(_MODES)}, got {mode!r}")
    file = os.fspath(path)
    require_regular_file(file)
    with open(file, "rb") as stream:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of half the size that is refused, and of metadata
                with Image.open(stream) as image:
                    pixels = np.asarray(image.convert(mode))
        except Exception as error:  # Pillow's readers raise many kinds for damaged files
            raise OSError(f"[read_image] {file} cannot be read as an image: {error}") from error
    planes = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    return wrap(np.array(planes, order="C"), CPU)


class ImageFolder(Dataset):
    """Images in folders named after their classes, ``root/class/.../image.png``: sample i is
    ``(image, number of its class)``, in order of class and name, as in torchvision.

    loader(path): ``read_image`` by default, which gives uint8 tensors (3, height, width).
    transform and target_transform are called with image and class. is_valid_file(path) chooses
    files, instead of the usual ``extensions``. ``classes`` are the sorted names of the folders,
    ``class_to_idx`` their numbers, ``samples`` pairs of path and class, ``targets`` the classes.

    Raises FileNotFoundError for a root without folders and, unless ``allow_empty``, for a folder
    without images. A damaged image is an OSError that names the file, when it is read.
    """

    def __init__(
        self,
        root: str | os.PathLike,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
        loader: Callable[[str], Any] = read_image,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
        extensions: Sequence[str] = EXTENSIONS,
    ) -> None:
        self.root = self.path = os.fspath(root)
        self.transform, self.target_transform, self.loader = transform, target_transform, loader
        self.classes = sorted(entry.name for entry in os.scandir(self.root) if entry.is_dir())
        if not self.classes:
            raise FileNotFoundError(
                f"[ImageFolder] {self.root} has no folders: images lie in one folder per class"
            )
        self.class_to_idx = {name: i for i, name in enumerate(self.classes)}
        endings = tuple(ending.lower() for ending in extensions)
        valid = is_valid_file or (lambda path: path.lower().endswith(endings))
        self.samples: list[tuple[str, int]] = []
        for name, number in self.class_to_idx.items():
            found = [path for path in _files(os.path.join(self.root, name)) if valid(path)]
            if not found and not allow_empty:
                raise FileNotFoundError(
                    f"[ImageFolder] the folder of class {name!r} in {self.root} has no image "
                    f"({'is_valid_file takes none' if is_valid_file else ', '.join(endings)}); "
                    "allow_empty=True takes classes without"
                )
            self.samples += [(path, number) for path in found]
        self.imgs = self.samples
        self.targets = [number for _, number in self.samples]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        path, number = self.samples[index]
        image: Any = self.loader(path)
        if self.transform is not None:
            image = self.transform(image)
        return image, number if self.target_transform is None else self.target_transform(number)


def _files(folder: str) -> list[str]:
    """All files in a folder and those below it, sorted by folder, then name."""
    walk = sorted(os.walk(folder, followlinks=True))
    return [os.path.join(place, name) for place, _, names in walk for name in sorted(names)]
