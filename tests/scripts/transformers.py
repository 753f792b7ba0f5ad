"""PyTorch's transformer modules as scripts use them: a classifier of padded sentences, and a
translator of digits with a causal decoder."""

import math

import numpy as np

from scripts import start


def sentence_classifier(torch):
    """A TransformerEncoder over padded sentences, warmed up, with masked mean pooling; trained with
    the padding mask and evaluated without recording, where padded positions are skipped."""
    nn, F = torch.nn, torch.nn.functional
    words, width, heads, longest, classes = 17, 8, 2, 7, 3

    class PositionalEncoding(nn.Module):
        def __init__(self, d_model, max_len):
            super().__init__()
            position = torch.arange(max_len).unsqueeze(1)
            div_term = torch.exp(torch.arange(0, d_model, 2) * (-math.log(10000.0) / d_model))
            pe = torch.zeros(1, max_len, d_model)
            pe[0, :, 0::2] = torch.sin(position * div_term)
            pe[0, :, 1::2] = torch.cos(position * div_term)
            self.register_buffer("pe", pe)

        def forward(self, x):
            return x + self.pe[:, : x.size(1)]

    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(words, width, padding_idx=0)
            self.positions = PositionalEncoding(width, longest)
            layer = nn.TransformerEncoderLayer(
                d_model=width, nhead=heads, dim_feedforward=16, dropout=0.0, batch_first=True
            )
            self.encoder = nn.TransformerEncoder(layer, num_layers=2, norm=nn.LayerNorm(width))
            self.head = nn.Sequential(nn.LazyLinear(12), nn.GELU(), nn.Linear(12, classes))

        def forward(self, tokens):
            padding = tokens == 0
            x = self.embedding(tokens) * math.sqrt(width)
            x = self.encoder(self.positions(x), src_key_padding_mask=padding)
            kept = (~padding).unsqueeze(-1).to(x.dtype)
            return self.head((x * kept).sum(1) / kept.sum(1))

    random = np.random.default_rng(3)
    lengths = random.integers(2, longest + 1, 12)
    tokens = np.zeros((12, longest), dtype=np.int64)
    for row, length in zip(tokens, lengths, strict=True):
        row[:length] = random.integers(1, words, length)
    tokens[0], lengths[0] = random.integers(1, words, longest), longest  # of full length
    x, y = torch.tensor(tokens), torch.tensor(lengths % classes)

    model = Classifier()
    model(x)  # which gives the lazy layer its size
    model = start(torch, model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=8)
    history = [sum(p.numel() for p in model.parameters())]
    for _ in range(8):
        model.train()
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y, label_smoothing=0.1)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        history += [loss.item(), norm.item()]
    model.eval()
    with torch.no_grad():
        scores = model(x)
        inside = model.encoder(model.positions(model.embedding(x)), src_key_padding_mask=x == 0)
    history += [(scores.argmax(1) == y).sum().item(), *scores.reshape(-1).tolist()]
    history += inside.sum(-1).reshape(-1).tolist()
    attention = model.encoder.layers[0].self_attn
    embedded = model.embedding(x)
    _, weights = attention(embedded, embedded, embedded, key_padding_mask=x == 0)
    return [*history, *weights[:2].reshape(-1).tolist()]


def sequence_reverser(torch):
    """nn.Transformer that learns to reverse digits: teacher forcing under a causal mask, padding
    masks on both sides, Noam's learning rate, then greedy decoding."""
    nn = torch.nn
    pad, begin, digits, width, longest = 0, 1, 6, 8, 5
    symbols = digits + 2

    class Reverser(nn.Module):
        def __init__(self):
            super().__init__()
            self.source, self.target = nn.Embedding(symbols, width), nn.Embedding(symbols, width)
            self.places = nn.Parameter(torch.zeros(longest + 1, width))
            self.transformer = nn.Transformer(
                d_model=width,
                nhead=2,
                num_encoder_layers=1,
                num_decoder_layers=2,
                dim_feedforward=16,
                dropout=0.0,
                activation="gelu",
                batch_first=True,
                norm_first=True,
            )
            self.generator = nn.Linear(width, symbols)

        def encode(self, src):
            embedded = self.source(src) + self.places[: src.size(1)]
            return self.transformer.encoder(embedded, src_key_padding_mask=src == pad)

        def decode(self, tgt, memory, src):
            mask = nn.Transformer.generate_square_subsequent_mask(tgt.size(1))
            x = self.transformer.decoder(
                self.target(tgt) + self.places[: tgt.size(1)],
                memory,
                tgt_mask=mask,
                memory_key_padding_mask=src == pad,
            )
            return self.generator(x)

        def forward(self, src, tgt):
            mask = self.transformer.generate_square_subsequent_mask(tgt.size(1))
            x = self.transformer(
                self.source(src) + self.places[: src.size(1)],
                self.target(tgt) + self.places[: tgt.size(1)],
                tgt_mask=mask.to(src.device) != 0,
                src_key_padding_mask=src == pad,
                tgt_key_padding_mask=tgt == pad,
                memory_key_padding_mask=src == pad,
            )
            return self.generator(x)

    random = np.random.default_rng(5)
    src = np.zeros((10, longest), dtype=np.int64)
    tgt = np.zeros((10, longest + 1), dtype=np.int64)
    for s, t in zip(src, tgt, strict=True):
        length = random.integers(2, longest + 1)
        s[:length] = random.integers(2, symbols, length)
        t[0], t[1 : length + 1] = begin, s[:length][::-1]
    src, tgt = torch.from_numpy(src), torch.from_numpy(tgt)

    model = start(torch, Reverser(), seed=4)
    optimizer = torch.optim.Adam(model.parameters(), lr=1.0, betas=(0.9, 0.98), eps=1e-9)
    criterion = nn.CrossEntropyLoss(ignore_index=pad)
    history = [len(list(model.modules())), len(model.state_dict())]
    for step in range(1, 9):
        rate = width**-0.5 * min(step**-0.5, step * 4**-1.5) / 20
        for group in optimizer.param_groups:
            group["lr"] = rate
        logits = model(src, tgt[:, :-1])
        loss = criterion(logits.reshape(-1, symbols), tgt[:, 1:].reshape(-1))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    model.eval()
    with torch.no_grad():
        memory = model.encode(src)
        out = torch.full((src.size(0), 1), begin, dtype=torch.long)
        for _ in range(longest):
            logits = model.decode(out, memory, src)[:, -1]
            out = torch.cat([out, logits.argmax(-1, keepdim=True)], dim=1)
            history += logits[:2].reshape(-1).tolist()
    return [*history, *out.reshape(-1).tolist()]


PROGRAMS = [sentence_classifier, sequence_reverser]
