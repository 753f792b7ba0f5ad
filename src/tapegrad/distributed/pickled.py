"""Objects as pickles, between ranks that all say ``allow_pickle=True``: what is unpickled may run
anything."""

import pickle
from typing import Any


def dumps(value: Any) -> bytes:
    """The object as bytes."""
    return pickle.dumps(value)


def loads(data: bytes) -> Any:
    """What ``dumps`` has made bytes of."""
    return pickle.loads(data)
