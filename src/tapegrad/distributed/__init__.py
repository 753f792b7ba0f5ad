"""``torch.distributed``: several processes, on one machine or many, each a *rank* with a copy of
the program, that exchange arrays by MPI, or by NCCL between GPUs.

``tapegrad launch -n 4 script.py`` starts them; the script begins with ``init_process_group()``.
"""

from tapegrad.ops.common.files import files
from tapegrad.stand_in import publish, refusing, returning

from .between_two import P2POp, batch_isend_irecv, irecv, isend, recv, send
from .collectives import (
    Work,
    all_gather,
    all_gather_into_tensor,
    all_reduce,
    all_to_all,
    all_to_all_single,
    barrier,
    broadcast,
    gather,
    monitored_barrier,
    reduce,
    reduce_scatter,
    reduce_scatter_tensor,
    scatter,
)
from .errors import DistBackendError, DistError, DistTimeoutError
from .groups import (
    GroupMember,
    ProcessGroup,
    destroy_process_group,
    get_backend,
    get_global_rank,
    get_group_rank,
    get_node_local_rank,
    get_process_group_ranks,
    get_rank,
    get_world_size,
    init_process_group,
    is_available,
    is_initialized,
    is_mpi_available,
    is_nccl_available,
    is_torchelastic_launched,
    new_group,
)
from .objects import all_gather_object, broadcast_object_list, gather_object, scatter_object_list
from .reductions import ReduceOp
from .shards import full_tensor


def is_gloo_available() -> bool:
    """False: arrays on the host go by MPI."""
    return False


_refused = {
    **refusing(
        "DeviceMesh init_device_mesh", "ranks have one dimension: new_group makes groups of them"
    ),
    **refusing("Join", "give all ranks equally many batches: DistributedSampler does"),
    **returning("record", "errors of ranks are shown with their tracebacks anyhow"),
}
__getattr__, _names = publish(__name__, _refused)
__all__ = [
    "DistBackendError",
    "DistError",
    "DistTimeoutError",
    "GroupMember",
    "P2POp",
    "ProcessGroup",
    "ReduceOp",
    "Work",
    "all_gather",
    "all_gather_into_tensor",
    "all_gather_object",
    "all_reduce",
    "all_to_all",
    "all_to_all_single",
    "barrier",
    "batch_isend_irecv",
    "broadcast",
    "broadcast_object_list",
    "destroy_process_group",
    "full_tensor",
    "gather",
    "gather_object",
    "get_backend",
    "get_global_rank",
    "get_group_rank",
    "get_node_local_rank",
    "get_process_group_ranks",
    "get_rank",
    "get_world_size",
    "init_process_group",
    "irecv",
    "is_available",
    "is_gloo_available",
    "is_initialized",
    "is_mpi_available",
    "is_nccl_available",
    "is_torchelastic_launched",
    "isend",
    "monitored_barrier",
    "new_group",
    "recv",
    "reduce",
    "reduce_scatter",
    "reduce_scatter_tensor",
    "scatter",
    "scatter_object_list",
    "send",
    *_names,
]
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
    },
)
files(
    __name__, {"fsdp": "fully_shard FullyShardedDataParallel"}, "tapegrad.nn.parallel.fully_shard"
)
files(__name__, {"optim": "ZeroRedundancyOptimizer"}, "tapegrad.optim.zero_redundancy")
files(__name__, {"checkpoint": "save load"}, "tapegrad.checkpoint.ranks")
