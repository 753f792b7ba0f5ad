"""Sequences: a small GPT, cells written by hand, CTC."""

import math

import numpy as np

from scripts import numbers, start


def gpt(torch):
    """nanoGPT's habits: weight tying, parameter groups, warmup and cosine, accumulation."""
    nn, F = torch.nn, torch.nn.functional
    vocabulary, width, heads, length = 11, 8, 2, 6

    class CausalSelfAttention(nn.Module):
        def __init__(self, flash):
            super().__init__()
            self.c_attn = nn.Linear(width, 3 * width)
            self.c_proj = nn.Linear(width, width)
            self.flash = flash
            self.register_buffer(
                "bias", torch.tril(torch.ones(length, length)).view(1, 1, length, length)
            )

        def forward(self, x):
            B, T, C = x.size()
            q, k, v = self.c_attn(x).split(width, dim=2)
            k = k.view(B, T, heads, C // heads).transpose(1, 2)
            q = q.view(B, T, heads, C // heads).transpose(1, 2)
            v = v.view(B, T, heads, C // heads).transpose(1, 2)
            if self.flash:
                y = F.scaled_dot_product_attention(
                    q, k, v, attn_mask=None, dropout_p=0.0, is_causal=True
                )
            else:
                att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
                att = att.masked_fill(self.bias[:, :, :T, :T] == 0, float("-inf"))
                att = F.softmax(att, dim=-1)
                y = att @ v
            return self.c_proj(y.transpose(1, 2).contiguous().view(B, T, C))

    class Block(nn.Module):
        def __init__(self, flash):
            super().__init__()
            self.ln_1 = nn.LayerNorm(width)
            self.attn = CausalSelfAttention(flash)
            self.ln_2 = nn.LayerNorm(width)
            self.mlp = nn.Sequential(
                nn.Linear(width, 2 * width),
                nn.GELU(approximate="tanh"),
                nn.Linear(2 * width, width),
            )

        def forward(self, x):
            x = x + self.attn(self.ln_1(x))
            return x + self.mlp(self.ln_2(x))

    class GPT(nn.Module):
        def __init__(self):
            super().__init__()
            self.wte = nn.Embedding(vocabulary, width)
            self.wpe = nn.Embedding(length, width)
            self.h = nn.ModuleList([Block(flash=i % 2 == 0) for i in range(2)])
            self.ln_f = nn.LayerNorm(width)
            self.lm_head = nn.Linear(width, vocabulary, bias=False)
            self.wte.weight = self.lm_head.weight
            self.apply(self._init_weights)

        def _init_weights(self, module):
            if isinstance(module, nn.Linear):
                torch.nn.init.normal_(module.weight, mean=0.0, std=0.02)
                if module.bias is not None:
                    torch.nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Embedding):
                torch.nn.init.normal_(module.weight, mean=0.0, std=0.02)

        def forward(self, idx, targets=None):
            _, t = idx.size()
            assert t <= length, f"Cannot forward sequence of length {t}"
            pos = torch.arange(0, t, dtype=torch.long, device=idx.device)
            x = self.wte(idx) + self.wpe(pos)
            for block in self.h:
                x = block(x)
            x = self.ln_f(x)
            if targets is None:
                return self.lm_head(x[:, [-1], :]), None
            logits = self.lm_head(x)
            loss = F.cross_entropy(
                logits.view(-1, logits.size(-1)), targets.view(-1), ignore_index=-1
            )
            return logits, loss

        @torch.no_grad()
        def generate(self, idx, new, temperature=1.0, top_k=None):
            for _ in range(new):
                context = idx if idx.size(1) <= length else idx[:, -length:]
                logits, _ = self(context)
                logits = logits[:, -1, :] / temperature
                if top_k is not None:
                    v, _ = torch.topk(logits, min(top_k, logits.size(-1)))
                    logits[logits < v[:, [-1]]] = -float("Inf")
                probs = F.softmax(logits, dim=-1)
                idx = torch.cat((idx, torch.multinomial(probs, num_samples=1)), dim=1)
            return idx

    model = start(torch, GPT())
    params = {n: p for n, p in model.named_parameters() if p.requires_grad}
    decay = [p for p in params.values() if p.dim() >= 2]
    nodecay = [p for p in params.values() if p.dim() < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.1}, {"params": nodecay, "weight_decay": 0.0}],
        lr=1e-2,
        betas=(0.9, 0.95),
    )
    text = np.random.default_rng(7).integers(0, vocabulary, 200)
    history = [len(params), sum(p.numel() for p in decay)]
    for step in range(6):
        lr = 1e-2 * (step + 1) / 2 if step < 2 else 1e-3 + 0.5 * (1 + math.cos(step / 6)) * 9e-3
        for group in optimizer.param_groups:
            group["lr"] = lr
        for micro in range(2):
            at = [(13 * step + 31 * micro + 7 * i) % (200 - length - 1) for i in range(3)]
            x = torch.stack([torch.from_numpy(text[i : i + length].astype(np.int64)) for i in at])
            y = torch.stack([torch.from_numpy(text[i + 1 : i + 1 + length].copy()) for i in at])
            y[0, -2:] = -1
            _, loss = model(x, y)
            (loss / 2).backward()
            history.append(loss.item())
        history.append(nn.utils.clip_grad_norm_(model.parameters(), 1.0).item())
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    model.eval()
    prompt = torch.zeros((1, 1), dtype=torch.long)
    sample = model.generate(prompt, 8, top_k=3)
    assert sample.shape == (1, 9)
    assert sample.min() >= 0
    assert sample.max() < vocabulary
    history += model.generate(prompt, 8, top_k=1)[0].tolist()
    return history


def lstm(torch):
    """An LSTM from Linear cells, truncated backpropagation with detach, packed outputs."""
    nn = torch.nn

    class Cell(nn.Module):
        def __init__(self, inputs, hidden):
            super().__init__()
            self.x2h = nn.Linear(inputs, 4 * hidden)
            self.h2h = nn.Linear(hidden, 4 * hidden, bias=False)

        def forward(self, x, state):
            h, c = state
            i, f, g, o = (self.x2h(x) + self.h2h(h)).chunk(4, dim=1)
            c = torch.sigmoid(f + 1) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            return h, c

    cell, head = start(torch, Cell(2, 5)), start(torch, nn.Linear(5, 1), 1)
    parameters = list(cell.parameters()) + list(head.parameters())
    optimizer = torch.optim.SGD(parameters, lr=0.2, momentum=0.9, nesterov=True)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=8, eta_min=0.01)
    series = torch.tensor(numbers(8, 4, 24, 2)).cumsum(dim=1) * 0.2
    target = series[..., :1].roll(-1, dims=1)
    lengths = torch.tensor([24, 20, 12, 6])
    mask = (torch.arange(24)[None, :] < lengths[:, None]).unsqueeze(-1)
    losses = []
    state = (torch.zeros(4, 5), torch.zeros(4, 5))
    for begin in range(0, 24, 3):
        state = tuple(s.detach() for s in state)
        outputs = []
        for t in range(begin, begin + 3):
            state = cell(series[:, t], state)
            outputs.append(head(state[0]))
        window = slice(begin, begin + 3)
        error = (torch.stack(outputs, dim=1) - target[:, window]) ** 2
        loss = error.masked_select(mask[:, window]).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, max_norm=0.5)
        optimizer.step()
        scheduler.step()
        losses += [loss.item(), optimizer.param_groups[0]["lr"]]
    return losses


def speech(torch):
    """CTC over strided 1-D convolutions, greedy decoding."""
    nn, F = torch.nn, torch.nn.functional
    model = start(
        torch,
        nn.Sequential(
            nn.Conv1d(3, 6, 3, stride=2, padding=1),
            nn.BatchNorm1d(6),
            nn.ELU(),
            nn.Conv1d(6, 5, 3, padding=2, dilation=2),
        ),
    )
    x = torch.tensor(numbers(9, 3, 3, 20))
    targets = torch.tensor([[1, 2, 2, 0], [3, 1, 0, 0], [4, 4, 1, 2]])
    target_lengths = torch.tensor([3, 2, 4])
    input_lengths = torch.full(size=(3,), fill_value=10, dtype=torch.long)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-2)
    ctc = nn.CTCLoss(blank=0, zero_infinity=True)
    losses = []
    for _ in range(8):
        log_probs = F.log_softmax(model(x), dim=1).permute(2, 0, 1)
        loss = ctc(log_probs, targets, input_lengths, target_lengths)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    best = log_probs.argmax(-1).t()
    for row in best:
        collapsed = torch.unique_consecutive(row)
        losses.append(int(collapsed[collapsed != 0].sum()))
    return losses


def translation(torch):
    """Encoder and decoder with MultiheadAttention, padding masks, positional encoding."""
    nn, F = torch.nn, torch.nn.functional

    class PositionalEncoding(nn.Module):
        def __init__(self, d_model, max_len=20):
            super().__init__()
            position = torch.arange(max_len).unsqueeze(1)
            div_term = torch.exp(torch.arange(0, d_model, 2) * (-math.log(10000.0) / d_model))
            pe = torch.zeros(1, max_len, d_model)
            pe[0, :, 0::2] = torch.sin(position * div_term)
            pe[0, :, 1::2] = torch.cos(position * div_term)
            self.register_buffer("pe", pe, persistent=False)

        def forward(self, x):
            return x + self.pe[:, : x.size(1)]

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(9, 8, padding_idx=0)
            self.position = PositionalEncoding(8)
            self.own = nn.MultiheadAttention(8, 2, batch_first=True)
            self.other = nn.MultiheadAttention(8, 2, batch_first=True)
            self.norm1, self.norm2 = nn.LayerNorm(8), nn.LayerNorm(8)
            self.out = nn.Linear(8, 9)

        def forward(self, source, target):
            memory = self.position(self.embed(source) * math.sqrt(8))
            x = self.position(self.embed(target) * math.sqrt(8))
            size = target.size(1)
            causal = torch.triu(torch.full((size, size), float("-inf")), diagonal=1)
            attended, _ = self.own(x, x, x, attn_mask=causal, need_weights=False)
            x = self.norm1(x + attended)
            attended, weights = self.other(x, memory, memory, key_padding_mask=source.eq(0))
            return self.out(self.norm2(x + attended)), weights

    model = start(torch, Model())
    source = torch.tensor([[1, 2, 3, 0], [4, 5, 0, 0], [6, 7, 8, 1]])
    target = torch.tensor([[1, 3, 2, 1], [1, 5, 4, 0], [1, 1, 8, 7]])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2, eps=1e-9)
    losses = []
    for _ in range(6):
        logits, weights = model(source, target[:, :-1])
        loss = F.cross_entropy(logits.transpose(1, 2), target[:, 1:], ignore_index=0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses += [loss.item(), weights.max().item()]
    losses.append(model.embed.weight.grad[0].abs().sum().item())
    one_hot = F.one_hot(target, num_classes=9).float()
    return losses + one_hot.mean(dim=(0, 1)).tolist()


PROGRAMS = [gpt, lstm, speech, translation]
