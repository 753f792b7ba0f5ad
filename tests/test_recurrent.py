"""Recurrent layers, their cells, and sequences of different lengths, held to PyTorch's."""

import copy
import pickle
import tracemalloc

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn
from tapegrad.nn.utils import rnn

ORACLE = "PyTorch is the oracle"
LENGTHS = [3, 6, 1, 3]
EACH = pytest.mark.parametrize("device", ["cpu", "emulated"])


def oracle():
    return pytest.importorskip("torch", reason=ORACLE, exc_type=ImportError)


def values(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def label(value):
    if isinstance(value, dict):
        return ",".join(f"{k}={v}" for k, v in value.items()) or "usual"
    return str(value)


def close(mine, other, **tolerance):
    tolerance = tolerance or dict(rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(mine.detach().cpu().numpy(), other.detach().numpy(), **tolerance)


# ---------------------------------------------------------------------- layers

LAYERS = [
    ("RNN", {}),
    ("RNN", dict(nonlinearity="relu", num_layers=2, bidirectional=True)),
    ("RNN", dict(bias=False, batch_first=True)),
    ("GRU", {}),
    ("GRU", dict(num_layers=2, bidirectional=True)),
    ("GRU", dict(bias=False, batch_first=True)),
    ("LSTM", {}),
    ("LSTM", dict(num_layers=3, bidirectional=True)),
    ("LSTM", dict(bias=False, batch_first=True)),
    ("LSTM", dict(proj_size=2, num_layers=2, bidirectional=True)),
    ("LSTM", dict(proj_size=4, bias=False)),
]  # fmt: skip


def pair(kind, options):
    """The layer of both libraries, with equal weights in float64."""
    torch = oracle()
    torch.manual_seed(0)
    theirs = getattr(torch.nn, kind)(3, 5, **options).double()
    ours = getattr(nn, kind)(3, 5, **options).double()
    ours.load_state_dict(theirs.state_dict())
    return torch, theirs, ours


def states(kind, options, batch=4):
    layers = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    lead = (layers,) if batch is None else (layers, batch)
    h = values((*lead, options.get("proj_size") or 5), 1)
    return [h, values((*lead, 5), 2)] if kind == "LSTM" else [h]


def train(lib, layer, data, first, device, how):
    """Results and all gradients of one backward pass."""
    given = [lib.tensor(a, device=device, requires_grad=True) for a in (data, *first)]
    x = given[0]
    if how == "packed":
        x = lib.nn.utils.rnn.pack_padded_sequence(x, LENGTHS, layer.batch_first, False)
    elif how == "packed in order":
        x = lib.nn.utils.rnn.pack_padded_sequence(x, sorted(LENGTHS)[::-1], layer.batch_first)
    hx = tuple(given[1:]) if len(given) > 2 else given[1] if first else None
    y, last = layer(x, hx)
    if "packed" in how:
        y, _ = lib.nn.utils.rnn.pad_packed_sequence(y, layer.batch_first, padding_value=0.5)
    results = [y, *(last if isinstance(last, tuple) else (last,))]
    sum((r * (r.detach() + 0.3)).sum() for r in results).backward()
    return results + [t.grad for t in (*given, *layer.parameters())]


@EACH
@pytest.mark.parametrize("how", ["padded", "packed", "packed in order", "alone", "without states"])
@pytest.mark.parametrize(("kind", "options"), LAYERS, ids=label)
def test_layer_equals_pytorchs(kind, options, how, device):
    torch, theirs, ours = pair(kind, options)
    shape = (6, 3) if how == "alone" else (4, 6, 3) if options.get("batch_first") else (6, 4, 3)
    first = [] if how == "without states" else states(kind, options, None if how == "alone" else 4)
    found = train(tg, ours.to(device), values(shape), first, device, how)
    expected = train(torch, theirs, values(shape), first, "cpu", how)
    for mine, other in zip(found, expected, strict=True):
        close(mine, other)


@pytest.mark.parametrize(("kind", "options"), LAYERS, ids=label)
def test_layer_is_shown_and_saved_as_pytorchs(kind, options):
    torch, theirs, ours = pair(kind, options)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [[tuple(p.shape) for p in ps] for ps in ours.all_weights] == [
        [tuple(p.shape) for p in ps] for ps in theirs.all_weights
    ]
    assert ours._flat_weights_names == theirs._flat_weights_names
    assert all(a is b for a, b in zip(ours._flat_weights, ours.parameters(), strict=True))
    back = getattr(torch.nn, kind)(3, 5, **options).double()
    back.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})
    for mine, other in zip(ours.parameters(), back.parameters(), strict=True):
        close(mine, other, rtol=0)
    assert ours.flatten_parameters() is None


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_second_gradients_of_a_packed_layer(kind):
    layer = getattr(nn, kind)(2, 2, bidirectional=True).double()
    shapes = [(3, 2, 2), *[(2, 2, 2)] * (2 if kind == "LSTM" else 1)]

    def call(x, *first):
        packed = rnn.pack_padded_sequence(x, [2, 3], enforce_sorted=False)
        return layer(packed, first if kind == "LSTM" else first[0])[0].data

    given = [tg.tensor(values(s, i), requires_grad=True) for i, s in enumerate(shapes)]
    assert tg.autograd.gradcheck(call, given)
    assert tg.autograd.gradgradcheck(call, given)


def test_closed_forms():
    adds_up = nn.RNN(1, 1, nonlinearity="relu")
    forgets = nn.LSTM(1, 1)
    keeps = nn.GRU(1, 1)
    with tg.no_grad():
        for parameter in adds_up.parameters():
            parameter.fill_(1.0 if parameter.ndim == 2 else 0.0)
        for parameter in (*forgets.parameters(), *keeps.parameters()):
            parameter.zero_()
    x = tg.tensor([[1.0], [2.0], [4.0]])
    assert adds_up(x)[0].flatten().tolist() == [1, 3, 7]
    assert adds_up(x.unsqueeze(1), tg.ones(1, 1, 1))[1].item() == 8
    y, (h, c) = forgets(x, (tg.zeros(1, 1), tg.full((1, 1), 8.0)))
    assert c.item() == 1  # half of it at each step
    np.testing.assert_allclose(h.item(), 0.5 * np.tanh(1), rtol=1e-6)
    assert y[-1].item() == h.item()
    assert keeps(x, tg.full((1, 1), 8.0))[0].flatten().tolist() == [4, 2, 1]


@EACH
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_lower_precision_is_rounded_once_a_layer(kind, dtype, device):
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    dtype = getattr(tg, dtype)
    tg.manual_seed(0)
    layer = getattr(nn, kind)(8, 16).to(dtype)
    x = tg.tensor(values((40, 3, 8))).to(dtype)
    exact = copy.deepcopy(layer).double()
    layer.to(device)
    eps = tg.finfo(dtype).eps
    y, _ = layer(x.to(device))
    expected, _ = exact(x.double())
    assert y.dtype == dtype
    slack = 2 if dtype != tg.float32 else 20  # rounded at every step
    close(y.double(), expected, rtol=0, atol=slack * eps)
    y.sum().backward()
    expected.sum().backward()
    for mine, other in zip(layer.parameters(), exact.parameters(), strict=True):
        assert mine.grad.dtype == dtype
        close(
            mine.grad.double(), other.grad, rtol=0, atol=slack * eps * other.grad.abs().max().item()
        )


def nodes(t):
    found, stack = set(), [t._node]
    while stack:
        node = stack.pop()
        if node is not None and node not in found:
            found.add(node)
            stack += getattr(node, "edges", ())
    return len(found)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_a_layer_is_one_node_however_many_steps(kind):
    layer = getattr(nn, kind)(3, 4)
    short, long = (nodes(layer(tg.ones(n, 2, 3))[0]) for n in (1, 50))
    assert short == long


def test_memory_of_an_lstm_step():
    layer, x = nn.LSTM(64, 64), tg.tensor(values((64, 16, 64)), dtype=tg.float32)
    layer(x)[0].sum().backward()  # so that what is imported and compiled later is there
    rows = 64 * 16 * 64 * 4  # bytes of the input
    tracemalloc.start()
    layer(x)[0].sum().backward()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # the result, gates and their gradients of 4 each, three states; the gradient of the result
    assert peak < 15 * rows


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_result_may_be_changed_in_place(kind):
    layer = getattr(nn, kind)(3, 4).double()
    gradients = []
    for change in (lambda y: y.mul_(2), lambda y: y * 2):
        layer.zero_grad()
        change(layer(tg.tensor(values((5, 2, 3))))[0]).sum().backward()
        gradients.append([p.grad.clone() for p in layer.parameters()])
    for a, b in zip(*gradients, strict=True):
        close(a, b)


def test_states_are_not_overwritten():
    layer, x = nn.LSTM(3, 4), tg.tensor(values((5, 2, 3)), dtype=tg.float32)
    h, c = tg.ones(1, 2, 4), tg.ones(1, 2, 4)
    layer(x, (h, c))[0].sum().backward()
    assert h.tolist() == c.tolist() == tg.ones(1, 2, 4).tolist()


def test_dropout_is_between_layers_and_in_training():
    layer, x = nn.GRU(3, 4, num_layers=2, dropout=1.0), tg.ones(5, 2, 3)
    above = nn.GRU(4, 4)
    above.load_state_dict(
        {k.replace("_l1", "_l0"): v for k, v in layer.state_dict().items() if "_l1" in k}
    )
    close(layer(x)[0], above(tg.zeros(5, 2, 4))[0])
    with tg.no_grad():
        assert not np.allclose(layer.eval()(x)[0].numpy(), above(tg.zeros(5, 2, 4))[0].numpy())
    with pytest.warns(UserWarning, match="dropout=0.5 stands between layers"):
        nn.GRU(3, 4, dropout=0.5)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_empty_batch(kind):
    layer = getattr(nn, kind)(3, 4, num_layers=2, bidirectional=True)
    x = tg.ones(5, 0, 3, requires_grad=True)
    y, last = layer(x)
    assert tuple(y.shape) == (5, 0, 8)
    assert tuple((last[1] if kind == "LSTM" else last).shape) == (4, 0, 4)
    y.sum().backward()
    assert all(p.grad.abs().sum().item() == 0 for p in layer.parameters())
    assert tuple(x.grad.shape) == (5, 0, 3)


def test_copies_and_states_of_before():
    layer, x = nn.LSTM(3, 4, num_layers=2), tg.ones(5, 2, 3)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        close(twin(x)[0], layer(x)[0])
        assert twin.all_weights[0][0] is not layer.all_weights[0][0]
    old = copy.copy(layer)
    state = {k: v for k, v in vars(layer).items() if k != "proj_size"}
    old.__setstate__(state)
    assert old.proj_size == 0
    layer.weight_ih_l0 = nn.Parameter(tg.zeros(16, 3))
    assert layer.all_weights[0][0] is layer.weight_ih_l0 is layer._flat_weights[0]
    base = nn.RNNBase("GRU", 3, 4)
    assert tuple(base(x)[0].shape) == (5, 2, 4)


def test_layers_start_within_the_root_of_their_state():
    for layer in (nn.LSTM(40, 16), nn.RNN(40, 16), nn.LSTMCell(40, 16), nn.RNNCell(40, 16)):
        for parameter in layer.parameters():
            assert 0.2 < parameter.abs().max().item() <= 0.25


# ---------------------------------------------------------------------- cells


@EACH
@pytest.mark.parametrize("batch", [(4,), ()], ids=["batch", "alone"])
@pytest.mark.parametrize("given", [True, False], ids=["from a state", "from zero"])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("RNNCell", {}),
        ("RNNCell", dict(nonlinearity="relu", bias=False)),
        ("LSTMCell", {}),
        ("LSTMCell", dict(bias=False)),
        ("GRUCell", {}),
    ],
    ids=label,
)
def test_cell_equals_pytorchs(kind, options, given, batch, device):
    torch, theirs, ours = pair(kind, options)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.to(device)
    found = []
    for lib, cell, where in ((tg, ours, device), (torch, theirs, "cpu")):
        x, h, c = (
            lib.tensor(values((*batch, n), n), device=where, requires_grad=True) for n in (3, 5, 5)
        )
        hx = ((h, c) if kind == "LSTMCell" else h) if given else None
        out = cell(x, cell(x, hx))
        out = out if isinstance(out, tuple) else (out,)
        sum((y * y).sum() for y in out).backward()
        found.append(
            [*out, x.grad, *([h.grad] if given else []), *[p.grad for p in cell.parameters()]]
        )
    for mine, other in zip(*found, strict=True):
        close(mine, other)


# ---------------------------------------------------------------------- sequences


def sequences(lib, *lengths, dtype="float64", width=2):
    shape = (width,) if width else ()
    return [
        lib.tensor(values((n, *shape), i) * 5, requires_grad=dtype == "float64").to(
            getattr(lib, dtype)
        )
        for i, n in enumerate(lengths)
    ]


PADDED = [
    ([3, 1, 2], dict()),
    ([3, 1, 2], dict(batch_first=True, padding_value=-1.5)),
    ([3, 1, 2], dict(padding_side="left")),
    ([0, 2], dict(padding_side="left", batch_first=True, dtype="int64", padding_value=2.0)),
    ([2, 4], dict(width=0)),
    ([0, 0], dict()),
    ([5], dict(batch_first=True)),
]


@EACH
@pytest.mark.parametrize(("lengths", "options"), PADDED, ids=label)
def test_pad_sequence_equals_pytorchs(lengths, options, device):
    torch, options = oracle(), dict(options)
    made = {name: options.pop(name) for name in ("dtype", "width") if name in options}
    found = []
    for lib, where in ((tg, device), (torch, "cpu")):
        leaves = sequences(lib, *lengths, **made)
        y = lib.nn.utils.rnn.pad_sequence([s.to(where) for s in leaves], **options)
        if y.requires_grad:
            (y * y).sum().backward()
        found.append([y, *([s.grad for s in leaves] if y.requires_grad else [])])
    assert found[0][0].dtype.name == str(found[1][0].dtype).split(".")[1]
    for mine, other in zip(*found, strict=True):
        close(mine, other)


@EACH
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize(
    ("lengths", "ordered", "rest"),
    [
        ([4, 4, 2, 1], True, (2,)),
        ([1, 4, 2, 4], False, (2,)),
        ([2, 1, 2], False, ()),
        ([3, 3], True, (2, 2)),
        ([1], False, (3,)),
    ],
    ids=label,
)
def test_packing_there_and_back_equals_pytorchs(lengths, ordered, rest, batch_first, device):
    torch = oracle()
    shape = (len(lengths), 5) if batch_first else (5, len(lengths))
    found = []
    for lib, where in ((tg, device), (torch, "cpu")):
        x = lib.tensor(values((*shape, *rest)), requires_grad=True)
        tools = lib.nn.utils.rnn
        packed = tools.pack_padded_sequence(x.to(where), lengths, batch_first, ordered)
        longer, counts = tools.pad_packed_sequence(packed, batch_first, -1.0, 7)
        short, _ = tools.pad_packed_sequence(packed)
        (longer * longer).sum().backward()
        parts = tools.unpack_sequence(packed)
        assert counts.tolist() == lengths == [len(p) for p in parts]
        assert [t is None for t in packed[2:]] == [ordered, ordered]
        indices = [] if ordered else packed[2:]
        found.append(
            [packed.data, packed.batch_sizes, *indices, longer, counts, short, x.grad, *parts]
        )
    for mine, other in zip(*found, strict=True):
        assert mine.dtype.name == str(other.dtype).split(".")[1]
        close(mine, other)


def test_pack_sequence_and_unpad_sequence():
    a, b, c = (tg.tensor([float(i)] * n) for i, n in ((1, 1), (2, 3), (3, 2)))
    packed = rnn.pack_sequence([a, b, c], enforce_sorted=False)
    assert packed.data.tolist() == [2, 3, 1, 2, 3, 2]
    assert packed.batch_sizes.tolist() == [3, 2, 1]
    assert packed.sorted_indices.tolist() == [1, 2, 0]
    assert packed.unsorted_indices.tolist() == [2, 0, 1]
    assert [s.tolist() for s in rnn.unpack_sequence(packed)] == [a.tolist(), b.tolist(), c.tolist()]
    padded = tg.arange(6).reshape(3, 2)
    for lengths in ([1, 3], tg.tensor([1, 3]), (1, 9)):
        assert [s.tolist() for s in rnn.unpad_sequence(padded, lengths)] == [[0], [1, 3, 5]]
    assert tuple(padded.shape) == (3, 2)  # PyTorch leaves it transposed
    assert [s.tolist() for s in rnn.unpad_sequence(padded.T, [0, 2], True)] == [[], [1, 3]]
    part = rnn.unpad_sequence(padded, [3, 3])[0]
    part += 1
    assert padded[0, 0].item() == 0
    assert rnn.invert_permutation(tg.tensor([2, 0, 1])).tolist() == [1, 2, 0]
    assert rnn.invert_permutation(None) is None


@EACH
def test_packed_sequence_moves_and_converts(device):
    packed = rnn.pack_sequence([tg.ones(1), tg.ones(3)], enforce_sorted=False)
    assert isinstance(packed, tuple)
    for method, dtype in (
        ("double", tg.float64),
        ("float", tg.float32),
        ("half", tg.float16),
        ("long", tg.int64),
        ("int", tg.int32),
        ("short", tg.int16),
        ("char", tg.int8),
        ("byte", tg.uint8),
    ):
        other = getattr(packed, method)()
        assert other.data.dtype == dtype
        assert isinstance(other, rnn.PackedSequence)
        assert other.batch_sizes is packed.batch_sizes
        assert (other is packed) == (method == "float")
    moved = packed.to(device)
    assert moved.data.device.type == moved.sorted_indices.device.type == device
    assert moved.batch_sizes.device.type == "cpu"
    assert moved.cpu().data.device.type == "cpu"
    assert (packed.to(device, tg.float64).data.dtype, packed.is_cuda) == (tg.float64, False)
    assert packed.pin_memory().data.tolist() == packed.data.tolist()
    assert not packed.is_pinned()
    two = rnn.PackedSequence((packed.data, packed.batch_sizes))
    assert two.sorted_indices is None
    data, sizes, order, back = packed
    assert rnn.PackedSequence(data, sizes, order).unsorted_indices.tolist() == back.tolist()
    assert "batch_sizes=tensor([2, 1, 1]" in repr(packed)
    for twin in (copy.deepcopy(packed), pickle.loads(pickle.dumps(packed))):
        assert isinstance(twin, rnn.PackedSequence)
        assert [t.tolist() for t in twin] == [t.tolist() for t in packed]


# ---------------------------------------------------------------------- what is refused

X = (4, 3, 2)  # length, batch, features

REFUSED = [
    # a call with either library, the error, and what the message says here
    (lambda t: t.nn.LSTM(0, 3), ValueError, "LSTM: input_size must be positive, not 0"),
    (lambda t: t.nn.GRU(2, -3), ValueError, "GRU: hidden_size must be positive, not -3"),
    (lambda t: t.nn.RNN(2, 3, 0), ValueError, "RNN: num_layers must be positive, not 0"),
    (lambda t: t.nn.LSTM(2.0, 3), TypeError, "input_size must be an int, got float 2.0"),
    (lambda t: t.nn.LSTM(2, "3"), TypeError, "hidden_size must be an int, got str '3'"),
    (lambda t: t.nn.LSTM(2, 3, 1.5), TypeError, "num_layers must be an int, got float 1.5"),
    (lambda t: t.nn.LSTM(2, 3, bias=1), TypeError, "bias must be True or False"),
    (lambda t: t.nn.LSTM(2, 3, batch_first="y"), TypeError, "batch_first must be True or False"),
    (lambda t: t.nn.LSTM(2, 3, 2, dropout=1.5), ValueError, "probability, 0 to 1, not 1.5"),
    (lambda t: t.nn.LSTM(2, 3, 2, dropout=-0.1), ValueError, "probability, 0 to 1, not -0.1"),
    (lambda t: t.nn.LSTM(2, 3, 2, dropout=True), ValueError, "probability, 0 to 1, not True"),
    (lambda t: t.nn.LSTM(2, 3, proj_size=3), ValueError, "less than hidden_size, 3; got 3"),
    (lambda t: t.nn.LSTM(2, 3, proj_size=-1), ValueError, "proj_size must be 0 .* got -1"),
    (lambda t: t.nn.GRU(2, 3, proj_size=1), ValueError, "only LSTM has a proj_size, got 1"),
    (lambda t: t.nn.RNN(2, 3, proj_size=1), ValueError, "only LSTM has a proj_size, got 1"),
    (lambda t: t.nn.RNN(2, 3, nonlinearity="gelu"), ValueError, "'tanh' or 'relu', not 'gelu'"),
    (lambda t: t.nn.RNNBase("LTSM", 2, 3), ValueError, "one of RNN_TANH, .* not 'LTSM'"),
    (lambda t: t.nn.LSTM(2, 3)(t.ones(3)), ValueError, r"\(length, batch, 2\), or .* got \(3,\)"),
    (
        lambda t: t.nn.GRU(2, 3, batch_first=True)(t.ones(1, *X)),
        ValueError,
        r"\(batch, length, 2\), or .* got \(1, 4, 3, 2\)",
    ),
    (lambda t: t.nn.RNN(3, 3)(t.ones(X)), RuntimeError, r"input_size, 3, got .* \(4, 3, 2\)"),
    (lambda t: t.nn.LSTM(2, 3)(t.ones(0, 3, 2)), RuntimeError, r"\(0, 3, 2\) has no step"),
    (
        lambda t: t.nn.LSTM(2, 3)(t.ones(X, dtype=t.float64)),
        ValueError,
        "the input is float64, the weights are float32",
    ),
    (
        lambda t: t.nn.GRU(2, 3)(t.ones(X), t.ones(1, 4, 3)),
        RuntimeError,
        r"of shape \(4, 3, 2\), hx must have shape \(1, 3, 3\), got \(1, 4, 3\)",
    ),
    (
        lambda t: t.nn.RNN(2, 3)(t.ones(X), t.ones(1, 3)),
        RuntimeError,
        r"hx must have shape \(1, 3, 3\), got \(1, 3\)",
    ),
    (
        lambda t: t.nn.RNN(2, 3)(t.ones(4, 2), t.ones(1, 1, 3)),
        RuntimeError,
        r"of shape \(4, 2\), hx must have shape \(1, 3\), got \(1, 1, 3\)",
    ),
    (
        lambda t: t.nn.LSTM(2, 3)(t.ones(X), (t.ones(1, 3, 3), t.ones(1, 2, 3))),
        RuntimeError,
        r"c_0 must have shape \(1, 3, 3\), got \(1, 2, 3\)",
    ),
    (
        lambda t: t.nn.LSTM(2, 3, proj_size=1)(t.ones(X), (t.ones(1, 3, 3), t.ones(1, 3, 3))),
        RuntimeError,
        r"h_0 must have shape \(1, 3, 1\), got \(1, 3, 3\)",
    ),
    (
        lambda t: t.nn.GRU(2, 3)(t.ones(X), t.ones(1, 3, 3, dtype=t.float64)),
        RuntimeError,
        "dtypes float32 of input and float64 of hx do not mix",
    ),
    (
        lambda t: t.nn.RNN(2, 3)(t.nn.utils.rnn.pack_sequence([t.ones(2, 1)])),
        RuntimeError,
        r"input_size, 2, got an input of shape \(2, 1\)",
    ),
    (
        lambda t: t.nn.RNN(2, 3)(t.nn.utils.rnn.pack_sequence([t.ones(2)])),
        RuntimeError,
        r"must be \(rows, 2\), got \(2,\)",
    ),
    (
        lambda t: t.nn.LSTMCell(2, 3)(t.ones(4, 2), t.ones(4, 3)),
        TypeError,
        r"must be the pair \(h, c\), got a Tensor",
    ),
    (
        lambda t: t.nn.LSTMCell(2, 3)(t.ones(4, 2), (t.ones(4, 3),)),
        RuntimeError,
        r"must be the pair \(h, c\), got 1 of them",
    ),
    (
        lambda t: t.nn.LSTMCell(2, 3)(t.ones(4, 2), (t.ones(4, 3), t.ones(4, 2))),
        RuntimeError,
        r"input \(4, 2\) and hx\[1\] \(4, 2\) must be \(batch, 2\) and \(batch, 3\)",
    ),
    (
        lambda t: t.nn.RNNCell(2, 3, nonlinearity="gelu")(t.ones(4, 2)),
        RuntimeError,
        "'tanh' or 'relu', not 'gelu'",
    ),
    (
        lambda t: t.nn.utils.rnn.pack_padded_sequence(t.ones(X), [4, 2, 3]),
        RuntimeError,
        r"lengths \[4, 2, 3\] must not rise: .* enforce_sorted=False",
    ),
    (
        lambda t: t.nn.utils.rnn.pack_padded_sequence(t.ones(X), [4, 2, 0]),
        RuntimeError,
        r"must be positive, got \[4, 2, 0\]",
    ),
    (
        lambda t: t.nn.utils.rnn.pack_padded_sequence(t.ones(X), [4, 2]),
        RuntimeError,
        "got 2 lengths for a batch of 3",
    ),
    (
        lambda t: t.nn.utils.rnn.pack_padded_sequence(t.ones(X), t.tensor([[4, 2, 1]])),
        RuntimeError,
        r"a list of ints, or a 1-d tensor on the CPU, got shape \(1, 3\)",
    ),
    (
        lambda t: t.nn.utils.rnn.pack_padded_sequence(t.ones(0, 3, 2), [1, 1, 1]),
        RuntimeError,
        r"nothing to pack in an input of shape \(0, 3, 2\)",
    ),
    (
        lambda t: t.nn.utils.rnn.pack_padded_sequence(t.ones(4), [1]),
        IndexError,
        r"a length and a batch, got shape \(4,\)",
    ),
    (
        lambda t: t.nn.utils.rnn.pack_padded_sequence([[1.0]], [1]),
        (TypeError, AttributeError),
        "expects a Tensor, got list",
    ),
    (
        lambda t: t.nn.utils.rnn.pad_packed_sequence(
            t.nn.utils.rnn.pack_sequence([t.ones(4)]), total_length=3
        ),
        ValueError,
        "total_length=3 is less than the longest sequence's 4 steps",
    ),
    (
        lambda t: t.nn.utils.rnn.pad_packed_sequence(
            t.nn.utils.rnn.PackedSequence(t.ones(4), t.tensor([1, 2, 1]))
        ),
        RuntimeError,
        r"batch_sizes must be positive, and not rise, got \[1, 2, 1\]",
    ),
    (lambda t: t.nn.utils.rnn.pad_sequence([]), RuntimeError, "there is no sequence"),
    (lambda t: t.nn.utils.rnn.pad_sequence(3), RuntimeError, "a list of Tensors, got a int"),
    (lambda t: t.nn.utils.rnn.pad_sequence([[1]]), TypeError, "expects a Tensor, got list"),
    (
        lambda t: t.nn.utils.rnn.pad_sequence([t.ones(2, 3), t.ones(3, 2)]),
        RuntimeError,
        r"of one size behind the length, .* got \(2, 3\) and \(3, 2\)",
    ),
    (
        lambda t: t.nn.utils.rnn.pad_sequence([t.tensor(1.0)]),
        RuntimeError,
        r"\(length, ...\), got \(\)",
    ),
    (
        lambda t: t.nn.utils.rnn.pad_sequence([t.ones(2)], padding_side="up"),
        RuntimeError,
        "padding_side must be 'left' or 'right', not 'up'",
    ),
    (
        lambda t: t.nn.utils.rnn.unpad_sequence(t.ones(X), t.tensor([4, 2])),
        ValueError,
        r"2 lengths for 3 sequences, in a tensor of shape \(4, 3, 2\)",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSED, ids=[m for *_, m in REFUSED])
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call(tg)
    with pytest.raises(error):
        call(oracle())


def test_bad_input_that_pytorch_takes_or_meets_by_accident():
    x, packed = tg.ones(X), rnn.pack_sequence([tg.ones(4, 2)])
    with pytest.raises(RuntimeError, match=r"a length of 5 is more than the 4 steps .*\(4, 3, 2\)"):
        rnn.pack_padded_sequence(x, [5, 2, 1])
    with pytest.raises(RuntimeError, match=r"\(h_0, c_0\), got a Tensor of shape \(1, 3, 3\)"):
        nn.LSTM(2, 3)(x, tg.ones(1, 3, 3))
    with pytest.raises(RuntimeError, match=r"\(h_0, c_0\), got a tuple"):
        nn.LSTM(2, 3)(x, (tg.ones(1, 3, 3),))
    with pytest.raises(TypeError, match=r"\[LSTM\] expects a Tensor, got list"):
        nn.LSTM(2, 3)([1.0])
    with pytest.raises(RuntimeError, match=r"hx must have shape \(1, 1, 3\), got \(1, 2, 3\)"):
        nn.GRU(2, 3)(packed, tg.ones(1, 2, 3))
    with pytest.raises(RuntimeError, match=r"batch_sizes \[2\] want 2 rows, .* shape \(4,\)"):
        rnn.pad_packed_sequence(rnn.PackedSequence(tg.ones(4), tg.tensor([2])))
    with pytest.raises(TypeError, match="expects a PackedSequence, got a Tensor"):
        rnn.pad_packed_sequence(x)
    with pytest.raises(TypeError, match="expected data and batch_sizes, got a Tensor alone"):
        rnn.PackedSequence(x)
    with pytest.raises(ValueError, match="batch_sizes must be on the CPU, not on emulated"):
        rnn.PackedSequence(tg.ones(1), tg.tensor([1], device="emulated"))
    with pytest.raises(RuntimeError, match=r"1-d tensor on the CPU, got shape \(3,\) on emulated"):
        rnn.pack_padded_sequence(x, tg.tensor([4, 2, 1], device="emulated"))
    with pytest.raises(
        TypeError, match=r"\[lstm_cell\] hx must be the pair \(h, c\), got a Tensor"
    ):
        tg.lstm_cell(tg.ones(1, 2), tg.ones(1, 3), tg.ones(12, 2), tg.ones(12, 3))
    with pytest.raises(RuntimeError, match=r"\[lstm_cell\] .* w_hh must have shape \(12, 3\)"):
        tg.lstm_cell(tg.ones(1, 2), [tg.ones(1, 3)] * 2, tg.ones(12, 2), tg.ones(9, 3))
