"""The operations, by family. Each is a row or a small function beside its gradient rule."""


def __getattr__(name: str) -> object:
    why = ""
    if name in ("aten", "prim"):
        why = ": PyTorch's operators do not exist here; what runs is a function, as tapegrad.matmul"
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{why}")
