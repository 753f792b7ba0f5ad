"""A network learns to solve the heat equation, without data. Run it: python examples/heat.py

A rod of length 1 whose ends are kept at 0 begins with the temperature sin(pi x) and cools down by
u_t = 0.1 u_xx. The network is a function u(t, x); what it gets wrong is measured by its own
derivatives, which the tape takes twice, and which are differentiated once more for the training.
"""

import argparse
import math

import tapegrad as tg
from tapegrad import nn

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--tiny", action="store_true", help="20 steps, to see that it runs")
options = parser.parse_args()
STEPS = 20 if options.tiny else 1000

tg.manual_seed(0)

network = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))
optimizer = tg.optim.Adam(network.parameters(), lr=0.005)
schedule = tg.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=STEPS)


def temperature(t, x):
    """The network, in a form that is right at the ends and at the beginning whatever it says."""
    return tg.sin(math.pi * x) + t * x * (1 - x) * network(tg.cat([t, x], dim=1))


def derivative(y, x):
    """dy/dx, itself differentiable."""
    return tg.autograd.grad(y.sum(), x, create_graph=True)[0]


for step in range(1, STEPS + 1):
    t = tg.rand(128, 1, requires_grad=True)
    x = tg.rand(128, 1, requires_grad=True)
    u = temperature(t, x)
    residual = derivative(u, t) - 0.1 * derivative(derivative(u, x), x)
    loss = residual.square().mean()  # 0 where the equation holds
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
    if step % 200 == 0 or step == STEPS:
        print(f"step {step:4}: the equation is missed by {loss.sqrt().item():.4f}")

with tg.no_grad():
    t, x = tg.cartesian_prod(tg.linspace(0, 1, 21), tg.linspace(0, 1, 21)).split(1, dim=1)
    exact = tg.exp(-0.1 * math.pi**2 * t) * tg.sin(math.pi * x)
    print(
        f"The temperature is wrong by {(temperature(t, x) - exact).abs().max().item():.4f} at most."
    )
