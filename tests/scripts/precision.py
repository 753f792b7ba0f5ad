"""Training with less: fewer bits, scaled losses, and layers that run twice instead of keeping what
their gradients need."""

import numpy as np

from scripts import numbers, start


def mixed_precision(torch):
    """The usual loop: autocast, a scaled loss, clipped gradients, a schedule, a batch that is inf,
    and a checkpoint from which another scaler goes on."""
    nn = torch.nn
    model = start(
        torch, nn.Sequential(nn.Linear(6, 16), nn.LayerNorm(16), nn.GELU(), nn.Linear(16, 3))
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 3, gamma=0.5)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=3)
    x = torch.tensor(numbers(1, 10, 8, 6))
    y = torch.tensor(np.random.default_rng(2).integers(0, 3, (10, 8)))
    history = []
    for i in range(10):
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device_type="cpu", dtype=torch.bfloat16, enabled=i % 2 == 0):
            loss = nn.functional.cross_entropy(model(x[i]), y[i])
        if i == 4:
            loss = loss * float("inf")
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        before = scaler.get_scale()
        scaler.update()
        if scaler.get_scale() >= before:
            schedule.step()
        if i == 6:
            state = scaler.state_dict()
            scaler = torch.amp.GradScaler("cpu")
            scaler.load_state_dict(state)
        finite = torch.isfinite(loss).item()
        history += [loss.item(), norm.item()] if finite else [-1.0, -1.0]
        history += [scaler.get_scale(), schedule.get_last_lr()[0]]
    return history + model(x[0]).flatten().tolist()


def in_bfloat16(torch):
    """A regression in bfloat16 with master weights in float32: of small whole numbers, whose
    products both libraries add up exactly."""
    nn = torch.nn
    rng = np.random.default_rng(3)
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1)).float()
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.tensor(rng.integers(-4, 5, tuple(p.shape)) / 4))
    x = torch.tensor(rng.integers(-4, 5, (6, 4)), dtype=torch.float32)
    optimizer = torch.optim.SGD(net.parameters(), lr=2.0**-8)
    history = []
    for _ in range(3):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            hidden = net[1](net[0](x))
            y = net[2](hidden)
            loss = nn.functional.mse_loss(y, x[:, :1])
            with torch.autocast("cpu", enabled=False):
                exact = net(x)
        same = [hidden.dtype == y.dtype == torch.bfloat16, loss.dtype == torch.float32]
        optimizer.zero_grad()
        y.float().sum().backward()
        history += [*map(float, same), loss.item(), *y.flatten().tolist(), exact.sum().item()]
        history += [p.grad.double().sum().item() for p in net.parameters()]
        optimizer.step()
    return history


class Residual:
    """Made for a library: a block, and a stack of blocks that run again in the backward pass."""

    def __new__(cls, torch, width, depth, how):
        nn = torch.nn
        from_utils = torch.utils.checkpoint.checkpoint

        class Block(nn.Module):
            def __init__(self):
                super().__init__()
                self.norm = nn.LayerNorm(width)
                self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

            def forward(self, x, scale=1.0):
                return x + scale * self.down(nn.functional.silu(self.up(self.norm(x))))

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.blocks = nn.ModuleList([Block() for _ in range(depth)])
                self.head = nn.Linear(width, 2)

            def forward(self, x):
                for block in self.blocks:
                    if how == "kept":
                        x = block(x, scale=0.5)
                    elif how == "reentrant":
                        x = from_utils(block, x, 0.5, use_reentrant=True)
                    else:
                        x = from_utils(block, x, scale=0.5, use_reentrant=False)
                return self.head(x)

        return start(torch, Net())


def recomputed_residual_net(torch):
    """A residual net whose blocks are recomputed, in both forms, beside one that keeps all; then
    one in segments, and input gradients by autograd.grad, as for saliency maps."""
    x, y = torch.tensor(numbers(5, 4, 6)), torch.tensor([0, 1, 1, 0])
    history = []
    for how in ("kept", "reentrant", "by hooks"):
        net = Residual(torch, 6, 3, how)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        for _ in range(4):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(net(x.clone().requires_grad_()), y)
            loss.backward()
            optimizer.step()
            history.append(loss.item())
    assert np.allclose(history[:4], history[4:8])
    assert np.allclose(history[:4], history[8:])
    steps = torch.nn.Sequential(*net.blocks, net.head)
    inputs = x.clone().requires_grad_()
    scores = torch.utils.checkpoint.checkpoint_sequential(steps, 2, inputs, use_reentrant=False)
    (saliency,) = torch.autograd.grad(scores.max(1).values.sum(), inputs)
    return history + saliency.abs().flatten().tolist()


def offloaded(torch):
    """What is kept for the backward pass is halved: packed as float32, counted, unpacked again."""
    net = Residual(torch, 6, 2, "kept")
    x = torch.tensor(numbers(6, 4, 6))
    sizes = []

    def pack(t):
        if t.dtype != torch.float64 or t.is_leaf:
            return t
        sizes.append(t.numel())
        return t.float()

    def unpack(t):
        return t.double()

    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        loss = net(x).square().mean()
    loss.backward()
    packed = [p.grad.clone() for p in net.parameters()]
    net.zero_grad()
    with torch.autograd.graph.save_on_cpu():
        net(x).square().mean().backward()
    exact = [p.grad for p in net.parameters()]
    close = [torch.allclose(a, b, rtol=1e-3, atol=1e-5) for a, b in zip(packed, exact, strict=True)]
    return [loss.item(), float(len(sizes) > 5), float(all(close)), *(g.sum().item() for g in exact)]


PROGRAMS = [mixed_precision, in_bfloat16, recomputed_residual_net, offloaded]
