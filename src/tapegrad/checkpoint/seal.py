"""The checksum of a checkpoint: SHA-256 of the whole file, with zeros in place of itself."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]


class CheckpointError(RuntimeError):
    """A file that cannot be read as a checkpoint, or tensors that cannot be written to one."""


PICKLE = (
    "it is a pickle, as PyTorch writes, which could run any code when it is loaded: write it with "
    "safetensors.torch.save_file"
)

BLANK = b"0" * 64


def _sha256(data: Any, at: int) -> bytes:
    whole = memoryview(data)
    digest = hashlib.sha256(whole[:at])
    digest.update(BLANK)
    digest.update(whole[at + len(BLANK) :])
    return digest.hexdigest().encode()


def seal(data: Any, at: int) -> Any:
    data[at : at + len(BLANK)] = _sha256(data, at)
    return data


def check_seal(data: bytes, at: int) -> None:
    if data[at : at + len(BLANK)] != _sha256(data, at):
        raise CheckpointError("it is damaged: its bytes do not match its SHA-256")
