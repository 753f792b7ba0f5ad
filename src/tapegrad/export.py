"""``torch.export``: no graph is made of code."""

from .stand_in import publish, refusing

__getattr__, __all__ = publish(
    __name__,
    refusing(
        "export export_for_training load save",
        "there is no graph; save model.state_dict() with tapegrad.save",
    ),
)
