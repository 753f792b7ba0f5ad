"""Words, rays, hidden states and orbits: models that step through something."""

import math

import numpy as np

from scripts import numbers, start


def word_vectors(torch):
    """Negative sampling with bmm, padding, embedding bags, and the nearest neighbours."""
    nn, F = torch.nn, torch.nn.functional
    words, contexts = nn.Embedding(12, 4), nn.Embedding(12, 4, padding_idx=0)
    bag = nn.EmbeddingBag(12, 4, mode="mean")
    for i, module in enumerate((words, contexts, bag)):
        start(torch, module, i)
    parameters = [p for m in (words, contexts, bag) for p in m.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.5)
    rng = np.random.default_rng(40)
    losses = []
    for _ in range(6):
        center = torch.from_numpy(rng.integers(1, 12, 8))
        positive = torch.from_numpy(rng.integers(1, 12, 8))
        negative = torch.from_numpy(rng.integers(0, 12, (8, 3)))
        v = words(center).unsqueeze(2)
        score = torch.bmm(contexts(positive).unsqueeze(1), v).squeeze()
        noise = torch.bmm(contexts(negative).neg(), v).squeeze(-1)
        loss = -(F.logsigmoid(score) + F.logsigmoid(noise).sum(1)).mean()
        bags = bag(torch.arange(1, 8), torch.tensor([0, 3, 3]))
        loss = loss + bags.pow(2).sum() + F.embedding_bag(negative, bag.weight, mode="max").mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    unit = F.normalize(words.weight.detach(), dim=1)
    similarity = (unit @ unit.t()).fill_diagonal_(-1)
    best = similarity.topk(3, dim=1)
    mean = unit.mean(0)
    return [*losses, *best.indices.flatten().tolist(), *best.values[0].tolist(), *mean.tolist()]


def rendering(torch):
    """NeRF: sin/cos encoding, volume rendering by cumprod, stratified searchsorted, grid_sample."""
    nn, F = torch.nn, torch.nn.functional
    field = start(torch, nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 4)))

    def encode(x, levels=2):
        scaled = x[..., None, :] * (2.0 ** torch.arange(levels, dtype=x.dtype))[:, None] * math.pi
        return torch.cat([scaled.sin(), scaled.cos()], dim=-1).flatten(-2)

    origins = torch.tensor(numbers(41, 5, 3))
    directions = F.normalize(torch.tensor(numbers(42, 5, 3)), dim=-1)
    z = torch.linspace(0.5, 2.0, 7, dtype=origins.dtype)
    points = origins[:, None] + directions[:, None] * z[None, :, None]
    target = torch.sigmoid(torch.tensor(numbers(43, 5, 3)))
    optimizer = torch.optim.Adam(field.parameters(), lr=5e-2)
    gamma = torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.7)
    losses = []
    for _ in range(6):
        raw = field(encode(points))
        color, density = torch.sigmoid(raw[..., :3]), F.softplus(raw[..., 3])
        delta = torch.cat([z[1:] - z[:-1], z.new_full((1,), 1e10)])
        alpha = 1.0 - torch.exp(-density * delta)
        through = torch.cumprod(torch.cat([torch.ones(5, 1), 1 - alpha + 1e-10], -1), -1)[:, :-1]
        weights = alpha * through
        rgb = (weights.unsqueeze(-1) * color).sum(dim=-2)
        loss = F.mse_loss(rgb, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        gamma.step()
        losses += [loss.item(), (-10 * torch.log10(loss.detach())).item()]
    pdf = weights.detach() / weights.detach().sum(-1, keepdim=True)
    cdf = torch.cumsum(pdf, -1)
    u = torch.linspace(0.05, 0.95, 4, dtype=z.dtype).expand(5, 4).contiguous()
    below = torch.searchsorted(cdf.contiguous(), u, right=True).clamp(max=6)
    depth = torch.take_along_dim(z.expand(5, -1), below, dim=-1)
    theta = torch.tensor([[[0.8, -0.2, 0.1], [0.2, 0.8, 0.0]]], dtype=z.dtype, requires_grad=True)
    image = target.t().reshape(1, 3, 1, 5).expand(1, 3, 4, 5)
    warped = F.grid_sample(
        image, F.affine_grid(theta, [1, 3, 4, 5], align_corners=False), align_corners=False
    )
    warped.square().sum().backward()
    return [*losses, *depth.flatten().tolist(), *theta.grad.flatten().tolist()]


def sequences_in_log_space(torch):
    """An HMM's forward algorithm and Viterbi path, Sinkhorn's transport, a mixture of Gaussians."""
    initial, transition = torch.tensor(numbers(44, 3)), torch.tensor(numbers(45, 3, 3))
    emission = torch.tensor(numbers(46, 3, 4))
    for parameter in (initial, transition, emission):
        parameter.requires_grad_()
    observed = torch.tensor([0, 2, 1, 3, 3, 0])
    optimizer = torch.optim.SGD([initial, transition, emission], lr=0.1)
    history = []
    for _ in range(5):
        log_t, log_e = transition.log_softmax(-1), emission.log_softmax(-1)
        alpha = initial.log_softmax(0) + log_e[:, observed[0]]
        for o in observed[1:]:
            alpha = torch.logsumexp(alpha[:, None] + log_t, dim=0) + log_e[:, o]
        loss = -alpha.logsumexp(0)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        history.append(loss.item())
    score, pointers = initial.log_softmax(0) + log_e[:, observed[0]], []
    for o in observed[1:].tolist():
        score, pointer = (score.unsqueeze(1) + log_t).max(dim=0)
        score = score + log_e[:, o]
        pointers.append(pointer)
    state = int(score.argmax())
    for pointer in reversed(pointers):
        history.append(state)
        state = pointer[state].item()

    x, y = torch.tensor(numbers(47, 5, 2), requires_grad=True), torch.tensor(numbers(48, 4, 2))
    cost = torch.cdist(x, y, p=2).pow(2)
    f, g = torch.zeros(5), torch.zeros(4)
    log_a, log_b = torch.full((5,), -math.log(5)), torch.full((4,), -math.log(4))
    for _ in range(15):
        f = -0.5 * torch.logsumexp((g[None] - cost) / 0.5 + log_b[None], dim=1)
        g = -0.5 * torch.logsumexp((f[:, None] - cost) / 0.5 + log_a[:, None], dim=0)
    plan = torch.exp((f[:, None] + g - cost) / 0.5 + log_a[:, None] + log_b)
    (plan * cost).sum().backward()
    history += [*plan.sum(1).tolist(), *x.grad.flatten().tolist()]

    mean, log_std = torch.tensor([-1.0, 0.0, 1.0], requires_grad=True), torch.zeros(3)
    samples = torch.tensor(numbers(49, 9, 1))
    log_prob = (
        -0.5 * ((samples - mean) / log_std.exp()) ** 2 - log_std - 0.5 * math.log(2 * math.pi)
    )
    torch.logsumexp(log_prob - math.log(3), 1).mean().backward()
    return history + mean.grad.tolist()


def dynamics(torch):
    """A neural ODE by RK4, an input optimised against a Gram matrix, Langevin steps, SAM."""
    nn, F = torch.nn, torch.nn.functional
    net = start(torch, nn.Sequential(nn.Linear(2, 8), nn.Softplus(beta=2), nn.Linear(8, 2)))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    goal = torch.stack([torch.cos(torch.linspace(0, 1, 6)), torch.sin(torch.linspace(0, 1, 6))], -1)
    history = []
    for _ in range(5):
        y, path, h = goal[0], [goal[0]], 0.2
        for _ in range(5):
            k1 = net(y)
            k2 = net(y + h / 2 * k1)
            k3 = net(y + h / 2 * k2)
            k4 = net(y + h * k3)
            y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
            path.append(y)
        loss = F.huber_loss(torch.stack(path), goal, delta=0.1)
        optimizer.zero_grad()
        loss.backward()
        norm = torch.norm(torch.stack([p.grad.norm(p=2) for p in net.parameters()]), p=2)
        perturbations = []
        with torch.no_grad():
            for p in net.parameters():
                e = p.grad * (0.05 / (norm + 1e-12))
                p.add_(e)
                perturbations.append(e)
        optimizer.zero_grad()
        F.huber_loss(goal[0] + net(goal[:-1]).cumsum(0) * h, goal[1:], delta=0.1).backward()
        with torch.no_grad():
            for p, e in zip(net.parameters(), perturbations, strict=True):
                p.sub_(e)
        optimizer.step()
        history += [loss.item(), norm.item()]

    features = start(torch, nn.Conv2d(3, 4, 3, padding=1, padding_mode="replicate"), 5)
    style = torch.tensor(numbers(50, 1, 3, 6, 6))

    def gram(x):
        b, c, height, width = features(x).relu().size()
        f = features(x).relu().view(b * c, height * width)
        return torch.mm(f, f.t()).div(b * c * height * width)

    wanted = gram(style).detach()
    image = torch.tensor(numbers(51, 1, 3, 6, 6)).requires_grad_(True)
    painter = torch.optim.Adam([image], lr=0.05)
    for _ in range(4):

        def closure():
            painter.zero_grad()
            variation = (image[..., 1:] - image[..., :-1]).abs().mean()
            loss = 100 * F.mse_loss(gram(image), wanted) + 0.1 * variation
            loss.backward()
            return loss

        history.append(painter.step(closure).item())
        with torch.no_grad():
            image.clamp_(-2, 2)

    x = torch.tensor(numbers(52, 4, 2))
    for step in range(4):
        x.requires_grad_(True)
        energy = net(x).pow(2).sum()
        (force,) = torch.autograd.grad(energy, x)
        x = (x - 0.1 * force + 0.01 * torch.tensor(numbers([53, step], 4, 2))).detach()
    return history + x.flatten().tolist()


PROGRAMS = [word_vectors, rendering, sequences_in_log_space, dynamics]
