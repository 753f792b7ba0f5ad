"""``torch.xpu``: Intel's GPUs are not used."""

from .stand_in import answering, doing_nothing, publish, refusing

_WHY = "Intel's GPUs are not used"
__getattr__, __all__ = publish(
    __name__,
    {
        **answering(False, "is_available is_bf16_supported is_initialized", _WHY),
        **answering(0, "device_count", _WHY),
        **doing_nothing("empty_cache", _WHY),
        **doing_nothing("manual_seed manual_seed_all", "tapegrad.manual_seed seeds all devices"),
        **refusing(
            "Event Stream current_device current_stream get_device_name get_device_properties init "
            "max_memory_allocated memory_allocated set_device stream synchronize",
            f"{_WHY}, use device 'cpu' or 'cuda'",
        ),
    },
)
