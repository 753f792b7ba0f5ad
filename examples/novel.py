"""A language model reads Moby-Dick and writes on: letter by letter, or in pieces of words.

    python examples/novel.py                    # letters, an LSTM
    python examples/novel.py --pieces 500       # pieces by byte-pair encoding, a transformer

Pieces are learned here, by Sennrich et al. 2016: the two neighbours that occur most often become
one, 500 times. Both are judged by bits a letter, so they compare.
Score: 2.940 by letters, 2.594 by 500 pieces; the same networks in PyTorch 2.943 and 2.594, with the
same random numbers (tools/with_pytorch.py, PyTorch 2.13.0, 2026-11-29).
"""

import argparse
import math
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import tapegrad as tg
import tapegrad.nn.functional as F
from tapegrad import nn

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--pieces", type=int, default=0, help="how often neighbours are joined")
parser.add_argument("--tiny", action="store_true", help="20 steps, to see that it runs")
options = parser.parse_args()
STEPS, BATCH, CONTEXT, WIDTH = (20 if options.tiny else 600), 32, 64, 128

text = (Path(__file__).parent / "data" / "moby-dick.txt").read_text(encoding="utf-8")
text = text[:20_000] if options.tiny else text


def learn_pieces(text, joins):
    """The joins, in order: pairs of pieces."""
    words = Counter(re.findall(r"\s*\S+|\s+$", text))
    spelled = {word: list(word) for word in words}
    joined = []
    for _ in range(joins):
        pairs = Counter()
        for word, pieces in spelled.items():
            for pair in pairwise(pieces):
                pairs[pair] += words[word]
        if not pairs:
            break
        joined.append(pairs.most_common(1)[0][0])
        for word in spelled:
            spelled[word] = join(spelled[word], joined[-1])
    return joined, {word: tuple(pieces) for word, pieces in spelled.items()}


def join(pieces, pair):
    """The pieces, with every occurrence of the pair as one."""
    result = []
    for piece in pieces:
        if result and (result[-1], piece) == pair:
            result[-1] += piece
        else:
            result.append(piece)
    return result


if options.pieces:
    _, spelled = learn_pieces(text, options.pieces)
    pieces = [piece for word in re.findall(r"\s*\S+|\s+$", text) for piece in spelled[word]]
else:
    pieces = list(text)
known = sorted(set(pieces))
number = {piece: i for i, piece in enumerate(known)}
tokens = tg.tensor([number[piece] for piece in pieces])
cut = len(tokens) * 9 // 10
training, test = tokens[:cut], tokens[cut:]


class Letters(nn.Module):
    """An LSTM of two layers."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(len(known), WIDTH)
        self.lstm = nn.LSTM(WIDTH, WIDTH, num_layers=2, batch_first=True, dropout=0.1)
        self.out = nn.Linear(WIDTH, len(known))

    def forward(self, tokens):
        return self.out(self.lstm(self.table(tokens))[0])


class Pieces(nn.Module):
    """A transformer of two layers that sees what came before."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(len(known), WIDTH)
        self.place = nn.Embedding(CONTEXT, WIDTH)
        layer = nn.TransformerEncoderLayer(
            WIDTH, 4, 4 * WIDTH, 0.1, "gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.out = nn.Linear(WIDTH, len(known))

    def forward(self, tokens):
        length = tokens.shape[1]
        hidden = tg.full((length, length), float("-inf")).triu(1)
        x = self.table(tokens) + self.place(tg.arange(length))
        return self.out(self.layers(x, mask=hidden))


def windows(tokens, starts):
    """(n, context) and the same one later."""
    places = starts.unsqueeze(1) + tg.arange(CONTEXT)
    return tokens[places], tokens[places + 1]


def nats(model, x, y):
    return F.cross_entropy(model(x).flatten(0, 1), y.flatten())


@tg.no_grad()
def bits_a_letter():
    """The surprise at what was never read: the windows of the rest, side by side."""
    model.eval()
    starts = tg.arange(0, len(test) - CONTEXT - 1, CONTEXT)
    total = sum(nats(model, *windows(test, part)).item() * len(part) for part in starts.split(32))
    letters = sum(len(known[i]) for i in test.tolist()) / len(test)
    return total / len(starts) / letters / math.log(2)


@tg.no_grad()
def write(beginning, length):
    model.eval()
    written = [number[piece] for piece in beginning]
    for _ in range(length):
        scores = model(tg.tensor([written[-CONTEXT:]]))[0, -1]
        written.append(tg.multinomial(F.softmax(scores / 0.7, dim=-1), 1).item())
    return "".join(known[i] for i in written)


tg.manual_seed(0)
model = Pieces() if options.pieces else Letters()
optimizer = tg.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
schedule = tg.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
for step in range(1, STEPS + 1):
    model.train()
    loss = nats(model, *windows(training, tg.randint(0, len(training) - CONTEXT - 1, (BATCH,))))
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    schedule.step()
    if step % (STEPS // 4) == 0:
        print(f"step {step:4}: {loss.item():.3f} nats a piece, of {len(known)}")

print(write(pieces[:20], 50 if options.tiny else 300))
print(f"score: {bits_a_letter():.3f} bits a letter of what was never read")
print(f"in PyTorch, at full length: {2.594 if options.pieces else 2.943}")
