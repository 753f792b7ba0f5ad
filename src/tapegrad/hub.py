"""``torch.hub``: nothing is downloaded."""

from .stand_in import doing_nothing, publish, refusing

__getattr__, __all__ = publish(
    __name__,
    {
        **refusing(
            "download_url_to_file get_dir help list load load_state_dict_from_url",
            "nothing is downloaded; fetch the file (safetensors, or of torch.save) by other means, "
            "and tapegrad.load it",
        ),
        **doing_nothing("set_dir", "nothing is downloaded"),
    },
)
