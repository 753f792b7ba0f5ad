"""``torch.distributed``: training runs in one process, on one device."""

from tapegrad.ops.common.files import files

from .stand_in import answering, publish, refusing, returning

_WHY = "training runs in one process, on one device"
__getattr__, __all__ = publish(
    __name__,
    {
        **answering(False, "is_available is_initialized is_gloo_available", _WHY),
        **answering(False, "is_mpi_available is_nccl_available is_torchelastic_launched", _WHY),
        **refusing(
            "all_gather all_gather_object all_reduce barrier broadcast broadcast_object_list "
            "destroy_process_group gather get_rank get_world_size init_process_group new_group "
            "reduce reduce_scatter scatter",
            f"{_WHY}; leave it out where distributed.is_initialized() is False",
        ),
        **refusing(
            "DeviceMesh FullyShardedDataParallel Join ZeroRedundancyOptimizer fully_shard "
            "init_device_mesh",
            f"{_WHY}; use the module and its optimizer themselves",
        ),
        **returning("record", f"{_WHY}, whose errors are Python's"),
    },
)
files(
    __name__,
    {
        "algorithms": "",
        "algorithms.join": "Join",
        "device_mesh": "DeviceMesh init_device_mesh",
        "distributed_c10d": "all_gather all_reduce barrier broadcast destroy_process_group gather "
        "get_rank get_world_size init_process_group is_initialized new_group reduce scatter",
        "elastic": "",
        "elastic.multiprocessing": "",
        "elastic.multiprocessing.errors": "record",
        "fsdp": "FullyShardedDataParallel fully_shard",
        "optim": "ZeroRedundancyOptimizer",
    },
)
