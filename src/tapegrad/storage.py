"""``torch.storage``: the classes of what ``x.storage()`` and ``x.untyped_storage()`` return."""

from .ops.movement.storage import TypedStorage, UntypedStorage

__all__ = ["TypedStorage", "UntypedStorage"]
