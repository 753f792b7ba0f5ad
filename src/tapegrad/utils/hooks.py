"""``torch.utils.hooks``: what the registration of a hook returns."""

from tapegrad.autograd.backward import RemovableHandle

__all__ = ["RemovableHandle"]
