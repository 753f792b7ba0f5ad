"""A network reads digits, trained by ranks on a cluster of Ray, which replaces those that are lost.

Run it: python examples/distributed_ray.py (needs pip install "tapegrad[ray]"), on one machine or,
with a folder that all of them see, on a cluster. Kill one of the processes ray::Rank meanwhile.
"""

import argparse
import tempfile

import tapegrad as tg
import tapegrad.distributed as dist
from tapegrad import nn

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("folder", nargs="?", help="where it is saved, and goes on (none: a new one)")
parser.add_argument("--ranks", type=int, default=2, help="at most (2)")
parser.add_argument("--tiny", action="store_true", help="two epochs, to see that it runs")
options = parser.parse_args()


def train(folder: str, epochs: int) -> tuple[int, float]:
    """What each rank does: from the beginning, or from what an earlier one has saved."""
    dist.init_process_group()
    rank, ranks = dist.get_rank(), dist.get_world_size()
    tg.manual_seed(rank)
    images, labels = tg.data.digits()
    training = tg.data.TensorDataset(images[:1497], labels[:1497])
    sampler = tg.data.DistributedSampler(training)  # another share on each rank
    batches = tg.data.DataLoader(training, 64 // ranks, sampler=sampler)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),  # (N, 16, 8, 8)
        nn.ReLU(),
        nn.MaxPool2d(2),  # (N, 16, 4, 4)
        nn.Flatten(),
        nn.Linear(256, 10),  # a score for each digit
    )
    model = nn.parallel.DistributedDataParallel(model)  # averages gradients over the ranks
    trainer = tg.train.Trainer(
        model,
        nn.CrossEntropyLoss(),
        tg.optim.AdamW(model.parameters(), lr=0.003),
        metrics={"accuracy": tg.metrics.Accuracy()},
        checkpoints=tg.checkpoint.Checkpoints(folder, keep_last=2),
        save_every=10,  # steps: what is lost with a rank, at most
        progress=False,
    )
    trainer.fit(batches, epochs=epochs, resume=True)
    own = slice(1497 + rank, None, ranks)  # a share of those that played no part
    unseen = tg.data.DataLoader(tg.data.TensorDataset(images[own], labels[own]), 300)
    return ranks, trainer.evaluate(unseen)["accuracy"]


with tempfile.TemporaryDirectory() as new:
    arguments = options.folder or new, 2 if options.tiny else 15
    ranks, right = tg.train.ray.run(train, arguments, ranks=(1, options.ranks))[0]
print(f"{right:.1%} of 300 digits that played no part are read correctly, says one of {ranks}")
