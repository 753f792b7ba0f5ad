"""Models that lean on one part of the library each: diffusion, flows, attention, routing."""

import math

import numpy as np

from scripts import numbers, start


def diffusion(torch):
    """DDPM on points: schedules by cumprod, time embeddings, gathered coefficients, sampling."""
    nn, F = torch.nn, torch.nn.functional
    steps = 20
    betas = torch.linspace(1e-4, 0.2, steps)
    alphas = 1.0 - betas
    alphas_bar = torch.cumprod(alphas, dim=0)
    previous = F.pad(alphas_bar[:-1], (1, 0), value=1.0)
    variance = betas * (1.0 - previous) / (1.0 - alphas_bar)

    def extract(a, t, shape):
        return a.gather(-1, t).reshape(t.shape[0], *((1,) * (len(shape) - 1)))

    def time_embedding(t, dim=6):
        frequencies = torch.exp(-math.log(10000) * torch.arange(dim // 2) / (dim // 2 - 1))
        angles = t[:, None].float() * frequencies[None, :]
        return torch.cat((angles.sin(), angles.cos()), dim=-1).to(betas.dtype)

    model = start(torch, nn.Sequential(nn.Linear(8, 16), nn.SiLU(), nn.Linear(16, 2)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.0)
    data = torch.tensor(numbers(30, 16, 2)) * 0.1 + torch.tensor([1.0, -1.0])
    history = []
    for step in range(6):
        t = torch.from_numpy(np.random.default_rng([31, step]).integers(0, steps, 16))
        noise = torch.from_numpy(numbers([32, step], 16, 2))
        noisy = (
            extract(alphas_bar.sqrt(), t, data.shape) * data
            + extract((1 - alphas_bar).sqrt(), t, data.shape) * noise
        )
        loss = F.mse_loss(model(torch.cat([noisy, time_embedding(t)], 1)), noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())

    @torch.no_grad()
    def sample(count):
        x = torch.from_numpy(numbers(33, count, 2))
        for i in reversed(range(steps)):
            t = torch.full((count,), i, dtype=torch.long)
            predicted = model(torch.cat([x, time_embedding(t)], 1))
            x = (x - betas[i] / (1 - alphas_bar[i]).sqrt() * predicted) / alphas[i].sqrt()
            if i > 0:
                x += variance[i] ** 0.5 * torch.from_numpy(numbers([34, i], count, 2))
        return x.clamp_(-3, 3)

    return history + sample(3).flatten().tolist()


def flow(torch):
    """RealNVP with masked coupling, and a planar layer whose Jacobian is checked by func.jacrev."""
    nn = torch.nn

    class Coupling(nn.Module):
        def __init__(self, mask):
            super().__init__()
            self.register_buffer("mask", mask)
            self.s = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 3), nn.Tanh())
            self.t = nn.Sequential(nn.Linear(3, 8), nn.LeakyReLU(), nn.Linear(8, 3))

        def forward(self, x):
            kept = x * self.mask
            s, t = self.s(kept) * (1 - self.mask), self.t(kept) * (1 - self.mask)
            return kept + (1 - self.mask) * (x * s.exp() + t), s.sum(-1)

    masks = [torch.tensor([1.0, 0.0, 1.0]), torch.tensor([0.0, 1.0, 0.0])]
    layers = nn.ModuleList(start(torch, Coupling(m), i) for i, m in enumerate(masks))

    def log_prob(x):
        total = x.new_zeros(x.shape[:-1])
        for layer in layers:
            x, logdet = layer(x)
            total = total + logdet
        return total - 0.5 * (x**2).sum(-1) - 1.5 * math.log(2 * math.pi)

    optimizer = torch.optim.Adam(layers.parameters(), lr=1e-2)
    x = torch.tensor(numbers(35, 12, 3)) * torch.tensor([1.0, 0.2, 3.0])
    losses = []
    for _ in range(6):
        loss = -log_prob(x).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    jacobian = torch.autograd.functional.jacobian(lambda v: layers[0](v)[0], x[0])
    exact = torch.linalg.slogdet(jacobian)[1] - layers[0](x[0])[1]
    return [*losses, exact.item(), torch.det(jacobian).item()]


def transformer_tricks(torch):
    """RMSNorm, rotary embeddings, grouped queries, a key-value cache, SwiGLU, LoRA, MoE routing."""
    nn, F = torch.nn, torch.nn.functional

    class RMSNorm(nn.Module):
        def __init__(self, dim, eps=1e-6):
            super().__init__()
            self.eps, self.weight = eps, nn.Parameter(torch.ones(dim))

        def forward(self, x):
            return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight

    class LoRALinear(nn.Module):
        def __init__(self, inputs, outputs, rank=2, alpha=4):
            super().__init__()
            self.base = nn.Linear(inputs, outputs, bias=False)
            self.base.weight.requires_grad_(False)
            self.a = nn.Parameter(torch.empty(rank, inputs))
            self.b = nn.Parameter(torch.zeros(outputs, rank))
            nn.init.kaiming_uniform_(self.a, a=math.sqrt(5))
            self.scaling = alpha / rank

        def forward(self, x):
            return self.base(x) + (x @ self.a.T @ self.b.T) * self.scaling

    def rotate(x, start_at=0):
        length, half = x.shape[-2], x.shape[-1] // 2
        inv_freq = 1.0 / (10000 ** (torch.arange(0, half, dtype=x.dtype) / half))
        angles = torch.outer(torch.arange(start_at, start_at + length, dtype=x.dtype), inv_freq)
        cos, sin = angles.cos().repeat(1, 2), angles.sin().repeat(1, 2)
        x1, x2 = x[..., :half], x[..., half:]
        return x * cos + torch.cat((-x2, x1), dim=-1) * sin

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.q, self.kv, self.o = LoRALinear(8, 8), LoRALinear(8, 8), nn.Linear(8, 8)
            self.cache = None

        def forward(self, x):
            b, t, _ = x.shape
            q = self.q(x).view(b, t, 4, 2).transpose(1, 2)
            k, v = self.kv(x).view(b, t, 2, 2, 2).permute(2, 0, 3, 1, 4).unbind(0)
            at = 0
            if self.cache is not None:
                keys, values, at = self.cache
                keys[:, :, at : at + t], values[:, :, at : at + t] = rotate(k, at), v
                k, v = keys[:, :, : at + t], values[:, :, : at + t]
                self.cache = (keys, values, at + t)
            else:
                k = rotate(k)
            q = rotate(q, at)
            k, v = k.repeat_interleave(2, dim=1), v.repeat_interleave(2, dim=1)
            y = F.scaled_dot_product_attention(q, k, v, is_causal=self.cache is None)
            return self.o(y.transpose(1, 2).reshape(b, t, 8))

    class Experts(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate = nn.Linear(8, 3, bias=False)
            self.experts = nn.ModuleList(
                nn.ModuleDict({"w1": nn.Linear(8, 6), "w2": nn.Linear(6, 8), "w3": nn.Linear(8, 6)})
                for _ in range(3)
            )

        def forward(self, x):
            flat = x.reshape(-1, x.shape[-1])
            weights, chosen = torch.topk(self.gate(flat).softmax(-1), 2, dim=-1)
            weights = weights / weights.sum(dim=-1, keepdim=True)
            out = torch.zeros_like(flat)
            for i, e in enumerate(self.experts):
                token, slot = torch.where(chosen == i)
                h = e["w2"](F.silu(e["w1"](flat[token])) * e["w3"](flat[token]))
                out.index_add_(0, token, h * weights[token, slot, None])
            return out.view_as(x)

    norm, attention, experts = RMSNorm(8), start(torch, Attention()), start(torch, Experts(), 1)
    modules = nn.ModuleList([norm, attention, experts])
    optimizer = torch.optim.AdamW(
        [p for p in modules.parameters() if p.requires_grad], lr=1e-2, fused=False
    )
    x, target = torch.tensor(numbers(36, 2, 5, 8)), torch.tensor(numbers(37, 2, 5, 8))
    losses = []
    for _ in range(5):
        h = x + attention(norm(x))
        loss = F.smooth_l1_loss(h + experts(norm(h)), target, beta=0.5)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    with torch.no_grad():
        whole = attention(x)
        attention.cache = (torch.zeros(2, 2, 5, 2), torch.zeros(2, 2, 5, 2), 0)
        pieces = torch.cat([attention(x[:, i : i + 1]) for i in range(5)], dim=1)
    frozen = sum(p.numel() for p in modules.parameters() if not p.requires_grad)
    return [*losses, (whole - pieces).abs().max().item() < 1e-12, frozen]


def vision_transformer(torch):
    """Patches by unfold, a class token, einsum attention, mixup, stochastic depth of zero."""
    nn, F = torch.nn, torch.nn.functional

    class ViT(nn.Module):
        def __init__(self):
            super().__init__()
            self.project = nn.Linear(2 * 2 * 3, 8)
            self.cls = nn.Parameter(torch.zeros(1, 1, 8))
            self.position = nn.Parameter(torch.zeros(1, 10, 8))
            self.qkv, self.out = nn.Linear(8, 24, bias=False), nn.Linear(8, 8)
            self.norm, self.head = nn.LayerNorm(8, eps=1e-6), nn.Linear(8, 4)
            nn.init.trunc_normal_(self.position, std=0.02)

        def forward(self, img):
            p = img.unfold(2, 2, 2).unfold(3, 2, 2)
            p = p.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)
            x = torch.cat((self.cls.expand(len(img), -1, -1), self.project(p)), dim=1)
            x = x + self.position
            qkv = self.qkv(self.norm(x)).unflatten(-1, (3, 2, 4))
            q, k, v = qkv.movedim(2, 0)
            scores = torch.einsum("bihd,bjhd->bhij", q, k) * 4**-0.5
            mixed = torch.einsum("bhij,bjhd->bihd", scores.softmax(dim=-1), v)
            x = x + self.out(mixed.flatten(-2))
            return self.head(x[:, 0])

    model = start(torch, ViT())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    images = torch.tensor(numbers(38, 6, 3, 6, 6))
    mean, std = images.mean((0, 2, 3)), images.std((0, 2, 3))
    images = (images - mean[:, None, None]) / std.view(-1, 1, 1)
    labels = torch.tensor([0, 1, 2, 3, 0, 1])
    losses = []
    for step in range(5):
        lam, order = 0.3 + 0.1 * step, torch.tensor(np.random.default_rng(step).permutation(6))
        mixed = lam * images + (1 - lam) * images[order]
        logits = model(mixed.flip(-1) if step % 2 else mixed)
        loss = lam * F.cross_entropy(logits, labels) + (1 - lam) * F.cross_entropy(
            logits, labels[order], label_smoothing=0.1
        )
        soft = lam * F.one_hot(labels, 4) + (1 - lam) * F.one_hot(labels[order], 4)
        loss = loss + F.cross_entropy(logits, soft.to(logits.dtype))
        model.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    confusion = torch.zeros(4, 4, dtype=torch.long)
    for truth, guess in zip(labels, model(images).argmax(1), strict=True):
        confusion[truth, guess] += 1
    return [*losses, *confusion.flatten().tolist(), confusion.diag().sum().item() / 6]


def distillation(torch):
    """Temperature, KL with log targets, focal loss, BatchNorm statistics kept while frozen."""
    nn, F = torch.nn, torch.nn.functional
    teacher = start(torch, nn.Sequential(nn.Linear(5, 9), nn.BatchNorm1d(9), nn.Linear(9, 3)), 1)
    teacher.eval().requires_grad_(False)
    student = start(torch, nn.Sequential(nn.Linear(5, 4), nn.PReLU(), nn.Linear(4, 3)), 2)
    optimizer = torch.optim.Adam(student.parameters(), lr=2e-2, weight_decay=1e-3)
    x, y = torch.tensor(numbers(39, 15, 5)), torch.arange(15) % 3
    losses = []
    for _ in range(6):
        logits, temperature = student(x), 3.0
        soft = F.kl_div(
            F.log_softmax(logits / temperature, dim=1),
            F.log_softmax(teacher(x) / temperature, dim=1),
            reduction="batchmean",
            log_target=True,
        )
        ce = F.cross_entropy(logits, y, reduction="none", weight=torch.tensor([1.0, 2.0, 0.5]))
        focal = ((1 - torch.exp(-ce)) ** 2 * ce).mean()
        margin = F.multi_margin_loss(logits, y) + F.soft_margin_loss(
            logits[:, 0], 2.0 * (y == 0) - 1
        )
        loss = temperature**2 * soft + focal + 0.1 * margin
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return [*losses, teacher[1].num_batches_tracked.item(), *teacher[1].running_var.tolist()]


PROGRAMS = [diffusion, flow, transformer_tricks, vision_transformer, distillation]
