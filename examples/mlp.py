"""A network of two layers learns to read handwritten digits. Run it: python examples/mlp.py"""

import argparse

import tapegrad as tg
from tapegrad import nn

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--tiny", action="store_true", help="one epoch, to see that it runs")
options = parser.parse_args()
EPOCHS = 1 if options.tiny else 10

tg.manual_seed(0)

# 1,797 pictures of 8 by 8 pixels, and the digit each one shows.
images, labels = tg.data.digits()
digits = tg.data.TensorDataset(images, labels)
training, validation = tg.data.random_split(digits, [1437, 360])

# 64 pixels go in, 128 numbers in between, and out comes a score for each of the ten digits.
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
optimizer = tg.optim.Adam(model.parameters(), lr=0.003)


def accuracy(dataset):
    """The share of digits whose highest score is the right one."""
    with tg.no_grad():
        [(x, y)] = tg.data.DataLoader(dataset, batch_size=len(dataset))
        return (model(x).argmax(1) == y).float().mean().item()


for epoch in range(1, EPOCHS + 1):
    for x, y in tg.data.DataLoader(training, batch_size=32, shuffle=True):
        loss = nn.functional.cross_entropy(model(x), y)  # how wrong the scores are
        optimizer.zero_grad()
        loss.backward()  # which way each weight should move
        optimizer.step()  # and move it a little
    print(f"epoch {epoch:2}: {accuracy(validation):.1%} of the unseen digits are read correctly")
