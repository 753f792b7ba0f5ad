"""Window functions under the names of ``torch.signal.windows``."""

from tapegrad.ops.catalog import publish as _publish

__getattr__, __dir__, __all__ = _publish(__name__, "windows")
