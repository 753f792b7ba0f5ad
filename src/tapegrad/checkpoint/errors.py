"""What goes wrong with checkpoints."""


class CheckpointError(RuntimeError):
    """A file that cannot be read as a checkpoint, or tensors that cannot be written to one, or that
    are another model's."""
