"""A small GPT learns to write the text of this file. Run it: python examples/gpt.py"""

import argparse
from pathlib import Path

import tapegrad as tg
import tapegrad.nn.functional as F
from tapegrad import nn

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--tiny", action="store_true", help="20 steps, to see that it runs")
options = parser.parse_args()
STEPS = 20 if options.tiny else 300

tg.manual_seed(0)

text = Path(__file__).read_text()
letters = sorted(set(text))
tokens = tg.tensor([letters.index(letter) for letter in text])
CONTEXT, WIDTH, HEADS, LAYERS, BATCH = 32, 64, 4, 2, 32


class Block(nn.Module):
    """Every position looks back at the others, then thinks for itself."""

    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.project = nn.Linear(WIDTH, WIDTH)
        self.think = nn.Sequential(
            nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH)
        )

    def forward(self, x):
        n, length, _ = x.shape
        # (n, length, 3 * width) -> three times (n, heads, length, width / heads)
        qkv = self.qkv(self.norm1(x)).view(n, length, 3, HEADS, WIDTH // HEADS)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.project(seen.transpose(1, 2).reshape(n, length, WIDTH))
        return x + self.think(self.norm2(x))


class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.letter = nn.Embedding(len(letters), WIDTH)
        self.position = nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.Sequential(*[Block() for _ in range(LAYERS)])
        self.norm = nn.LayerNorm(WIDTH)
        nn.init.normal_(self.letter.weight, std=0.02)
        nn.init.normal_(self.position.weight, std=0.02)

    def forward(self, tokens):
        x = self.letter(tokens) + self.position(tg.arange(tokens.shape[1]))
        return self.norm(self.blocks(x)) @ self.letter.weight.T  # the table serves twice

    @tg.no_grad()
    def write(self, beginning, length):
        written = [letters.index(letter) for letter in beginning]
        for _ in range(length):
            scores = self(tg.tensor([written[-CONTEXT:]]))[0, -1]
            written.append(tg.multinomial(F.softmax(scores / 0.5, dim=-1), 1).item())
        return "".join(letters[token] for token in written)


model = GPT()
optimizer = tg.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
for step in range(1, STEPS + 1):
    starts = tg.randint(0, len(tokens) - CONTEXT - 1, (BATCH, 1))
    x = tokens[starts + tg.arange(CONTEXT)]
    y = tokens[starts + tg.arange(CONTEXT) + 1]  # what comes next, at every position
    loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten())
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    if step % 50 == 0 or step == STEPS:
        print(f"step {step:3}: {loss.item():.2f} nats a letter")

print(model.write("class Block(", 300))
