"""Learning with distributions: generative models, policies, variational and Bayesian inference.

Draws are quantiles of given uniform numbers, or looked up in given tables, so that every library
has the same.
"""

import numpy as np

from scripts import numbers, start


def levels(seed, *shape):
    """Uniform numbers, the same for every library."""
    return np.random.default_rng(seed).uniform(0.02, 0.98, shape)


def variational_autoencoder(torch):
    """Independent normal posteriors, a Bernoulli likelihood, and the divergence in closed form."""
    nn, D = torch.nn, torch.distributions

    class VAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, 6))
            self.decoder = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 12))

        def posterior(self, x):
            loc, raw = self.encoder(x).chunk(2, dim=-1)
            return D.Independent(D.Normal(loc, nn.functional.softplus(raw) + 1e-3), 1)

        def likelihood(self, z):
            return D.Independent(D.Bernoulli(logits=self.decoder(z)), 1)

    model = start(torch, VAE())
    prior = D.Independent(D.Normal(torch.zeros(3), torch.ones(3)), 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    images = (torch.tensor(numbers(0, 32, 12)) > 0).double()
    history = []
    for step in range(12):
        batch = images[(step % 2) * 16 : (step % 2) * 16 + 16]
        q = model.posterior(batch)
        z = q.base_dist.icdf(torch.tensor(levels(step, 16, 3)))
        divergence = D.kl_divergence(q, prior)
        elbo = model.likelihood(z).log_prob(batch) - divergence
        optimizer.zero_grad()
        (-elbo.mean()).backward()
        optimizer.step()
        estimate = q.log_prob(z) - prior.log_prob(z)
        history += [elbo.mean().item(), divergence.sum().item(), estimate.mean().item()]
    with torch.no_grad():
        q = model.posterior(images)
        history += [q.entropy().mean().item(), *q.mean[0].tolist(), *q.stddev[0].tolist()]
        history += model.likelihood(q.mean).mean[3].tolist()
    return history


def reinforce(torch):
    """A policy gradient with a baseline, entropy and a penalty for leaving the old policy."""
    nn, D = torch.nn, torch.distributions
    policy = start(torch, nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 3)))
    spread = nn.Parameter(torch.zeros(2))
    steer = start(torch, nn.Linear(4, 2), 1)
    parameters = [*policy.parameters(), *steer.parameters(), spread]
    optimizer = torch.optim.SGD(parameters, lr=0.05, momentum=0.9)
    table = np.random.default_rng(3).integers(0, 3, (10, 20))
    history, baseline = [], 0.0
    for episode in range(10):
        states = torch.tensor(numbers([4, episode], 20, 4))
        actions = torch.tensor(table[episode])
        chosen = D.Categorical(logits=policy(states))
        move = D.MultivariateNormal(steer(states), scale_tril=torch.diag_embed(spread.exp()))
        moves = move.mean.detach() + torch.tensor(numbers([5, episode], 20, 2)) * 0.5
        reward = (actions == states[:, :3].argmax(-1)).double() - moves.square().sum(-1)
        old = D.Categorical(logits=chosen.logits.detach())
        advantage = reward - baseline
        baseline = 0.9 * baseline + 0.1 * reward.mean().item()
        log_prob = chosen.log_prob(actions) + move.log_prob(moves)
        loss = -(log_prob * advantage).mean() - 0.01 * chosen.entropy().mean()
        loss = loss + 0.1 * D.kl_divergence(old, chosen).mean() - 0.001 * move.entropy().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history += [loss.item(), reward.mean().item(), chosen.perplexity().mean().item()]
    return [*history, *spread.tolist(), *policy[2].bias.tolist()]


def gamma_regression(torch):
    """Maximum likelihood of waiting times and counts under constraints, by transform_to; the
    posterior of a conjugate model; goodness of fit by distribution functions."""
    D = torch.distributions
    constraints = D.constraints
    x = torch.tensor(numbers(6, 40))
    times = torch.tensor(np.random.default_rng(7).gamma(2.0, 1.5, 40) + 0.1)
    counts = torch.tensor(np.random.default_rng(8).poisson(3.0, 40).astype(np.float64))
    shares = torch.tensor(np.random.default_rng(9).dirichlet([2.0, 1.0, 4.0], 40))
    raw = {
        "concentration": torch.zeros((), requires_grad=True),
        "slope": torch.zeros(2, requires_grad=True),
        "overdispersion": torch.zeros((), requires_grad=True),
        "shares": torch.zeros(3, requires_grad=True),
        "weights": torch.zeros(2, requires_grad=True),
    }
    positive = D.transform_to(constraints.positive)
    simplex = D.biject_to(constraints.simplex)
    optimizer = torch.optim.Adam(raw.values(), lr=0.1)
    history = []
    for _ in range(15):
        concentration = positive(raw["concentration"])
        rate = positive(raw["slope"][0] + raw["slope"][1] * x)
        weights = simplex(raw["weights"])
        likelihoods = (
            D.Gamma(concentration, rate).log_prob(times),
            D.NegativeBinomial(positive(raw["overdispersion"]), logits=raw["slope"][0]).log_prob(
                counts
            ),
            D.Dirichlet(positive(raw["shares"]) * 3).log_prob(shares),
            D.MixtureSameFamily(
                D.Categorical(weights), D.LogNormal(torch.tensor([0.0, 1.0, 2.0]), 0.7)
            ).log_prob(times),
        )
        prior = (
            D.HalfCauchy(2.0).log_prob(concentration)
            + D.Laplace(0.0, 1.0).log_prob(raw["slope"]).sum()
        )
        prior = prior + D.Dirichlet(torch.ones(3) * 2).log_prob(weights)
        prior = prior + simplex.log_abs_det_jacobian(raw["weights"], weights)
        loss = -sum(term.sum() for term in likelihoods) - prior
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history += [loss.item(), concentration.item(), *weights.tolist()]
    posterior = D.Gamma(2.0 + counts.sum(), torch.tensor(1.0 + 40))
    history += [posterior.mean.item(), posterior.variance.item(), posterior.entropy().item()]
    fit = D.Weibull(torch.tensor(3.0), torch.tensor(1.5))
    history += fit.cdf(times[:5]).tolist() + fit.icdf(torch.tensor([0.1, 0.5, 0.9])).tolist()
    return history


def normalizing_flow(torch):
    """A learned chain of transforms of a normal base: densities by the change of variables."""
    nn, D = torch.nn, torch.distributions

    class Coupling(D.transforms.Transform):
        """The second half of a vector, scaled and shifted by functions of the first."""

        domain = codomain = D.constraints.real_vector
        bijective = True

        def __init__(self, net, flip):
            super().__init__()
            self.net, self.flip = net, flip

        def parts(self, x):
            first, second = x.chunk(2, -1)
            return (second, first) if self.flip else (first, second)

        def joined(self, first, second):
            return torch.cat([second, first] if self.flip else [first, second], -1)

        def _call(self, x):
            first, second = self.parts(x)
            scale, shift = self.net(first).chunk(2, -1)
            return self.joined(first, second * scale.tanh().exp() + shift)

        def _inverse(self, y):
            first, second = self.parts(y)
            scale, shift = self.net(first).chunk(2, -1)
            return self.joined(first, (second - shift) * (-scale.tanh()).exp())

        def log_abs_det_jacobian(self, x, y):
            first, _ = self.parts(x)
            return self.net(first).chunk(2, -1)[0].tanh().sum(-1)

    nets = nn.ModuleList(
        nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 2)) for _ in range(4)
    )
    start(torch, nets)
    loc = nn.Parameter(torch.zeros(2))
    log_scale = nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.Adam([*nets.parameters(), loc, log_scale], lr=0.02)
    angle = levels(11, 64) * 3
    points = np.stack([np.cos(angle), np.sin(angle)], -1) + 0.1 * numbers(12, 64, 2)
    data = torch.tensor(points)
    base = D.Independent(D.Normal(torch.zeros(2), torch.ones(2)), 1)
    history = []
    for _ in range(10):
        chain = [Coupling(net, bool(i % 2)) for i, net in enumerate(nets)]
        chain.append(D.AffineTransform(loc, log_scale.exp(), event_dim=1))
        flow = D.TransformedDistribution(base, chain)
        loss = -flow.log_prob(data).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    whole = D.ComposeTransform(flow.transforms)
    z = whole.inv(data)
    back = whole(z)
    return [*history, *z[0].tolist(), (back - data).abs().max().item(), *loc.tolist()]


PROGRAMS = [variational_autoencoder, reinforce, gamma_regression, normalizing_flow]
