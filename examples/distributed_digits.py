"""A network reads digits, trained by several processes: each has a share of every batch.

Run it: tapegrad launch -n 2 examples/distributed_digits.py (needs pip install "tapegrad[mpi]")
"""

import argparse

import tapegrad as tg
import tapegrad.distributed as dist
from tapegrad import nn

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--tiny", action="store_true", help="two epochs, to see that it runs")
options = parser.parse_args()

dist.init_process_group()
rank, ranks = dist.get_rank(), dist.get_world_size()

images, labels = tg.data.digits()
training = tg.data.TensorDataset(images[:1497], labels[:1497])
sampler = tg.data.DistributedSampler(training)  # another share on each rank
batches = tg.data.DataLoader(training, 64 // ranks, sampler=sampler)

tg.manual_seed(0)
model = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1),  # (N, 16, 8, 8)
    nn.BatchNorm2d(16),
    nn.ReLU(),
    nn.MaxPool2d(2),  # (N, 16, 4, 4)
    nn.Flatten(),
    nn.Linear(256, 10),  # a score for each digit
)
model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # means of all ranks' images
model = nn.parallel.DistributedDataParallel(model)  # averages gradients over the ranks
optimizer = tg.optim.AdamW(model.parameters(), lr=0.003)

for epoch in range(2 if options.tiny else 15):
    sampler.set_epoch(epoch)  # a new order
    for x, y in batches:
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    mean = loss.detach().clone()
    dist.all_reduce(mean, dist.ReduceOp.AVG)
    if rank == 0:
        print(f"epoch {epoch + 1:2}: loss {mean.item():.3f} on {ranks} ranks")

model.eval()
with tg.no_grad():  # each rank reads a share of those that played no part
    own = slice(1497 + rank, None, ranks)
    right = (model(images[own]).argmax(1) == labels[own]).sum()
dist.all_reduce(right)
if rank == 0:
    print(f"{right.item() / 300:.1%} of 300 digits that played no part are read correctly")
dist.destroy_process_group()
