"""A training step of GPT-2 (examples/gpt2.py) in bfloat16: tokens a second, how many hand-written
kernels it launches, and whether the loss falls."""

from __future__ import annotations

import runpy
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from training_step import Counter, load

import tapegrad as tg
from tapegrad import nn
from tapegrad.core import kernels

EXAMPLE = Path(__file__).parents[1] / "examples" / "gpt2.py"
STEPS = 3  # that are counted as training, before those that are timed


def language_model_step(device: str, seconds: float) -> dict[str, Any]:
    """Train on one batch: in 124M's shape on GPUs, else in the example's tiny one. Raises
    RuntimeError if the loss does not fall."""
    gpt2 = SimpleNamespace(**runpy.run_path(str(EXAMPLE), run_name="gpt2"))
    on_gpu = device == "cuda"
    config = gpt2.Config() if on_gpu else gpt2.TINY
    batch, context = (16, 1024) if on_gpu else (2, 16)
    tg.manual_seed(0)
    model = gpt2.GPT2(config).to(device)
    tokens = tg.randint(0, config.vocab_size, (batch, context + 1), device=device)
    starts = tg.arange(batch, device=device) * (context + 1)
    optimizer = tg.optim.AdamW(model.parameters(), lr=1e-3)

    def step() -> tg.Tensor:
        loss = gpt2.loss_of(model, tokens.flatten(), starts, context, "bfloat16")
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    losses = [step().item() for _ in range(STEPS)]
    if not losses[-1] < losses[0]:
        raise RuntimeError(f"the loss does not fall: {losses}")
    counter = Counter(kernels.library(device))
    load(counter, device)
    try:
        step()
    finally:
        load(counter.library, device)
    found: dict[str, Any] = {
        "name": f"GPT-2, {sum(p.numel() for p in model.parameters()):,} parameters, bfloat16, "
        f"{batch} x {context} tokens, AdamW",
        "kernel_launches": counter.launches,
        "losses": losses,
        "text": f"{counter.launches} calls of launchers a step, loss {losses[0]:.3f} to "
        f"{losses[-1]:.3f} in {STEPS} steps",
    }
    if on_gpu:
        tg.cuda.synchronize()
        started, count = time.perf_counter(), 0
        while time.perf_counter() < started + seconds:
            step().item()
            count += 1
        rate = count * batch * context / (time.perf_counter() - started)
        found["tokens_per_second"] = rate
        found["text"] += f", {rate:,.0f} tokens a second"
    return found
