"""``torch.utils.model_zoo``: nothing is downloaded."""

from tapegrad.stand_in import publish, refusing

__getattr__, __all__ = publish(
    __name__,
    refusing(
        "load_url",
        "nothing is downloaded; save a state_dict in safetensors where PyTorch is, and "
        "tapegrad.load it",
    ),
)
