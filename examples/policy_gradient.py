"""A cart learns to balance a pole by trial (REINFORCE, Williams 1992, with a learned baseline).

    pip install "tapegrad[examples]" && python examples/policy_gradient.py

The world is gymnasium's CartPole-v1: 500 steps without a fall are all there is to win.
Score: 500.0; the same network in PyTorch 500.0, with the same random numbers
(tools/with_pytorch.py, PyTorch 2.13.0, 2026-11-29).
"""

import argparse

import gymnasium
import numpy as np

import tapegrad as tg
import tapegrad.nn.functional as F
from tapegrad import nn
from tapegrad.distributions import Categorical

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--tiny", action="store_true", help="ten rounds, to see that it runs")
options = parser.parse_args()
ROUNDS, WORLDS, DISCOUNT = (10 if options.tiny else 100), 8, 0.99


class Actor(nn.Module):
    """What to do, and how much is to be expected."""

    def __init__(self):
        super().__init__()
        self.see = nn.Sequential(nn.Linear(4, 64), nn.Tanh())
        self.act, self.expect = nn.Linear(64, 2), nn.Linear(64, 1)

    def forward(self, x):
        h = self.see(x)
        return Categorical(logits=self.act(h)), self.expect(h).squeeze(-1)


def play(model, seed, best=False):
    """One life: what was seen, done and gained."""
    seen, done, gained = [], [], []
    state, _ = world.reset(seed=seed)
    over = False
    while not over:
        with tg.no_grad():
            choice, _ = model(tg.from_numpy(state))
            action = choice.logits.argmax() if best else choice.sample()
        seen.append(state)
        done.append(action.item())
        state, reward, fell, late, _ = world.step(done[-1])
        gained.append(reward)
        over = fell or late
    return seen, done, gained


def returns(gained):
    """What follows each step, the later the less."""
    total, result = 0.0, []
    for reward in reversed(gained):
        total = reward + DISCOUNT * total
        result.append(total)
    return result[::-1]


tg.manual_seed(0)
world = gymnasium.make("CartPole-v1")
model = Actor()
optimizer = tg.optim.Adam(model.parameters(), lr=5e-3)
for number in range(1, ROUNDS + 1):
    lives = [play(model, WORLDS * number + i) for i in range(WORLDS)]
    seen = tg.from_numpy(np.concatenate([s for s, _, _ in lives]).reshape(-1, 4))
    done = tg.tensor([action for _, actions, _ in lives for action in actions])
    followed = tg.tensor([r for _, _, gained in lives for r in returns(gained)])
    choice, expected = model(seen)
    better = followed - expected.detach()
    better = (better - better.mean()) / (better.std() + 1e-6)
    loss = -(choice.log_prob(done) * better).mean()
    loss = loss + 0.01 * F.smooth_l1_loss(expected, followed) - 0.01 * choice.entropy().mean()
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    if number % (ROUNDS // 5) == 0:
        print(f"round {number:3}: {len(seen) / WORLDS:.0f} steps on average")

lengths = [len(play(model, 1_000_000 + seed, best=True)[0]) for seed in range(20)]
print(f"score: {sum(lengths) / len(lengths):.1f} steps of 500, over {len(lengths)} new beginnings")
print("in PyTorch, at full length: 500.0")
