"""Which hook has replaced a tensor of a module, for what is done to modules by hooks."""

from __future__ import annotations

from typing import Any


def find_hook(hooks: dict[int, Any], kind: type, name: str, attribute: str = "name") -> int | None:
    """The key of the hook of this kind that works on the tensor ``name``, as its ``attribute``
    says; None if there is none."""
    for key, hook in hooks.items():
        if isinstance(hook, kind) and getattr(hook, attribute) == name:
            return key
    return None
