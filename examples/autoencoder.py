"""Learning without labels: an autoencoder restores noisy digits (Vincent et al. 2008), and what it
has seen helps a classifier that is given few labels.

    python examples/autoencoder.py

Score: 0.8177; the same network in PyTorch 0.8171, with the same random numbers
(tools/with_pytorch.py, PyTorch 2.13.0, 2026-11-29).
"""

import argparse

import tapegrad as tg
import tapegrad.nn.functional as F
from tapegrad import nn

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--tiny", action="store_true", help="few epochs, to see that it runs")
options = parser.parse_args()
EPOCHS, FINE_EPOCHS, LABELS = (2, 5, 5) if options.tiny else (60, 60, 5)


def encoder():
    return nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 64), nn.ReLU())


def train(parameters, epochs, count, loss_of, lr=2e-3):
    optimizer = tg.optim.Adam(parameters, lr=lr)
    for _ in range(epochs):
        for i in tg.randperm(count).split(64):
            loss = loss_of(i)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


tg.manual_seed(0)
images, labels = tg.data.digits()
images = images.flatten(1)
training, test = images[:1400], images[1400:]

pretrained, decoder = encoder(), nn.Linear(64, 64)


def restoring(i):
    x = training[i]
    noisy = x * (tg.rand_like(x) > 0.3)  # a third of the pixels is lost
    return F.mse_loss(decoder(pretrained(noisy)), x)


train([*pretrained.parameters(), *decoder.parameters()], EPOCHS, len(training), restoring)
with tg.no_grad():
    error = F.mse_loss(decoder(pretrained(test)), test).item()
print(f"unseen digits are restored to a mean squared error of {error:.4f}")

scores = {"from nothing": [], "pretrained": []}
for seed in range(2 if options.tiny else 8):
    tg.manual_seed(seed)
    order = tg.randperm(len(training))
    few = tg.cat([order[labels[order] == digit][:LABELS] for digit in range(10)])
    for way in scores:
        model, x, y = nn.Sequential(encoder(), nn.Linear(64, 10)), training[few], labels[few]
        if way == "pretrained":
            model[0].load_state_dict(pretrained.state_dict())

        def reading(i, model=model, x=x, y=y):
            return F.cross_entropy(model(x[i]), y[i])

        train(model.parameters(), FINE_EPOCHS, len(few), reading)
        with tg.no_grad():
            scores[way].append((model(test).argmax(1) == labels[1400:]).float().mean().item())
for way, found in scores.items():
    print(f"{LABELS} labels of each digit, {way}: {sum(found) / len(found):.1%}")
score = sum(scores["pretrained"]) / len(scores["pretrained"])
print(f"score: {score:.4f} of the unseen digits are read right after pre-training")
print("in PyTorch, at full length: 0.8171")
