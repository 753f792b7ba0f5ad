"""Recurrent cells and layers."""

from .base import case, f


def weights(gates, features, hidden, projected=0):
    """w_ih, w_hh, b_ih and b_hh, and w_hr."""
    n = gates * hidden
    last = (f(projected, hidden),) if projected else ()
    return f(n, features), f(n, projected or hidden), f(n), f(n), *last


def cells(name, gates, states=1):
    def call(t, x, *others):
        hx = others[0] if states == 1 else others[:states]
        y = getattr(t, name)(x, hx, *others[states:])
        return y if states == 1 else t.cat(y, 1)

    def sample(batch, features, hidden):
        return f(batch, features), *[f(batch, hidden)] * states, *weights(gates, features, hidden)

    case(name, call, sample(2, 3, 4), sample(0, 3, 4), sample(7, 33, 20))
    case(f"{name}_no_bias", call, sample(2, 3, 4)[:-2])


cells("gru_cell", 3)
cells("lstm_cell", 4, states=2)
cells("rnn_tanh_cell", 1)
cells("rnn_relu_cell", 1)


def layers(name, kind, gates, *, states=1, projected=0, second=True, **options):
    """Two sequences, of one and of two steps, in both directions."""
    hidden = projected or 2

    def call(t, x, *others):
        layer = getattr(t.nn, kind)(2, 2, bidirectional=True, **options)
        names = [key for key, _ in layer.named_parameters()]
        hx = others[0] if states == 1 else others[:states]
        packed = t.nn.utils.rnn.pack_padded_sequence(x, [1, 2], enforce_sorted=False)
        given = dict(zip(names, others[states:], strict=True))
        y, last = t.func.functional_call(layer, given, (packed, hx))
        y, _ = t.nn.utils.rnn.pad_packed_sequence(y)
        return t.cat([s.reshape(-1) for s in (y, *(last if states > 1 else (last,)))])

    first = [f(2, 2, hidden), f(2, 2, 2)][:states]
    both = weights(gates, 2, 2, projected) * 2
    sample = (f(2, 2, 2), *first, *both)
    case(name, call, sample, second=second)


layers("rnn", "RNN", 1)
layers("rnn_of_relu", "RNN", 1, nonlinearity="relu", second=False)
layers("gru", "GRU", 3)
layers("lstm", "LSTM", 4, states=2, second=False)
layers("lstm_projected", "LSTM", 4, states=2, projected=1, proj_size=1)
