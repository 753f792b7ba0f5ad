"""English to French: a recurrent network reads, another one writes and looks back (attention).

    python examples/translation.py

Bahdanau et al. 2014, on 8,366 short sentences of tatoeba.org (examples/data/README.md).
Score: 41.2; the same network in PyTorch 41.5, with the same random numbers (tools/with_pytorch.py,
PyTorch 2.13.0, 2026-11-29).
"""

import argparse
import random
import re
from pathlib import Path

import tapegrad as tg
import tapegrad.nn.functional as F
from tapegrad import nn

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--tiny", action="store_true", help="400 sentences, to see that it runs")
options = parser.parse_args()
EPOCHS, WIDTH, BATCH = (1 if options.tiny else 12), (32 if options.tiny else 128), 64
PAD, BEGIN, END, OTHER = range(4)


def words(sentence):
    return re.findall(r"\w+|[^\w\s]", sentence.lower())


lines = (Path(__file__).parent / "data" / "english-french.tsv").read_text(encoding="utf-8")
pairs = [[words(text) for text in line.split("\t")[:2]] for line in lines.splitlines()]
random.Random(0).shuffle(pairs)
pairs = pairs[:400] if options.tiny else pairs
test, training = pairs[: len(pairs) // 20], pairs[len(pairs) // 20 :]


def vocabulary(sentences):
    return ["<pad>", "<begin>", "<end>", "<other>", *sorted({w for s in sentences for w in s})]


english, french = (vocabulary(side) for side in zip(*training, strict=True))
numbers = [{word: i for i, word in enumerate(language)} for language in (english, french)]


def batch(sentences, side):
    """(n, longest + 2): what a sentence's words are called, between BEGIN and END."""
    rows = [[BEGIN, *(numbers[side].get(w, OTHER) for w in s), END] for s in sentences]
    longest = max(map(len, rows))
    return tg.tensor([row + [PAD] * (longest - len(row)) for row in rows])


class Translator(nn.Module):
    def __init__(self):
        super().__init__()
        self.english = nn.Embedding(len(english), WIDTH, padding_idx=PAD)
        self.french = nn.Embedding(len(french), WIDTH, padding_idx=PAD)
        self.read = nn.GRU(WIDTH, WIDTH, batch_first=True, bidirectional=True)
        self.write = nn.GRU(WIDTH, WIDTH, batch_first=True)
        self.start = nn.Linear(2 * WIDTH, WIDTH)
        self.keys = nn.Linear(2 * WIDTH, WIDTH)
        self.out = nn.Linear(3 * WIDTH, len(french))

    def reading(self, source):
        """What was read, (n, length, 2 * width), its keys, and the writer's first state."""
        read, last = self.read(F.dropout(self.english(source), 0.2, self.training))
        start = tg.tanh(self.start(tg.cat([last[0], last[1]], dim=-1)))
        return read, self.keys(read), start.unsqueeze(0)

    def scores(self, source, reading, state, target):
        """The scores of the word after each of the target's, and the writer's state."""
        read, keys, _ = reading
        written, state = self.write(F.dropout(self.french(target), 0.2, self.training), state)
        fits = written @ keys.transpose(1, 2) / WIDTH**0.5  # (n, target, source)
        fits = fits.masked_fill((source == PAD).unsqueeze(1), -1e9)
        seen = F.softmax(fits, dim=-1) @ read
        return self.out(tg.cat([written, seen], dim=-1)), state

    def forward(self, source, target):
        reading = self.reading(source)
        return self.scores(source, reading, reading[2], target)[0]

    @tg.no_grad()
    def translate(self, sentences):
        """The likeliest word, one after the other."""
        self.eval()
        source = batch(sentences, 0)
        reading = self.reading(source)
        state, word = reading[2], tg.full((len(sentences), 1), BEGIN)
        written = []
        for _ in range(20):
            scores, state = self.scores(source, reading, state, word)
            word = scores[:, -1:].argmax(-1)
            written.append(word)
        rows = tg.cat(written, dim=1).tolist()
        return [[french[i] for i in row[: (row + [END]).index(END)]] for row in rows]


tg.manual_seed(0)
model = Translator()
optimizer = tg.optim.AdamW(model.parameters(), lr=2e-3)
for epoch in range(1, EPOCHS + 1):
    model.train()
    random.Random(epoch).shuffle(training)
    total, steps = 0.0, 0
    for i in range(0, len(training), BATCH):
        sides = zip(*training[i : i + BATCH], strict=True)
        source, target = (batch(side, j) for j, side in enumerate(sides))
        scores = model(source, target[:, :-1])
        loss = F.cross_entropy(scores.flatten(0, 1), target[:, 1:].flatten(), ignore_index=PAD)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        total, steps = total + loss.item(), steps + 1
    print(f"epoch {epoch:2}: loss {total / steps:.3f}")

translations = model.translate([source for source, _ in test])
for (source, target), own in list(zip(test, translations, strict=True))[:5]:
    print(f"  {' '.join(source)}\n    {' '.join(own)}   ({' '.join(target)})")
bleu = tg.metrics.bleu(translations, [[target] for _, target in test])
print(f"score: BLEU {bleu:.1f} on {len(test)} unseen sentences")
print("in PyTorch, at full length: BLEU 41.5")
