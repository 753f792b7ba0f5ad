"""Make the small files in examples/data from the whole data sets, which examples/data/README.md
names: python tools/example_data.py --fashion FOLDER --trees FOLDER --pairs fra.txt --novel data.txt
"""

from __future__ import annotations

import argparse
import gzip
import re
import shutil
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parents[1] / "examples" / "data"


def fashion(folder: Path) -> None:
    """The first 1,000 images to learn from, and 250 to test with."""
    arrays = {}
    for part, name, count in (("training", "train", 1000), ("test", "t10k", 250)):
        for kind, file, header in (("images", "images-idx3", 16), ("labels", "labels-idx1", 8)):
            data = gzip.decompress((folder / f"{name}-{file}-ubyte.gz").read_bytes())
            values = np.frombuffer(data, np.uint8, offset=header)
            shape = (-1, 28, 28) if kind == "images" else (-1,)
            arrays[f"{part}_{kind}"] = values.reshape(shape)[:count]
    np.savez_compressed(HERE / "fashion-mnist.npz", **arrays)


def trees(folder: Path) -> None:
    """One photograph with its boxes."""
    from PIL import Image

    Image.open(folder / "OSBS_029.png").convert("RGB").save(HERE / "trees.jpg", quality=85)
    shutil.copy(folder / "OSBS_029.xml", HERE / "trees.xml")


def pairs(file: Path) -> None:
    """Short sentences about persons, each English one once, with whom to thank for it."""
    begins = re.compile(r"(I'm|I am|You're|He's|She's|We're|They're|He is|She is) ")
    seen, lines = set(), []
    for line in file.read_text(encoding="utf-8").splitlines():
        english, french, licence = line.split("\t")
        if begins.match(english) and english not in seen and len(english.split()) <= 7:
            seen.add(english)
            lines.append(f"{english}\t{french}\t{licence.split('tatoeba.org ')[1]}")
    (HERE / "english-french.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def novel(file: Path) -> None:
    """The first chapters."""
    text = file.read_text(encoding="utf-8")
    (HERE / "moby-dick.txt").write_text(text[: text.index("CHAPTER 28.")], encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for make in (fashion, trees, pairs, novel):
        parser.add_argument(f"--{make.__name__}", type=Path, help=make.__doc__)
    given = vars(parser.parse_args())
    for make in (fashion, trees, pairs, novel):
        if given[make.__name__]:
            make(given[make.__name__])
