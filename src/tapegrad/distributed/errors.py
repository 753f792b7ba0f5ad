"""What goes wrong between ranks."""


class DistError(RuntimeError):
    """Ranks do not agree, or one is not there."""


class DistBackendError(DistError):
    """What carries the arrays has failed: MPI, NCCL, or a rank at its other end."""


class DistTimeoutError(DistBackendError):
    """Ranks did not come to a collective in time; the message says which, and where they are."""
