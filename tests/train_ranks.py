"""What test_train_ranks.py starts: ``tapegrad launch -n N train_ranks.py FOLDER [stop STEP]``."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from ray_run import train

import tapegrad.distributed as dist

folder, *stop = sys.argv[1:]


def terminate(step: int) -> None:
    """SIGTERM to the last rank only, while it makes a step."""
    if stop and step == int(stop[1]) - 1 and dist.get_rank() == dist.get_world_size() - 1:
        os.kill(os.getpid(), signal.SIGTERM)


result = train(folder, harm=terminate)
Path(folder, f"result-{dist.get_rank()}").write_text(json.dumps(result))
