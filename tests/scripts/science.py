"""Numerical work: Gaussian processes, PINNs, clustering, graphs, spectra."""

import math

import numpy as np

from scripts import numbers, start


def gaussian_process(torch):
    """Hyperparameters by marginal likelihood: cdist, cholesky, triangular solves, logdet."""
    x = torch.tensor(np.linspace(-2, 2, 12)).unsqueeze(-1)
    y = torch.sin(2 * x).squeeze() + 0.1 * torch.tensor(numbers(10, 12))
    log_scale = torch.zeros(1, requires_grad=True)
    log_length = torch.tensor(-0.5, requires_grad=True)
    log_noise = torch.nn.Parameter(torch.tensor(-2.0))

    def kernel(a, b):
        return log_scale.exp() * torch.exp(
            -0.5 * torch.cdist(a, b) ** 2 / torch.exp(2 * log_length)
        )

    optimizer = torch.optim.Adam(
        [{"params": [log_scale, log_length]}, {"params": log_noise, "lr": 0.02}], lr=0.05
    )
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        K = kernel(x, x) + (log_noise.exp() + 1e-6) * torch.eye(len(x))
        L = torch.linalg.cholesky(K)
        alpha = torch.cholesky_solve(y.unsqueeze(1), L)
        loss = 0.5 * y @ alpha.squeeze(1) + L.diagonal().log().sum() + 6 * math.log(2 * math.pi)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    with torch.no_grad():
        K = kernel(x, x) + (log_noise.exp() + 1e-6) * torch.eye(12)
        new = torch.linspace(-1, 1, 5, dtype=x.dtype)[:, None]
        k = kernel(x, new)
        mean = k.T @ torch.linalg.solve(K, y)
        v = torch.linalg.solve_triangular(torch.linalg.cholesky(K), k, upper=False)
        var = torch.diag(kernel(new, new)) - v.pow(2).sum(0)
        losses += [*mean.tolist(), *var.tolist(), torch.logdet(K).item()]
        losses.append(torch.linalg.slogdet(K).logabsdet.item())
        losses += torch.linalg.eigvalsh(K).tolist()
    return losses


def physics_informed(torch):
    """Heat equation: u_t = u_xx by create_graph, boundary and initial terms, hessian check."""
    nn = torch.nn
    net = nn.Sequential(nn.Linear(2, 10), nn.Tanh(), nn.Linear(10, 10), nn.Tanh(), nn.Linear(10, 1))
    for i, module in enumerate(net):
        if isinstance(module, nn.Linear):
            start(torch, module, i)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    rng = np.random.default_rng(11)
    t = torch.tensor(rng.random((16, 1)), requires_grad=True)
    x = torch.tensor(rng.random((16, 1)) * 2 - 1).requires_grad_()
    losses = []
    for _ in range(6):
        u = net(torch.cat([t, x], dim=1))
        u_t, u_x = torch.autograd.grad(u.sum(), (t, x), create_graph=True)
        (u_xx,) = torch.autograd.grad(u_x, x, grad_outputs=torch.ones_like(u_x), create_graph=True)
        residual = u_t - 0.1 * u_xx + u * u_x
        at_start = net(torch.cat([torch.zeros_like(x), x.detach()], 1)) + torch.sin(math.pi * x)
        edge = net(torch.stack([t.squeeze(-1), torch.ones(16)], dim=-1))
        loss = residual.square().mean() + at_start.pow(2).mean() + (edge**2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses += [loss.item(), x.grad.norm().item()]
        x.grad = None
        t.grad.zero_()
    point = torch.tensor([0.3, -0.2])
    hessian = torch.autograd.functional.hessian(lambda p: net(p).squeeze(), point)
    jacobian = torch.func.jacrev(net)(point)
    return losses + hessian.flatten().tolist() + jacobian.flatten().tolist()


def kmeans(torch):
    """Lloyd's algorithm with cdist, argmin, index_add_ and bincount; then silhouettes."""
    points = torch.tensor(np.concatenate([numbers(i, 15, 2) * 0.4 + 2 * i for i in range(3)]))
    centers = points[[0, 20, 40]].clone()
    inertia = []
    for _ in range(4):
        distance = torch.cdist(points, centers)
        nearest = distance.argmin(dim=1)
        inertia.append(distance.gather(1, nearest[:, None]).pow(2).sum().item())
        total = torch.zeros_like(centers).index_add_(0, nearest, points)
        count = torch.bincount(nearest, minlength=3).clamp(min=1)
        centers = total / count.unsqueeze(1)
    order = centers[:, 0].argsort(descending=True)
    pairs = torch.combinations(torch.arange(3))
    apart = (centers[pairs[:, 0]] - centers[pairs[:, 1]]).norm(dim=-1)
    spread = [points[nearest == c].var(dim=0, unbiased=False).sum().item() for c in order]
    U, S, Vh = torch.linalg.svd(points - points.mean(0), full_matrices=False)
    reconstructed = (U * S) @ Vh
    return [
        *inertia,
        *apart.tolist(),
        *spread,
        *S.tolist(),
        reconstructed.abs().sum().item(),
        *torch.quantile(distance, torch.tensor([0.1, 0.9], dtype=points.dtype)).tolist(),
    ]


def graph_network(torch):
    """Message passing: scatter_add over edges, degree normalisation, einsum attention."""
    nn, F = torch.nn, torch.nn.functional

    class GCN(nn.Module):
        def __init__(self, inputs, outputs):
            super().__init__()
            self.weight = nn.Parameter(torch.empty(inputs, outputs))
            self.bias = nn.Parameter(torch.zeros(outputs))
            nn.init.xavier_uniform_(self.weight)

        def forward(self, x, edge_index):
            row, col = edge_index
            degree = torch.zeros(x.size(0)).scatter_add_(0, row, torch.ones(row.numel()))
            scale = degree.pow(-0.5)
            scale[scale == float("inf")] = 0
            norm = scale[row] * scale[col]
            messages = norm.view(-1, 1) * (x @ self.weight)[col]
            index = row.unsqueeze(-1).expand_as(messages)
            return (
                torch.zeros_like(messages[: x.size(0)]).scatter_add(0, index, messages) + self.bias
            )

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = GCN(4, 6), GCN(6, 6)
            self.a = nn.Parameter(torch.randn(2, 3))
            self.head = nn.Linear(6, 2)

        def forward(self, x, edges, batch):
            x = F.leaky_relu(self.conv1(x, edges), negative_slope=0.2)
            x = F.elu(self.conv2(x, edges))
            h = x.view(-1, 2, 3)
            score = torch.einsum("nhd,hd->nh", h, self.a)
            weight = torch.empty_like(score)
            for g in range(int(batch.max()) + 1):
                weight[batch == g] = score[batch == g].softmax(0)
            h = (h * weight[..., None]).flatten(1)
            pooled = torch.zeros(int(batch.max()) + 1, 6).index_add(0, batch, h)
            return self.head(pooled)

    source = torch.tensor([0, 1, 2, 3, 4, 5, 6, 7, 1, 3, 5, 0])
    target = torch.tensor([1, 2, 0, 2, 5, 6, 4, 6, 0, 1, 4, 3])
    edges = torch.stack([torch.cat([source, target]), torch.cat([target, source])])
    batch = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    x, y = torch.tensor(numbers(12, 8, 4)), torch.tensor([0, 1])
    model = start(torch, Net())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
    losses = []
    for _ in range(6):
        loss = F.nll_loss(F.log_softmax(model(x, edges, batch), dim=1), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    adjacency = torch.zeros(8, 8)
    adjacency[edges[0], edges[1]] = 1
    losses += adjacency.sum(1).tolist() + adjacency.matrix_power(3).trace().reshape(1).tolist()
    laplacian = torch.diag(adjacency.sum(1)) - adjacency
    values, vectors = torch.linalg.eigh(laplacian)
    return (
        losses
        + values.tolist()
        + [torch.allclose(vectors @ torch.diag(values) @ vectors.mT, laplacian, atol=1e-10)]
    )


def grids(torch):
    """Buffers written through views, masks, advanced indexing: a cellular automaton and a field."""
    F = torch.nn.functional
    world = torch.zeros(8, 8, dtype=torch.int64)
    world[1:4, [1, 2, 3]] = torch.tensor([[0, 1, 0], [0, 0, 1], [1, 1, 1]])
    kernel = torch.ones(1, 1, 3, 3)
    kernel[..., 1, 1] = 0
    alive = []
    for _ in range(4):
        padded = F.pad(world[None, None].double(), (1, 1, 1, 1), mode="circular")
        near = F.conv2d(padded, kernel.double())[0, 0].round().long()
        world = ((near == 3) | ((world == 1) & (near == 2))).long()
        alive.append(world.sum().item())
    alive += world.nonzero().flatten().tolist()

    field = torch.tensor(numbers(13, 6, 6), requires_grad=True)
    buffer = torch.zeros(2, 6, 6)
    buffer[0] = field
    inner = buffer[1, 1:-1, 1:-1]
    inner += field[:-2, 1:-1] + field[2:, 1:-1] - 2 * field[1:-1, 1:-1]
    buffer[1, 0].copy_(field[0] * 3)
    buffer[1][:, -1].mul_(2).add_(field.diagonal(), alpha=0.5)
    rows, columns = torch.triu_indices(6, 6, offset=1)
    energy = buffer[1].pow(2).sum() + buffer[0, rows, columns].abs().sum()
    energy = energy + torch.where(field > 0, field.abs().sqrt(), field.exp()).sum()
    clipped = field.clone()
    clipped[clipped < -0.5] = -0.5
    clipped[::2, ::3] *= clipped[1::2, 1::3].clone()
    energy = energy + clipped.tril().unfold(0, 3, 1).max(dim=-1)[0].sum()
    (gradient,) = torch.autograd.grad(energy, field)
    ranks = field.detach().flatten().sort(stable=True).indices.float()
    return [*alive, energy.item(), *gradient.flatten().tolist(), *ranks.tolist()]


PROGRAMS = [gaussian_process, physics_informed, kmeans, graph_network, grids]
