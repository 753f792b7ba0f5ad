"""A cart learns to balance a pole from memories (double deep Q-learning, Mnih et al. 2015, van
Hasselt et al. 2016).

    pip install "tapegrad[examples]" && python examples/dqn.py

The world is gymnasium's CartPole-v1: 500 steps without a fall are all there is to win.
Score: 500.0; the same network in PyTorch 500.0, with the same random numbers
(tools/with_pytorch.py, PyTorch 2.13.0, 2026-11-29).
"""

import argparse
import copy
import random
from collections import deque

import gymnasium
import numpy as np

import tapegrad as tg
import tapegrad.nn.functional as F
from tapegrad import nn

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--tiny", action="store_true", help="500 steps, to see that it runs")
options = parser.parse_args()
STEPS, START, BATCH, DISCOUNT = (500 if options.tiny else 30_000), 200, 64, 0.99

tg.manual_seed(0)
chance = random.Random(0)
model = nn.Sequential(
    nn.Linear(4, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 2)
)
target = copy.deepcopy(model)  # lags behind, so that the aim stands still for a while
optimizer = tg.optim.AdamW(model.parameters(), lr=5e-4)
memory = deque(maxlen=20_000)


@tg.no_grad()
def best(state):
    return model(tg.from_numpy(state)).argmax().item()


def learn():
    seen, done, gained, then, fell = map(np.stack, zip(*chance.sample(memory, BATCH), strict=True))
    seen, then = tg.from_numpy(seen), tg.from_numpy(then)
    with tg.no_grad():
        chosen = model(then).argmax(1, keepdim=True)
        future = target(then).gather(1, chosen).squeeze(1) * tg.from_numpy(1 - fell)
    worth = model(seen).gather(1, tg.from_numpy(done)[:, None]).squeeze(1)
    loss = F.smooth_l1_loss(worth, tg.from_numpy(gained) + DISCOUNT * future)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 10.0)
    optimizer.step()


def judge(count):
    """The mean length of lives from beginnings that training never sees."""
    lengths = []
    for seed in range(count):
        state, _ = judged.reset(seed=1_000_000 + seed)
        length, over = 0, False
        while not over:
            state, _, fell, late, _ = judged.step(best(state))
            length, over = length + 1, fell or late
        lengths.append(length)
    return sum(lengths) / count


world, judged = gymnasium.make("CartPole-v1"), gymnasium.make("CartPole-v1")
state, _ = world.reset(seed=0)
kept = (0.0, model.state_dict())
for step in range(1, STEPS + 1):
    curious = max(0.05, 1 - step / (STEPS / 6))
    action = chance.randrange(2) if chance.random() < curious else best(state)
    after, reward, fell, late, _ = world.step(action)
    memory.append((state, action, np.float32(reward), after, np.float32(fell)))
    state = after if not (fell or late) else world.reset()[0]
    if step > START:
        learn()
        with tg.no_grad():
            for slow, fast in zip(target.parameters(), model.parameters(), strict=True):
                slow.lerp_(fast, 0.01)
    if step % (STEPS // 10) == 0:
        length = judge(5)
        if length >= kept[0]:
            kept = (length, copy.deepcopy(model.state_dict()))
        print(f"step {step:5}: {length:.0f} steps on average")

model.load_state_dict(kept[1])
print(f"score: {judge(20):.1f} steps of 500, over 20 new beginnings")
print("in PyTorch, at full length: 500.0")
