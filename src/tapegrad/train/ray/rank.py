"""The actor of Ray that is a rank: it runs the function in one thread, and takes in what other
ranks send in another."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Any

from tapegrad.distributed.groups import offer
from tapegrad.distributed.ray import Mailbox, RayBackend
from tapegrad.distributed.watching import calls, waits

MAIL = "mail"  # the thread for what arrives: a concurrency group of Ray's


class Rank:
    """One rank of a run, from which it is never restarted."""

    def __init__(self) -> None:
        self._mailbox = Mailbox()
        self._thread = 0  # which runs the function

    def place(self) -> tuple[int, str]:
        """As which process it runs, and on which node."""
        import ray

        return os.getpid(), ray.get_runtime_context().get_node_id()

    def call(
        self,
        peers: Sequence[Any],
        environment: Mapping[str, str],
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> Any:
        """Run the function as this rank among its peers; what it returns."""
        import ray

        self._thread = threading.get_ident()
        os.environ.update(environment)
        deliver = [partial(_deliver, peer) for peer in peers]
        offer(RayBackend(int(environment["RANK"]), deliver, self._mailbox, ray.put))
        try:
            return function(*args, **kwargs)
        except SystemExit as ended:
            if ended.code in (None, 0):
                return None
            raise RuntimeError(f"the function has ended with status {ended.code}") from None

    def progress(self) -> tuple[int, str]:
        """How many calls of the others the function has begun, and where it is; nothing, before
        it begins, and where it waits in a call, which has its own time limit."""
        frame = sys._current_frames().get(self._thread)
        if frame is None:
            return calls(), ""
        at = traceback.extract_stack(frame)[-1]
        return calls(), "" if waits() else f"was in {at.name}, line {at.lineno} of {at.filename}"

    def deliver(self, key: Hashable, data: Any) -> None:
        """Take in what another rank has sent."""
        self._mailbox.put(key, data)


def _deliver(peer: Any, key: Hashable, data: Any) -> None:
    peer.deliver.options(concurrency_group=MAIL).remote(key, data)
