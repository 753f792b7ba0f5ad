"""GPT-2: trains in bfloat16, loads and saves the public weights, writes on where a text ends.

    python examples/gpt2.py                                     # from nothing, in 124M's shape
    python examples/gpt2.py --from gpt2 --steps 0 --prompt "The sea"    # the public weights write
    python examples/gpt2.py --from gpt2 --lr 5e-5 --text mine.txt --save mine    # and learn more

Radford et al. 2019; the folder gpt2 is Hugging Face's of this name: model.safetensors, vocab.json,
merges.txt, config.json. What --save writes, transformers 5.24.0 reads: its tokens are the same, its
logits within 1e-6. Without a vocabulary, every byte is a token. Steps are those of GPT-3's recipe:
AdamW, weights of products and tables shrunk, a rate that rises and falls, gradients clipped.
Score with --tiny: 3.138; the same network in PyTorch 3.138, with the same random numbers
(tools/with_pytorch.py, PyTorch 2.13.0, 2026-11-30).
"""

import argparse
import json
import math
import re
import time
from collections import OrderedDict
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import tapegrad as tg
import tapegrad.nn.functional as F
from tapegrad import nn


@dataclass
class Config:
    """The sizes, by the names in config.json; as they are, 124 million parameters."""

    vocab_size: int = 50257
    n_positions: int = 1024
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12


# What config.json may say, too, and has no other value here.
FIXED = {
    "activation_function": "gelu_new",
    "layer_norm_epsilon": 1e-5,
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "add_cross_attention": False,
}
TINY = Config(vocab_size=257, n_positions=32, n_embd=64, n_layer=2, n_head=4)


class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.heads = config.n_head
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd)

    def forward(self, x):
        n, length, width = x.shape
        # (n, length, 3 * width) -> three times (n, heads, length, width / heads)
        qkv = self.c_attn(x).view(n, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(seen.transpose(1, 2).reshape(n, length, width))


class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        width = config.n_embd
        self.ln_1, self.attn = nn.LayerNorm(width), Attention(config)
        self.ln_2 = nn.LayerNorm(width)
        layers = {
            "c_fc": nn.Linear(width, 4 * width),
            "gelu": nn.GELU(approximate="tanh"),
            "c_proj": nn.Linear(4 * width, width),
        }
        self.mlp = nn.Sequential(OrderedDict(layers))

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class GPT2(nn.Module):
    """Its modules have the names of the public weights."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.n_positions, config.n_embd)
        self.h = nn.ModuleList([Block(config) for _ in range(config.n_layer)])
        self.ln_f = nn.LayerNorm(config.n_embd)
        for name, weight in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(weight)
            elif weight.ndim == 2:  # what is added to x counts less, the more there is of it
                added = 2 * config.n_layer if name.endswith("c_proj.weight") else 1
                nn.init.normal_(weight, std=0.02 / math.sqrt(added))

    def forward(self, tokens):
        x = self.wte(tokens) + self.wpe(tg.arange(tokens.shape[1], device=tokens.device))
        for block in self.h:
            x = block(x)
        return F.linear(self.ln_f(x), self.wte.weight)  # the table serves twice


# ---------------------------------------------------------------------- bytes and tokens

END = "<|endoftext|>"
# Each byte's sign in vocab.json and merges.txt: itself where it prints, else one from 256 on.
PRINTS = [*range(33, 127), *range(161, 173), *range(174, 256)]
OTHERS = sorted({*range(256)} - {*PRINTS})
SIGNS = {byte: chr(byte) for byte in PRINTS} | {b: chr(256 + i) for i, b in enumerate(OTHERS)}
BYTES = {sign: byte for byte, sign in SIGNS.items()}

# Words, numbers and signs, each with a space before it, which tokens never cross.
NUMERALS = "".join(c for c in map(chr, range(0x20000)) if c.isnumeric() and not c.isalpha())
PIECES = re.compile(
    r"'(?:[stmd]|re|ve|ll)"
    rf"| ?[^\W_{NUMERALS}]+| ?[{NUMERALS}]+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+"
)


def read(path, parsed=str):
    try:
        return parsed(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


class Tokenizer:
    """GPT-2's byte-pair encoding: of the pairs of neighbours in a word, the one that comes first
    in the list of merges becomes one, again and again. Without a list, every byte is a token."""

    def __init__(self, numbers=None, merges=()):
        self.numbers = numbers or {sign: i for i, sign in enumerate([*SIGNS.values(), END])}
        self.ranks = {pair: i for i, pair in enumerate(merges)}
        self.texts = {number: text for text, number in self.numbers.items()}
        self.known = {}
        missing = {*SIGNS.values(), END, *map("".join, merges)} - self.numbers.keys()
        if missing:
            raise ValueError(f"vocab.json has no {min(missing)!r}, of {len(missing)} missing")
        if self.texts.keys() != {*range(len(self.numbers))}:
            raise ValueError("vocab.json does not count its tokens, from 0 on")

    @classmethod
    def load(cls, folder):
        lines = read(folder / "merges.txt").splitlines()
        merges = [tuple(line.split(" ")) for line in lines if line and line[:9] != "#version:"]
        return cls(read(folder / "vocab.json", json.loads), merges)

    def save(self, folder):
        lines = ["#version: 0.2", *map(" ".join, self.ranks), ""]
        (folder / "merges.txt").write_text("\n".join(lines), encoding="utf-8")
        (folder / "vocab.json").write_text(json.dumps(self.numbers), encoding="utf-8")

    def encode(self, text):
        numbers = []
        for part in re.split(f"({re.escape(END)})", text):
            for piece in [part] if part == END else PIECES.findall(part):
                if piece not in self.known:
                    self.known[piece] = [self.numbers[token] for token in self.merged(piece)]
                numbers += self.known[piece]
        return numbers

    def merged(self, piece):
        tokens = [END] if piece == END else [SIGNS[byte] for byte in piece.encode()]
        while len(tokens) > 1:
            first = min(pairwise(tokens), key=lambda pair: self.ranks.get(pair, math.inf))
            if first not in self.ranks:
                break
            before, tokens = tokens, []
            for token in before:
                if tokens and (tokens[-1], token) == first:
                    tokens[-1] += token
                else:
                    tokens.append(token)
        return tokens

    def decode(self, numbers):
        texts = [self.texts[number] for number in numbers]
        parts = [t.encode() if t == END else bytes(BYTES[sign] for sign in t) for t in texts]
        return b"".join(parts).decode(errors="replace")


# ---------------------------------------------------------------------- files

# Products, of which the files hold the transposed weights, (in, out).
TRANSPOSED = ("attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")


def in_layout(state):
    """From the module's weights to the file's, and back."""
    return {n: value.T if n.endswith(TRANSPOSED) else value for n, value in state.items()}


def load(folder):
    """The model and its tokenizer, from a folder as Hugging Face lays them out."""
    tokenizer, state = Tokenizer.load(folder), tg.load(folder)
    state = {name.removeprefix("transformer."): value for name, value in state.items()}
    head = state.pop("lm_head.weight", None)
    if head is not None and "wte.weight" in state and not tg.equal(head, state["wte.weight"]):
        raise ValueError(f"{folder}: lm_head.weight is not wte.weight, which GPT-2 uses twice")
    masks = (".attn.bias", ".attn.masked_bias")  # which attention does not need
    state = {name: value for name, value in state.items() if not name.endswith(masks)}
    path = folder / "config.json"  # the smallest model's is not needed
    found = read(path, json.loads) if path.exists() else {}
    for name, value in FIXED.items():
        if found.get(name, value) != value:
            raise ValueError(f"{path}: {name} is {found[name]}, and here it is always {value}")
    config = Config(**{name: found.get(name, size) for name, size in asdict(Config()).items()})
    model = GPT2(config)
    model.load_state_dict(in_layout(state))
    return model, tokenizer


def save(model, tokenizer, folder):
    tg.save(in_layout(model.state_dict()), folder / "model.safetensors")
    config = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], **asdict(model.config)}
    (folder / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    tokenizer.save(folder)


# ---------------------------------------------------------------------- training and writing


def loss_of(model, tokens, starts, context, dtype):
    """How surprising the next token is, at every place of the windows that begin there."""
    places = starts.unsqueeze(1) + tg.arange(context, device=tokens.device)
    with tg.autocast(tokens.device.type, dtype=tg.bfloat16, enabled=dtype == "bfloat16"):
        scores = model(tokens[places])
        return F.cross_entropy(scores.flatten(0, 1), tokens[places + 1].flatten())


def train(model, tokens, options):
    """Returns the loss of every step. The weights stay in float32, where small steps count."""
    steps, warm_up = options.steps, max(1, options.steps // 10)

    def rate(step):  # up to --lr, then down to a tenth of it
        done = (step - warm_up) / (steps - warm_up + 1)
        return (step + 1) / warm_up if step < warm_up else 0.55 + 0.45 * math.cos(math.pi * done)

    groups = [
        {"params": [p for p in model.parameters() if p.ndim == 2], "weight_decay": 0.1},
        {"params": [p for p in model.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer = tg.optim.AdamW(groups, lr=options.lr, betas=(0.9, 0.95))
    schedule = tg.optim.lr_scheduler.LambdaLR(optimizer, rate)
    losses, began, reported = [], time.perf_counter(), 0
    for step in range(1, steps + 1):
        losses.append(tg.zeros((), device=tokens.device))
        for _ in range(options.accumulate):
            ends = len(tokens) - options.context
            starts = tg.randint(0, ends, (options.batch,), device=tokens.device)
            loss = loss_of(model, tokens, starts, options.context, options.dtype)
            (loss / options.accumulate).backward()
            losses[-1] += loss.detach() / options.accumulate
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        if step % 10 == 0 or step == steps:
            loss = losses[-1].item()  # it waits for the device, so the time is that of the work
            seen = (step - reported) * options.accumulate * options.batch * options.context
            speed = seen / (time.perf_counter() - began)
            print(f"step {step:4}: {loss:.3f} nats a token, {speed:,.0f} tokens a second")
            began, reported = time.perf_counter(), step
    return losses


@tg.no_grad()
def evaluate(model, tokens, options):
    """The mean loss of the windows side by side."""
    starts = tg.arange(0, len(tokens) - options.context, options.context, device=tokens.device)
    parts = starts.split(options.batch)
    losses = [loss_of(model, tokens, s, options.context, options.dtype) * len(s) for s in parts]
    return (sum(losses) / len(starts)).item()


@tg.no_grad()
def write(model, tokenizer, prompt, length, temperature=0.8, top_k=50):
    """The prompt and what follows: each token drawn from the ``top_k`` likeliest ones. A lower
    temperature draws the likely ones more often, 0 only the likeliest."""
    numbers = tokenizer.encode(prompt or END)
    device, end = model.wte.weight.device, tokenizer.numbers[END]
    count = min(top_k, len(tokenizer.numbers)) if temperature > 0 else 1
    for _ in range(length):
        context = tg.tensor([numbers[-model.config.n_positions :]], device=device)
        scores, likeliest = model(context)[0, -1, : len(tokenizer.numbers)].topk(count)
        drawn = tg.multinomial(F.softmax(scores / (temperature or 1), dim=-1), 1)
        numbers.append(likeliest[drawn].item())
        if numbers[-1] == end:
            break
    return tokenizer.decode(numbers)


def begin(options):
    """The model, its tokenizer, and the text in two parts: to learn from, and to be tested on.
    What is wrong is found here, before the work."""
    if options.save:
        options.save.mkdir(parents=True, exist_ok=True)
    if options.folder:
        model, tokenizer = load(options.folder)
    else:
        tokenizer = Tokenizer.load(options.vocabulary) if options.vocabulary else Tokenizer()
        model = GPT2(TINY if options.tiny else Config())
    tokens, rows = len(tokenizer.numbers), model.config.vocab_size
    if tokens > rows:
        raise ValueError(f"vocab.json has {tokens} tokens, and wte.weight only {rows} rows")
    model, text = model.to(options.device), ()
    if options.steps > 0:
        text = tokenizer.encode(read(options.text)[: 20_000 if options.tiny else None])
        options.context = min(options.context, model.config.n_positions)
        if len(text) // 10 <= options.context:
            raise ValueError(
                f"{options.text}: of {len(text):,} tokens the last tenth is for the test, and no "
                f"longer than --context {options.context}"
            )
    text = tg.tensor(text, dtype=tg.int64, device=options.device)
    return model, tokenizer, text[: len(text) * 9 // 10], text[len(text) * 9 // 10 :]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--from", type=Path, dest="folder", help="a folder of weights, to go on")
    parser.add_argument("--save", type=Path, help="a folder for the weights at the end")
    parser.add_argument("--vocabulary", type=Path, help="a folder of it, without weights")
    moby_dick = Path(__file__).parent / "data" / "moby-dick.txt"
    parser.add_argument("--text", type=Path, default=moby_dick, help="the file to learn from")
    device = "cuda" if tg.cuda.is_available() else "cpu"
    parser.add_argument("--device", default=device, help="cpu, emulated or cuda")
    parser.add_argument("--dtype", default="bfloat16", choices=["bfloat16", "float32"])
    parser.add_argument("--steps", type=int, default=200, help="0 only writes")
    parser.add_argument("--batch", type=int, default=16, help="windows at a time")
    parser.add_argument("--context", type=int, default=1024, help="tokens in a window")
    parser.add_argument("--accumulate", type=int, default=4, help="batches in a step")
    parser.add_argument("--lr", type=float, default=6e-4, help="the highest rate of learning")
    parser.add_argument("--prompt", default="Call me Ishmael.", help="the text to go on with")
    parser.add_argument("--length", type=int, default=200, help="tokens to write")
    parser.add_argument("--temperature", type=float, default=0.8, help="0 draws nothing")
    parser.add_argument("--top-k", type=int, default=50, help="tokens to draw from")
    parser.add_argument("--tiny", action="store_true", help="a small model and 20 steps")
    options = parser.parse_args()
    if options.tiny:  # but for what is named
        sizes = {"steps": 20, "batch": 4, "context": 32, "accumulate": 2, "lr": 5e-3, "length": 50}
        parser.set_defaults(**sizes)
        options = parser.parse_args()
    if min(options.batch, options.context, options.accumulate, options.top_k) < 1:
        parser.error("--batch, --context, --accumulate and --top-k are 1 or more")

    tg.manual_seed(0)
    try:
        model, tokenizer, training, unseen = begin(options)
    except (OSError, ValueError, RuntimeError) as error:
        parser.error(str(error))
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters on {options.device}")
    if options.steps > 0:
        train(model, training, options)
        score = evaluate(model, unseen, options)
        print(f"score: {score:.3f} nats a token of what was never read")
    if options.save:
        save(model, tokenizer, options.save)
    draw = options.length, options.temperature, options.top_k
    print(write(model, tokenizer, options.prompt, *draw))


if __name__ == "__main__":
    main()
