"""GradScaler: losses scaled up, so that float16 gradients do not become 0, gradients scaled down
again, and steps left out where they have overflowed."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from enum import Enum
from typing import Any

from tapegrad.core.devices import Device, device_count
from tapegrad.core.dtypes import float16, float32, is_low_precision
from tapegrad.core.modes import flag, no_grad
from tapegrad.core.tensor import Tensor
from tapegrad.distributed.collectives import all_reduce
from tapegrad.distributed.reductions import ReduceOp
from tapegrad.ops.common.writable import check_writable
from tapegrad.ops.creation.create import tensor

from .regions import device_type as known_type


class OptState(Enum):
    """What has been done for an optimizer since the last ``update``."""

    READY = 0
    UNSCALED = 1
    STEPPED = 2


class GradScaler:
    """Dynamic loss scaling (Micikevicius et al. 2018)::

        scaler = tapegrad.amp.GradScaler("cuda")
        for x, y in batches:
            optimizer.zero_grad()
            with tapegrad.autocast("cuda"):
                loss = criterion(model(x), y)
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)  # only where gradients are to be clipped
            scaler.step(optimizer)
            scaler.update()

    The scale starts at ``init_scale``, is multiplied by ``growth_factor`` after ``growth_interval``
    updates in a row without inf or nan in a gradient, and by ``backoff_factor`` after one with.
    enabled=False: every method hands through what it gets. Warns, and is disabled, where device is
    'cuda' and there is no GPU. Raises RuntimeError for a device type that there is not, and
    AssertionError for a growth factor of at most 1 or a backoff factor of at least 1.
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        self._device = known_type("GradScaler", device)
        self._enabled = flag("GradScaler", "enabled", enabled)
        if self._enabled and self._device == "cuda" and device_count() == 0:
            warnings.warn(
                "[GradScaler] is disabled: there is no usable GPU; device='cpu' and 'emulated' "
                "scale there",
                stacklevel=2,
            )
            self._enabled = False
        self._init_scale, self._growth_factor = init_scale, growth_factor
        self._backoff_factor, self._growth_interval = backoff_factor, growth_interval
        if self._enabled:
            self._require(growth_factor > 1, f"growth_factor must be above 1, got {growth_factor}")
            self._require(
                backoff_factor < 1, f"backoff_factor must be below 1, got {backoff_factor}"
            )
        self._scale: Tensor | None = None  # made where the first loss is
        self._growth_tracker = 0  # updates in a row without inf or nan
        # By the optimizers' ids: what was done, and whether inf or nan were found, by device.
        self._per_optimizer_states: dict[int, tuple[OptState, dict[Device, Tensor]]] = {}

    @staticmethod
    def _require(condition: Any, message: str) -> None:
        if not condition:
            raise AssertionError(f"[GradScaler] {message}")

    def _scaled(self, method: str) -> Tensor:
        """The scale. Raises AssertionError before the first ``scale``."""
        if self._scale is None:
            raise AssertionError(
                f"[GradScaler] {method}() before the first scale(): call scale(loss).backward(), "
                "so that there are scaled gradients"
            )
        return self._scale

    def scale(self, outputs: Any) -> Any:
        """A tensor, or each of an iterable's, times the scale. Raises ValueError for anything
        else."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            if self._scale is None:
                self._scale = tensor(self._init_scale, dtype=float32, device=outputs.device)
            if is_low_precision(outputs.dtype):  # which a number must not be rounded to
                return outputs * self._scale.item()
            return outputs * self._scale.to(outputs.device)
        if isinstance(outputs, Iterable) and not isinstance(outputs, (str, bytes, dict)):
            scaled = map(self.scale, outputs)
            return type(outputs)(scaled) if isinstance(outputs, (list, tuple)) else scaled  # type: ignore[call-arg]
        raise ValueError(
            "[GradScaler] scale() takes a Tensor or an iterable of Tensors, got "
            f"{type(outputs).__name__}"
        )

    def _state(self, optimizer: Any) -> tuple[OptState, dict[Device, Tensor]]:
        return self._per_optimizer_states.get(id(optimizer), (OptState.READY, {}))

    def unscale_(self, optimizer: Any) -> None:
        """Divide the gradients of an optimizer's parameters by the scale, in place, and note where
        they are inf or nan: before they are clipped; ``step`` does it otherwise.

        Raises RuntimeError the second time before ``update``, and after ``step``; ValueError for
        float16 gradients, which cannot hold what the scale is for; AssertionError before ``scale``.
        Then no gradient has changed.
        """
        if not self._enabled:
            return
        scale = self._scaled("unscale_")
        stage, _ = self._state(optimizer)
        if stage is OptState.UNSCALED:
            raise RuntimeError(
                "[GradScaler] unscale_() was called for this optimizer already: once between "
                "update() and update()"
            )
        if stage is OptState.STEPPED:
            raise RuntimeError(
                "[GradScaler] unscale_() after step(): call it before, and update() at the end"
            )
        found = self._unscale_grads_(optimizer, scale, allow_fp16=False)
        self._per_optimizer_states[id(optimizer)] = (OptState.UNSCALED, found)

    def _unscale_grads_(
        self, optimizer: Any, scale: Tensor, allow_fp16: bool
    ) -> dict[Device, Tensor]:
        """Device -> 1 where a gradient on it is inf or nan, else 0; of sharded parameters on all
        ranks what it is on any of them."""
        gradients = [
            p.grad
            for group in optimizer.param_groups
            for p in group["params"]
            if p.grad is not None
        ]
        for g in gradients:
            check_writable(g, "GradScaler")
            if g.dtype == float16 and not allow_fp16:
                raise ValueError(
                    f"[GradScaler] a gradient of shape {tuple(g.shape)} is float16: keep "
                    "parameters in float32 and let autocast choose float16 where it suits"
                )
        inverse = (1 / scale.double()).float()
        found: dict[Device, Tensor] = {}
        with no_grad():
            for g in gradients:
                g.mul_(inverse.item() if is_low_precision(g.dtype) else inverse.to(g.device))
                bad = g.isfinite().all().logical_not().float()
                found[g.device] = bad.maximum(found[g.device]) if g.device in found else bad
        for group in _groups_of_parts(optimizer):
            for bad in found.values():
                all_reduce(bad, ReduceOp.MAX, group)
        return found

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """``optimizer.step(*args, **kwargs)``, after ``unscale_`` if that was not called; left out,
        with result None, where a gradient is inf or nan.

        Raises RuntimeError for a closure, and the second time before ``update``; AssertionError
        where no parameter has a gradient.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs or (args and callable(args[0])):
            raise RuntimeError(
                "[GradScaler] step() takes no closure: compute the loss and its gradients first"
            )
        self._scaled("step")
        stage, found = self._state(optimizer)
        if stage is OptState.STEPPED:
            raise RuntimeError(
                "[GradScaler] step() was called for this optimizer already: call update() at the "
                "end of each iteration"
            )
        if stage is OptState.READY:
            self.unscale_(optimizer)
            _, found = self._state(optimizer)
        self._require(found, "step(): no parameter of this optimizer has a gradient")
        result = None
        if not any(bad.item() for bad in found.values()):
            result = optimizer.step(*args, **kwargs)
        self._per_optimizer_states[id(optimizer)] = (OptState.STEPPED, found)
        return result

    def update(self, new_scale: Any = None) -> None:
        """Adapt the scale to what was found since the last update, or set it: to a number, or a
        float tensor of one element without gradient.

        Raises AssertionError before ``scale``, where nothing was unscaled since, and for another
        tensor.
        """
        if not self._enabled:
            return
        scale = self._scaled("update")
        if new_scale is not None:
            if isinstance(new_scale, Tensor):
                fits = new_scale.numel() == 1 and new_scale.is_floating_point()
                self._require(
                    fits and not new_scale.requires_grad,
                    "update() takes a number or a float tensor of one element that requires no "
                    f"grad, got {new_scale.dtype.name} {tuple(new_scale.shape)}",
                )
                new_scale = new_scale.item()
            scale.fill_(new_scale)
        else:
            states = self._per_optimizer_states.values()
            found = [bad for _, by_device in states for bad in by_device.values()]
            self._require(found, "update(): no gradient was unscaled since the last one")
            if any(bad.item() for bad in found):
                scale.mul_(self._backoff_factor)
                self._growth_tracker = 0
            else:
                self._growth_tracker += 1
                if self._growth_tracker == self._growth_interval:
                    grown = scale * self._growth_factor
                    if grown.isfinite().item():
                        scale.copy_(grown)
                    self._growth_tracker = 0
        self._per_optimizer_states = {}

    def _check_inf_per_device(self, optimizer: Any) -> dict[Device, Tensor]:
        """Look for inf and nan in an optimizer's gradients, which stay as they are."""
        one = tensor(1.0, device=self._scaled("_check_inf_per_device").device)
        stage, _ = self._state(optimizer)
        found = self._unscale_grads_(optimizer, one, allow_fp16=True)
        self._per_optimizer_states[id(optimizer)] = (stage, found)
        return found

    def _found_inf_per_device(self, optimizer: Any) -> dict[Device, Tensor]:
        return self._state(optimizer)[1]

    def get_scale(self) -> float:
        """The scale; 1.0 if disabled."""
        if not self._enabled:
            return 1.0
        return self._init_scale if self._scale is None else self._scale.item()

    def get_growth_factor(self) -> float:
        """What the scale grows by."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Set what the scale grows by."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """What the scale is multiplied by after inf or nan."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Set what the scale is multiplied by after inf or nan."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """After how many updates the scale grows."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Set after how many updates the scale grows."""
        self._growth_interval = new_interval

    def is_enabled(self) -> bool:
        """Whether it scales."""
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """The scale and what it goes on with, as Python's numbers; empty if disabled."""
        if not self._enabled:
            return {}
        return {
            "scale": self.get_scale(),
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._growth_tracker,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state; nothing if disabled. Raises RuntimeError for an empty one, KeyError
        where an entry is missing."""
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError(
                "[GradScaler] the state is empty: was it saved by a scaler that was disabled?"
            )
        names = ("scale", "growth_factor", "backoff_factor", "growth_interval", "_growth_tracker")
        scale, growth, backoff, interval, tracker = [state_dict[name] for name in names]
        scale = float(scale)
        self._init_scale, self._growth_factor, self._backoff_factor = scale, growth, backoff
        self._growth_interval, self._growth_tracker = interval, tracker
        if self._scale is not None:
            self._scale.fill_(scale)

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        if self._enabled:
            self._require(
                not self._per_optimizer_states,
                "it is pickled between step() or unscale_() and update(): do so after update()",
            )
            state["_init_scale"], state["_scale"] = self.get_scale(), None
        return state


def _groups_of_parts(optimizer: Any) -> list[Any]:
    """The groups whose ranks have parts of an optimizer's parameters (fully_shard)."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    return [*dict.fromkeys(p.sharding.group for p in parameters if hasattr(p, "sharding"))]
