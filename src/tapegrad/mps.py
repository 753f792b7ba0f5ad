"""``torch.mps``: Apple's GPUs are not used."""

from .stand_in import answering, doing_nothing, publish, refusing

_WHY = "Apple's GPUs are not used"
__getattr__, __all__ = publish(
    __name__,
    {
        **answering(False, "is_available", _WHY),
        **answering(0, "device_count", _WHY),
        **doing_nothing("manual_seed seed", f"{_WHY}; tapegrad.manual_seed seeds all devices"),
        **refusing(
            "Event current_allocated_memory driver_allocated_memory empty_cache get_rng_state "
            "recommended_max_memory set_per_process_memory_fraction set_rng_state synchronize",
            f"{_WHY}, use device 'cpu' or 'cuda'",
        ),
    },
)
