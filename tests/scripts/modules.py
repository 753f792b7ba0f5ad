"""What programs do to modules from outside: normalise weights, prune, watch, save, average."""

import copy
from importlib import import_module

import numpy as np

from scripts import numbers, start


def adversarial(torch):
    """A GAN whose discriminator has spectral normalisation in both forms, with hinge losses."""
    nn, F = torch.nn, torch.nn.functional
    spectral_norm = torch.nn.utils.parametrizations.spectral_norm

    class Critic(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(
                nn.Conv2d(1, 4, 3, padding=1), nn.LeakyReLU(0.2),
                nn.Conv2d(4, 8, 4, stride=2, padding=1), nn.LeakyReLU(0.2),
            )  # fmt: skip
            self.head = nn.Linear(8 * 4 * 4, 1)

        def forward(self, x):
            return self.head(self.features(x).flatten(1)).squeeze(1)

    generator = start(
        torch,
        nn.Sequential(
            nn.Linear(6, 32), nn.ReLU(), nn.Unflatten(1, (8, 2, 2)),
            nn.ConvTranspose2d(8, 4, 4, stride=2, padding=1), nn.BatchNorm2d(4), nn.ReLU(),
            nn.ConvTranspose2d(4, 1, 4, stride=2, padding=1), nn.Tanh(),
        ), 1,
    )  # fmt: skip
    critic = start(torch, Critic(), 2)
    for module in critic.features:
        if isinstance(module, nn.Conv2d):
            spectral_norm(module, n_power_iterations=2)
    torch.nn.utils.spectral_norm(critic.head)
    with torch.no_grad():  # the singular vectors are drawn: both libraries begin with the same
        for i, (name, buffer) in enumerate(critic.named_buffers()):
            if name.endswith(("_u", "_v")):
                drawn = torch.tensor(numbers([3, i], *buffer.shape))
                buffer.copy_(F.normalize(drawn, dim=0))
    for_generator = torch.optim.Adam(generator.parameters(), lr=2e-3, betas=(0.0, 0.9))
    for_critic = torch.optim.Adam(critic.parameters(), lr=2e-3, betas=(0.0, 0.9))
    real = torch.tensor(np.sign(numbers(4, 12, 1, 8, 8)) * 0.8)
    history = []
    for step in range(4):
        z = torch.tensor(numbers([5, step], 12, 6))
        for_critic.zero_grad()
        fake = generator(z).detach()
        loss = F.relu(1 - critic(real)).mean() + F.relu(1 + critic(fake)).mean()
        loss.backward()
        for_critic.step()
        for_generator.zero_grad()
        critic.requires_grad_(False)
        wanted = -critic(generator(z)).mean()
        wanted.backward()
        for_generator.step()
        critic.requires_grad_(True)
        history += [loss.item(), wanted.item()]
    critic.eval()
    state = critic.state_dict()
    history.append(float(sum(v.abs().sum() for v in state.values())))
    torch.nn.utils.remove_spectral_norm(critic.head)
    torch.nn.utils.parametrize.remove_parametrizations(critic.features[0], "weight")
    return [*history, len(state), *critic(real)[:3].tolist()]


def pruned(torch):
    """A CNN trained, pruned globally and by channels, fine-tuned, made permanent, and fused."""
    nn, F = torch.nn, torch.nn.functional
    prune = import_module(f"{torch.__name__}.nn.utils.prune")
    net = start(
        torch,
        nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(6, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(),
            nn.Linear(8 * 4 * 4, 3),
        ), 6,
    )  # fmt: skip
    x = torch.tensor(numbers(7, 24, 1, 8, 8))
    y = (x.mean(dim=(1, 2, 3)) > 0).long() + (x[:, 0, 0, 0] > 1).long()

    def train(epochs):
        optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
        losses = []
        for _ in range(epochs):
            for start_ in range(0, 24, 8):
                optimizer.zero_grad()
                loss = F.cross_entropy(net(x[start_ : start_ + 8]), y[start_ : start_ + 8])
                loss.backward()
                torch.nn.utils.clip_grad_norm_(net.parameters(), 2.0, foreach=True)
                optimizer.step()
            losses.append(loss.item())
        return losses

    def sparsity(module):
        return (module.weight == 0).sum().item() / module.weight.numel()

    history = train(2)
    layers = [m for m in net if isinstance(m, (nn.Conv2d, nn.Linear))]
    pairs = [(m, "weight") for m in layers]
    prune.global_unstructured(pairs, pruning_method=prune.L1Unstructured, amount=0.4)
    history += [sparsity(m) for m in layers]
    history += train(2)
    prune.ln_structured(layers[1], name="weight", amount=2, n=2, dim=0)
    history += [sparsity(m) for m in layers] + train(2)
    history.append(float(prune.is_pruned(net)))
    for module, name in pairs:
        prune.remove(module, name)
    history += [float(prune.is_pruned(net)), *(sparsity(m) for m in layers)]
    net.eval()
    before = net(x)
    fused = nn.Sequential(
        torch.nn.utils.fuse_conv_bn_eval(net[0], net[1]), *net[2:4],
        torch.nn.utils.fuse_conv_bn_eval(net[4], net[5]), *net[6:],
    )  # fmt: skip
    history += [float((fused(x) - before).abs().max() < 1e-10), len(fused.state_dict())]
    return history + fused(x)[0].tolist()


def watched(torch):
    """Grad-CAM by hooks; statistics of activations and gradients of every layer; hooks that change
    both; an ensemble by stack_module_state; an average of weights by deepcopy."""
    nn, F = torch.nn, torch.nn.functional
    net = start(
        torch,
        nn.Sequential(
            nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ELU()),
            nn.Sequential(nn.Conv2d(4, 6, 3, padding=1), nn.Tanh()),
            nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 3),
        ), 8,
    )  # fmt: skip
    x, y = torch.tensor(numbers(9, 6, 2, 6, 6)), torch.tensor([0, 1, 2, 0, 1, 2])
    kept, statistics = {}, {}

    def keep(name):
        def forward(module, args, output):
            kept[name] = output.detach()

        def backward(module, grad_input, grad_output):
            kept[name + ".grad"] = grad_output[0].detach()
            seen = [g for g in (*grad_input, *grad_output) if g is not None]
            statistics[name] = [float(g.abs().mean()) for g in seen]

        return forward, backward

    handles = []
    for name, module in net.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            forward, backward = keep(name)
            handles.append(module.register_forward_hook(forward))
            handles.append(module.register_full_backward_hook(backward))
    scores = net(x.requires_grad_())
    scores[:, 0].sum().backward()
    weights = kept["1.0.grad"].mean(dim=(2, 3), keepdim=True)
    cam = F.relu((weights * kept["1.0"]).sum(dim=1))
    history = [*cam.flatten()[:4].tolist(), *(v for name in statistics for v in statistics[name])]
    for handle in handles:
        handle.remove()

    scale = net[4].register_forward_pre_hook(lambda module, args: (args[0] * 0.5,))
    clip = net[4].register_full_backward_pre_hook(lambda module, g: (g[0].clamp(-0.05, 0.05),))
    average = copy.deepcopy(net)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    saved = []
    for _ in range(4):
        optimizer.zero_grad(set_to_none=False)
        loss = F.cross_entropy(net(x.detach()), y)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for mean, now in zip(average.parameters(), net.parameters(), strict=True):
                mean.lerp_(now, 0.2)
        saved.append(copy.deepcopy(net.state_dict()))
        history.append(loss.item())
    scale.remove()
    clip.remove()

    models = [copy.deepcopy(net) for _ in range(3)]
    for model, state in zip(models, saved[1:], strict=True):
        keys = model.load_state_dict(
            {k: v for k, v in state.items() if k != "4.bias"}, strict=False
        )
        assert keys.missing_keys == ["4.bias"]
    parameters, _ = torch.func.stack_module_state(models)
    members = [{k: v[i] for k, v in parameters.items()} for i in range(3)]
    votes = torch.stack([torch.func.functional_call(net, m, (x,)) for m in members])
    history += [votes.std(0).sum().item(), *votes.mean(0)[0].tolist()]
    wrapped = nn.DataParallel(average).eval()
    wrapped.load_state_dict({f"module.{k}": v for k, v in average.state_dict().items()})
    return history + wrapped(x)[0].tolist()


def reparametrized(torch):
    """A residual network of orthogonal and weight-normalised layers, a low-rank adapter as a
    parametrization, and a checkpoint of the old form loaded into the new one."""
    nn, F, parametrize = torch.nn, torch.nn.functional, torch.nn.utils.parametrize

    class LowRank(nn.Module):
        def __init__(self, rows, columns, rank):
            super().__init__()
            self.down = nn.Parameter(torch.tensor(numbers(11, rank, columns) * 0.1))
            self.up = nn.Parameter(torch.zeros(rows, rank))

        def forward(self, weight):
            return weight + self.up @ self.down

    class Block(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.turn = nn.Linear(width, width)
            self.out = nn.Linear(width, width)

        def forward(self, x):
            return x + self.out(torch.tanh(self.turn(x)))

    net = start(torch, nn.Sequential(nn.Linear(4, 8), Block(8), Block(8), nn.Linear(8, 1)), 12)
    for block in net[1:3]:
        torch.nn.utils.parametrizations.orthogonal(block.turn, orthogonal_map="cayley")
        torch.nn.utils.parametrizations.weight_norm(block.out)
    x = torch.tensor(numbers(13, 20, 4))
    y = (x[:, :1] * x[:, 1:2]).sin()

    def train(parameters, steps):
        optimizer = torch.optim.Adam(parameters, lr=0.02)
        losses = []
        for _ in range(steps):
            optimizer.zero_grad()
            with parametrize.cached():
                loss = F.mse_loss(net(x), y) + 1e-3 * net[1].out.weight.square().sum()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    history = train(net.parameters(), 5)
    weight = net[1].turn.weight
    history.append(float((weight @ weight.T - torch.eye(8)).abs().max() < 1e-10))
    net.requires_grad_(False)
    parametrize.register_parametrization(net[3], "weight", LowRank(1, 8, 2))
    adapter = [p for p in net.parameters() if p.requires_grad]
    history += [len(adapter), *train(adapter, 4)]
    parametrize.remove_parametrizations(net[3], "weight")
    old = start(torch, nn.Linear(8, 8), 14)
    lengths, directions = (
        getattr(net[2].out.parametrizations.weight, f"original{i}") for i in (0, 1)
    )
    state = {"weight_g": lengths, "weight_v": directions}
    torch.nn.utils.parametrizations.weight_norm(old)
    old.load_state_dict({**state, "bias": net[2].out.bias})
    return [*history, (old(x.repeat(1, 2)) - net[2].out(x.repeat(1, 2))).abs().max().item(),
            *net(x)[:3, 0].tolist()]  # fmt: skip


PROGRAMS = [adversarial, pruned, watched, reparametrized]
