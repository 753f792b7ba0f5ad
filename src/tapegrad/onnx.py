"""``torch.onnx``: no graph of a model is written."""

from .stand_in import answering, publish, refusing

_INSTEAD = (
    "no graph is written; save model.state_dict() in safetensors with tapegrad.save, load it into "
    "the PyTorch model of the same names, and export that"
)
__getattr__, __all__ = publish(
    __name__,
    {
        **refusing("dynamo_export export register_custom_op_symbolic", _INSTEAD),
        **answering(False, "is_in_onnx_export", "no graph is written"),
    },
)
