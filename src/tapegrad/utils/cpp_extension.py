"""``torch.utils.cpp_extension``: no C++ is compiled for a script."""

from tapegrad.stand_in import publish, refusing

__getattr__, __all__ = publish(
    __name__,
    refusing(
        "BuildExtension CUDAExtension CppExtension load load_inline",
        "no C++ is compiled for a script; write a tapegrad.autograd.Function, or a kernel as "
        "docs/design.md says",
    ),
)
