"""Ways to learn: reinforcement, contrast, meta-learning, and the tools around a training loop."""

import copy

import numpy as np

from scripts import numbers, start


def deep_q(torch):
    """DQN: replay buffer, gather, no_grad targets, Huber loss, soft updates."""
    nn, F = torch.nn, torch.nn.functional

    class QNetwork(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(4, 12), nn.ReLU(), nn.LayerNorm(12))
            self.value, self.advantage = nn.Linear(12, 1), nn.Linear(12, 3)

        def forward(self, s):
            h = self.body(s)
            advantage = self.advantage(h)
            return self.value(h) + advantage - advantage.mean(dim=1, keepdim=True)

    class Replay:
        def __init__(self, size):
            self.states = torch.zeros((size, 4))
            self.actions = torch.zeros(size, dtype=torch.int64)
            self.rewards = torch.zeros(size)
            self.done = torch.zeros(size, dtype=torch.bool)
            self.at, self.size = 0, size

        def add(self, state, action, reward, done):
            self.states[self.at] = torch.as_tensor(state)
            self.actions[self.at] = action
            self.rewards[self.at] = reward
            self.done[self.at] = done
            self.at = (self.at + 1) % self.size

    policy = start(torch, QNetwork())
    target = copy.deepcopy(policy)
    for p in target.parameters():
        p.requires_grad_(False)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-2, amsgrad=True)
    memory = Replay(32)
    rng = np.random.default_rng(14)
    for _ in range(40):
        memory.add(
            rng.standard_normal(4),
            int(rng.integers(3)),
            float(rng.random()),
            bool(rng.random() < 0.2),
        )
    history = []
    for _ in range(8):
        index = torch.as_tensor(rng.permutation(31)[:16])
        state, after = memory.states[index], memory.states[index + 1]
        action = memory.actions[index].unsqueeze(1)
        q = policy(state).gather(1, action).squeeze(1)
        with torch.no_grad():
            best = policy(after).argmax(1, keepdim=True)
            future = target(after).gather(1, best).squeeze(1)
            expected = memory.rewards[index] + 0.99 * future * (~memory.done[index])
        loss = F.smooth_l1_loss(q, expected)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for old, new in zip(target.parameters(), policy.parameters(), strict=True):
                old.data.mul_(0.95).add_(0.05 * new.data)
            for old, new in zip(target.value.parameters(), policy.value.parameters(), strict=True):
                old.lerp_(new, 0.1)
        history += [loss.item(), q.mean().item()]
    states = target.state_dict()
    mixed = {k: 0.5 * states[k] + 0.5 * v for k, v in policy.state_dict().items()}
    target.load_state_dict(mixed)
    return history + target(memory.states[:2]).flatten().tolist()


def policy_gradient(torch):
    """Actor-critic on a bandit: returns by flip and cumsum, entropy, PPO's clipping."""
    nn, F = torch.nn, torch.nn.functional
    actor, critic = start(torch, nn.Linear(3, 4), 1), start(torch, nn.Linear(3, 1), 2)
    log_std = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.Adam([*actor.parameters(), *critic.parameters(), log_std], lr=0.05)
    state = torch.tensor(numbers(15, 10, 3))
    with torch.no_grad():
        old = F.log_softmax(actor(state), dim=-1)
        sampled = torch.multinomial(old.exp(), 1, replacement=True)
        assert sampled.shape == (10, 1)
        assert sampled.dtype == torch.int64
    action = torch.arange(10) % 4
    reward = (action == 2).double() - 0.1 * state[:, 0]
    discount = 0.9 ** torch.arange(10, dtype=torch.float64)
    returns = torch.flip(torch.cumsum(torch.flip(reward * discount, [0]), 0), dims=[0]) / discount
    old_log_prob = old[torch.arange(10), action]
    losses = []
    for _ in range(8):
        log_prob = F.log_softmax(actor(state), dim=-1)
        value = critic(state).squeeze(-1)
        advantage = returns - value.detach()
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        ratio = (log_prob.gather(1, action.view(-1, 1)).squeeze() - old_log_prob).exp()
        surrogate = torch.min(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage)
        entropy = -(log_prob.exp() * log_prob).sum(-1).mean() + log_std.sum()
        loss = -surrogate.mean() + 0.5 * F.mse_loss(value, returns) - 0.01 * entropy
        loss += 1e-3 * sum(p.pow(2).sum() for p in actor.parameters())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses += [loss.item(), (ratio > 1.2).double().mean().item()]
    return [*losses, log_std.item()]


def contrastive(torch):
    """SimCLR and CLIP losses with a learned temperature, plus triplets."""
    nn, F = torch.nn, torch.nn.functional
    encoder = start(torch, nn.Sequential(nn.Linear(6, 8), nn.Hardswish(), nn.Linear(8, 4)))
    logit_scale = nn.Parameter(torch.ones([]) * np.log(1 / 0.07))
    optimizer = torch.optim.SGD(
        [{"params": encoder.parameters()}, {"params": [logit_scale], "lr": 0.01}], lr=0.05
    )
    x = torch.tensor(numbers(16, 7, 6))
    one, two = x + 0.1 * torch.tensor(numbers(17, 7, 6)), x + 0.1 * torch.tensor(numbers(18, 7, 6))
    losses = []
    for _ in range(6):
        a, b = F.normalize(encoder(one), dim=-1), F.normalize(encoder(two), p=2, dim=1)
        logits = logit_scale.exp() * a @ b.t()
        labels = torch.arange(len(x), device=x.device)
        clip = (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2
        z = torch.cat([a, b])
        similarity = z @ z.T / 0.5
        similarity.fill_diagonal_(-1e9)
        positive = torch.cat([torch.diag(similarity, 7), torch.diag(similarity, -7)])
        nt_xent = (torch.logsumexp(similarity, dim=1) - positive).mean()
        triplet = F.triplet_margin_loss(a, b, b.roll(1, 0), margin=0.3)
        cosine = 1 - F.cosine_similarity(a, b.detach()).mean()
        loss = clip + nt_xent + triplet + cosine
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        logit_scale.data = torch.clamp(logit_scale.data, max=4.6052)
        losses += [loss.item(), logit_scale.item()]
    recall = logits.topk(2, dim=-1).indices.eq(labels[:, None]).any(dim=-1).double().mean()
    return [*losses, recall.item()]


def wasserstein(torch):
    """WGAN-GP's penalty through create_graph, and R1 regularisation."""
    nn = torch.nn
    critic = start(torch, nn.Sequential(nn.Linear(3, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1)))
    optimizer = torch.optim.Adam(critic.parameters(), lr=1e-2, betas=(0.0, 0.9))
    real, fake = torch.tensor(numbers(19, 9, 3)) + 1, torch.tensor(numbers(20, 9, 3))
    losses = []
    for step in range(6):
        alpha = torch.tensor(np.random.default_rng([21, step]).random((9, 1))).expand(-1, 3)
        mixed = (alpha * real + (1 - alpha) * fake).requires_grad_(True)
        score = critic(mixed)
        gradients = torch.autograd.grad(
            outputs=score,
            inputs=mixed,
            grad_outputs=torch.ones_like(score),
            create_graph=True,
            retain_graph=True,
            only_inputs=True,
        )[0]
        penalty = ((gradients.view(9, -1).norm(2, dim=1) - 1) ** 2).mean()
        r1_input = real.detach().requires_grad_()
        (r1,) = torch.autograd.grad(critic(r1_input).sum(), r1_input, create_graph=True)
        loss = critic(fake).mean() - critic(real).mean() + 10 * penalty + r1.square().sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses += [loss.item(), penalty.item()]
    return losses


def meta(torch):
    """MAML's inner loop: functional_call and func.grad, and by hand with autograd.grad."""
    nn, F = torch.nn, torch.nn.functional
    from importlib import import_module

    func = import_module(torch.__name__ + ".func")
    model = start(torch, nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1)))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    x = torch.tensor(np.linspace(-1, 1, 10)).view(-1, 1)

    def task_loss(params, x, y):
        return F.mse_loss(func.functional_call(model, params, (x,)), y)

    losses = []
    for _ in range(5):
        outer = 0.0
        for phase in (0.0, 0.5, 1.0):
            y = torch.sin(3 * x + phase)
            params = dict(model.named_parameters())
            grads = func.grad(task_loss)(params, x[::2], y[::2])
            fast = {k: p - 0.1 * grads[k] for k, p in params.items()}
            outer = outer + task_loss(fast, x[1::2], y[1::2])
            weights = list(model.parameters())
            inner = F.mse_loss(model(x), y)
            steps = torch.autograd.grad(inner, weights, create_graph=True)
            w1, b1, w2, b2 = [w - 0.1 * g for w, g in zip(weights, steps, strict=True)]
            outer = outer + F.mse_loss(F.linear(torch.tanh(F.linear(x, w1, b1)), w2, b2), y)
        optimizer.zero_grad()
        outer.backward()
        optimizer.step()
        losses.append(outer.item())
    value, pull = func.vjp(lambda w: torch.tanh(x @ w).sum(0), torch.ones(1, 2, dtype=x.dtype))
    losses += value.tolist() + pull(torch.tensor([1.0, 2.0], dtype=x.dtype))[0].flatten().tolist()
    hessian = func.hessian(lambda p: task_loss({"0.bias": p}, x, torch.sin(x)))(model[0].bias)
    return losses + torch.linalg.eigvalsh(hessian).tolist()


def toolbox(torch):
    """Freezing, hooks, a custom Function, EMA, accumulation, checkpoints to a buffer."""
    nn, F = torch.nn, torch.nn.functional

    class StraightThrough(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, scale):
            ctx.save_for_backward(x)
            ctx.scale = scale
            return (x * scale).round() / scale

        @staticmethod
        def backward(ctx, grad_output):
            (x,) = ctx.saved_tensors
            return grad_output * (x.abs() <= 1).to(grad_output.dtype), None

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = nn.Sequential(nn.Linear(5, 8), nn.ReLU())
            self.register_buffer("steps", torch.tensor(0))
            self.head = nn.Linear(8, 2)

        def forward(self, x):
            self.steps += 1
            return self.head(StraightThrough.apply(self.backbone(x), 8.0))

    model = start(torch, Net())
    ema = {k: v.clone().detach() for k, v in model.state_dict().items()}
    for name, p in model.named_parameters():
        if name.startswith("backbone.0.b"):
            p.requires_grad = False
    seen = []
    handle = model.backbone.register_forward_hook(
        lambda module, args, output: seen.append(output.detach().mean().item())
    )
    model.head.weight.register_hook(lambda g: g.clamp(-0.01, 0.01))
    optimizer = torch.optim.SGD(filter(lambda p: p.requires_grad, model.parameters()), lr=0.5)
    x, y = torch.tensor(numbers(22, 12, 5)), torch.tensor(numbers(23, 12, 2))
    losses = []
    for step, (inputs, targets) in enumerate(zip(x.split(3), y.split(3), strict=True)):
        loss = F.l1_loss(model(inputs), targets) / 2
        loss.backward()
        if (step + 1) % 2 == 0:
            optimizer.step()
            optimizer.zero_grad()
        for k, v in model.state_dict().items():
            if v.is_floating_point():
                ema[k].mul_(0.9).add_(v, alpha=0.1)
        losses.append(loss.item())
    handle.remove()

    checkpoint = copy.deepcopy({"model": model.state_dict(), "optimizer": optimizer.state_dict()})
    other = Net()
    missing = other.load_state_dict(
        {k: v for k, v in checkpoint["model"].items() if "head" in k}, strict=False
    )
    assert len(missing.missing_keys) == 3
    assert not missing.unexpected_keys
    other.load_state_dict(checkpoint["model"])
    optimizer.load_state_dict(checkpoint["optimizer"])
    difference = (model(x) - other(x)).abs().max().item()
    total = torch.stack([v.norm() for v in ema.values() if v.is_floating_point()]).norm()
    return [*losses, *seen, difference, total.item(), model.steps.item()]


def half_precision(torch):
    """bfloat16 and float16 copies, float32 masters, loss scaling by hand."""
    nn, F = torch.nn, torch.nn.functional
    master = start(torch, nn.Linear(6, 3)).float()
    optimizer = torch.optim.SGD(master.parameters(), lr=0.1)
    x = torch.tensor(numbers(24, 8, 6), dtype=torch.float32)
    y = torch.arange(8) % 3
    losses = []
    for dtype, scale in ((torch.bfloat16, 1.0), (torch.float16, 128.0)):
        copy_ = nn.Linear(6, 3).to(dtype)
        copy_.load_state_dict(master.state_dict())
        assert copy_.weight.dtype == dtype
        logits = copy_(x.to(dtype))
        loss = F.cross_entropy(logits.float(), y)
        (loss * scale).backward()
        for p, q in zip(master.parameters(), copy_.parameters(), strict=True):
            p.grad = q.grad.to(p.dtype) / scale
        optimizer.step()
        losses.append(round(loss.item(), 2))
    mixed = (x[0, 0] * torch.ones(2, dtype=torch.float16)).dtype
    assert mixed == torch.float16
    assert (x.half() + x).dtype == torch.float32
    assert torch.finfo(torch.bfloat16).eps == 0.0078125
    assert x.int().dtype == torch.int32
    return losses


PROGRAMS = [deep_q, policy_gradient, contrastive, wasserstein, meta, toolbox, half_precision]
