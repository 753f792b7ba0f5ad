"""A network learns with a CUDA kernel of its own. Run it: python examples/own_kernel.py

The kernel and that of its gradient are in own_kernel.cu; without a GPU they run on the emulated
device. At the end they are checked: values, gradients, races, memory out of bounds, and whether
anybody would notice if a bound were missing (tapegrad check examples/own_kernel.py does the same).
"""

import argparse

import tapegrad as tg
from tapegrad import nn


@tg.kernel("own_kernel.cu", "a[*n], b[*n] -> y[*n]", gradient="backward")
def swiglu(a, b):
    return a * b * a.sigmoid()


class Gated(nn.Module):
    """A feed-forward network whose hidden units are gates times values."""

    def __init__(self, width):
        super().__init__()
        self.gate, self.value = nn.Linear(1, width), nn.Linear(1, width)
        self.out = nn.Linear(width, 1)

    def forward(self, x):
        return self.out(swiglu(self.gate(x), self.value(x)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tiny", action="store_true", help="20 steps, and a short check")
    options = parser.parse_args()

    tg.manual_seed(0)
    device = "cuda" if tg.cuda.is_available() else "emulated"
    x = tg.linspace(-3, 3, 64, device=device)[:, None]
    network = Gated(16).to(device)
    optimizer = tg.optim.Adam(network.parameters(), lr=0.02)
    for step in range(1, (20 if options.tiny else 300) + 1):
        optimizer.zero_grad()
        loss = (network(x) - tg.sin(2 * x)).square().mean()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            print(f"step {step:3}: off by {loss.item():.4f}")

    few = {"n": (0, 1, 33, 257)} if options.tiny else None
    print(tg.kernel.check(swiglu, sizes=few, mutate=not options.tiny))


if __name__ == "__main__":
    main()
