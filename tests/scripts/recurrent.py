"""Recurrent layers: a tagger of packed sentences, translation, series, a language model."""

import numpy as np

from scripts import numbers, start


def tagger(torch):
    """A bidirectional LSTM over packed sequences of words, which tags each of them."""
    nn, F = torch.nn, torch.nn.functional
    rnn = nn.utils.rnn
    random = np.random.default_rng(0)
    words, tags, batch = 13, 4, 5

    class Tagger(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(words, 6, padding_idx=0)
            self.lstm = nn.LSTM(6, 5, num_layers=2, bidirectional=True, batch_first=True)
            self.hidden2tag = nn.Linear(10, tags)

        def forward(self, sentences, lengths):
            packed = rnn.pack_padded_sequence(
                self.embedding(sentences), lengths, batch_first=True, enforce_sorted=False
            )
            output, (h, _) = self.lstm(packed)
            output, _ = rnn.pad_packed_sequence(
                output, batch_first=True, total_length=sentences.size(1)
            )
            return self.hidden2tag(output), h

    model = start(torch, Tagger())
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    history = []
    for _ in range(6):
        lengths = torch.tensor(random.integers(1, 9, batch))
        sentences = [torch.tensor(random.integers(1, words, n)) for n in lengths.tolist()]
        targets = [s % tags for s in sentences]
        x = rnn.pad_sequence(sentences, batch_first=True)
        y = rnn.pad_sequence(targets, batch_first=True, padding_value=-100)
        optimizer.zero_grad()
        scores, h = model(x, lengths)
        loss = F.cross_entropy(scores.reshape(-1, tags), y.reshape(-1), ignore_index=-100)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        right = (scores.argmax(-1) == y).sum()
        history += [loss.item(), norm.item(), h.sum().item(), right.item()]
    return history


def translation(torch):
    """A GRU that reads, and one that writes what was read backwards, with its own words or with the
    right ones before it (Sutskever et al. 2014)."""
    nn = torch.nn
    words, hidden, length, batch = 9, 8, 5, 4
    random = np.random.default_rng(0)

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(words, hidden)
            self.gru = nn.GRU(hidden, hidden, num_layers=2)

        def forward(self, source):
            outputs, h = self.gru(self.embedding(source))
            return outputs, h

    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(words, hidden)
            self.gru = nn.GRU(2 * hidden, hidden, num_layers=2)
            self.out = nn.Linear(hidden, words)

        def forward(self, word, h, outputs):
            seen = torch.softmax(torch.einsum("bh,tbh->tb", h[-1], outputs), 0)
            context = (seen.unsqueeze(-1) * outputs).sum(0)
            x = torch.cat((self.embedding(word), context), -1).unsqueeze(0)
            y, h = self.gru(x, h)
            return self.out(y.squeeze(0)), h

    encoder, decoder = start(torch, Encoder()), start(torch, Decoder(), 1)
    criterion = nn.CrossEntropyLoss()
    optimizers = [torch.optim.SGD(m.parameters(), lr=0.3, momentum=0.5) for m in (encoder, decoder)]
    history = []
    for turn in range(6):
        source = torch.tensor(random.integers(1, words, (length, batch)))
        target = source.flip(0)
        for optimizer in optimizers:
            optimizer.zero_grad()
        outputs, h = encoder(source)
        word, loss = torch.zeros(batch, dtype=torch.long), 0
        for t in range(length):
            scores, h = decoder(word, h, outputs)
            loss = loss + criterion(scores, target[t])
            word = target[t] if turn % 2 else scores.argmax(-1).detach()
        loss.backward()
        for module in (encoder, decoder):
            history.append(nn.utils.clip_grad_norm_(module.parameters(), 2.0).item())
        for optimizer in optimizers:
            optimizer.step()
        history.append(loss.item() / length)
    return history


def series(torch):
    """Series told apart by an RNN's last state, and a forecast step by step with LSTM cells."""
    nn = torch.nn

    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.RNN(1, 7, 2, nonlinearity="relu", batch_first=True, bias=False)
            self.fc = nn.Linear(7, 2)

        def forward(self, x):
            h0 = torch.zeros(2, x.size(0), 7)
            out, _ = self.rnn(x, h0)
            return self.fc(out[:, -1, :])

    class Forecast(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.LSTMCell(1, 6), nn.LSTMCell(6, 6)
            self.linear = nn.Linear(6, 1)

        def forward(self, x, future):
            state = [(torch.zeros(x.size(0), 6), torch.zeros(x.size(0), 6)) for _ in range(2)]
            outputs = []
            for t in range(x.size(1) + future):
                given = x[:, t : t + 1] if t < x.size(1) else outputs[-1]
                state[0] = self.first(given, state[0])
                state[1] = self.second(state[0][0], state[1])
                outputs.append(self.linear(state[1][0]))
            return torch.cat(outputs, dim=1)

    t = np.arange(12)
    phases = numbers(0, 8, 1)
    waves = torch.tensor(np.sin(t / 2 + phases))
    labels = torch.tensor((phases[:, 0] > 0).astype(np.int64))
    classifier, forecast = start(torch, Classifier()), start(torch, Forecast(), 1)
    optimizer = torch.optim.RMSprop(classifier.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    history = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = nn.CrossEntropyLoss()(classifier(waves.unsqueeze(-1)), labels)
        loss.backward()
        optimizer.step()
        scheduler.step()
        history.append(loss.item())
    optimizer = torch.optim.SGD(forecast.parameters(), lr=0.2)
    for _ in range(5):
        optimizer.zero_grad()
        loss = nn.MSELoss()(forecast(waves[:, :-1], 0), waves[:, 1:])
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    with torch.no_grad():
        return [*history, *forecast(waves[:2], 3).flatten().tolist()]


def language_model(torch):
    """Truncated backpropagation through a long text: the state goes on, its history does not, and
    the model is loaded again in the middle."""
    nn, F = torch.nn, torch.nn.functional
    words, batch, length = 10, 3, 6

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Embedding(words, 5)
            self.rnn = nn.LSTM(5, 8, num_layers=2, dropout=0.4, proj_size=5)
            self.decoder = nn.Linear(5, words)
            self.decoder.weight = self.encoder.weight

        def init_hidden(self):
            weight = next(self.parameters())
            return weight.new_zeros(2, batch, 5), weight.new_zeros(2, batch, 8)

        def forward(self, x, hidden):
            output, hidden = self.rnn(self.encoder(x), hidden)
            return F.log_softmax(self.decoder(output), dim=-1), hidden

    def repackage(h):
        return h.detach() if isinstance(h, torch.Tensor) else tuple(repackage(v) for v in h)

    text = torch.tensor(np.random.default_rng(0).integers(0, words, (4 * length + 1, batch)))
    model = start(torch, Model()).eval()  # without the dropout, which draws other numbers
    model.rnn.flatten_parameters()
    hidden, lr, history = model.init_hidden(), 0.5, []
    for i in range(0, 4 * length, length):
        if i == 2 * length:
            state = model.state_dict()
            model = Model().eval()
            model.load_state_dict(state)
        hidden = repackage(hidden)
        model.zero_grad()
        output, hidden = model(text[i : i + length], hidden)
        loss = F.nll_loss(output.view(-1, words), text[i + 1 : i + 1 + length].view(-1))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.25)
        for p in model.parameters():
            p.data.add_(p.grad, alpha=-lr)
        history += [loss.item(), hidden[0].sum().item(), hidden[1].norm().item()]
    return history


PROGRAMS = (tagger, translation, series, language_model)
