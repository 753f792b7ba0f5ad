"""``torch.utils.model_zoo``: nothing is downloaded."""

from tapegrad.stand_in import publish, refusing

__getattr__, __all__ = publish(
    __name__,
    refusing(
        "load_url",
        "nothing is downloaded; fetch the file (safetensors, or of torch.save) by other means, "
        "and tapegrad.load it",
    ),
)
