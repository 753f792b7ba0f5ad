"""Modules: what they keep, what they compute, how they start. PyTorch's layers are the oracle."""

import copy
import gc
import math
import tracemalloc
import weakref

import numpy as np
import pytest
from test_all_or_nothing import interrupted_everywhere

import tapegrad as tg
from tapegrad import nn

ORACLE = "PyTorch is the oracle"

# (layer, arguments, input shape or integer indices below a bound)
LAYERS = [
    ("Linear", dict(in_features=4, out_features=3), (5, 4)),
    ("Linear", dict(in_features=4, out_features=3, bias=False), (2, 5, 4)),
    ("Linear", dict(in_features=4, out_features=3), (4,)),
    ("Identity", dict(), (2, 3)),
    ("Conv2d", dict(in_channels=2, out_channels=4, kernel_size=3), (2, 2, 6, 7)),
    ("Conv2d", dict(in_channels=2, out_channels=3, kernel_size=(3, 2), stride=2, padding=1,
                    bias=False), (2, 2, 7, 6)),
    ("Conv2d", dict(in_channels=4, out_channels=6, kernel_size=3, groups=2, dilation=2),
     (2, 4, 8, 8)),
    ("Conv2d", dict(in_channels=2, out_channels=2, kernel_size=(3, 5), padding="same"),
     (2, 2, 6, 6)),
    ("Conv2d", dict(in_channels=2, out_channels=2, kernel_size=(2, 4), padding="same",
                    dilation=(1, 2)), (1, 2, 8, 8)),
    ("Conv2d", dict(in_channels=2, out_channels=2, kernel_size=3, padding="valid"), (1, 2, 5, 5)),
    ("BatchNorm2d", dict(num_features=3), (4, 3, 2, 5)),
    ("BatchNorm2d", dict(num_features=3, momentum=None, eps=1e-3), (4, 3, 2, 5)),
    ("BatchNorm2d", dict(num_features=3, affine=False), (4, 3, 2, 5)),
    ("BatchNorm2d", dict(num_features=3, track_running_stats=False), (4, 3, 2, 5)),
    ("LayerNorm", dict(normalized_shape=6), (4, 6)),
    ("LayerNorm", dict(normalized_shape=(3, 6), bias=False), (2, 3, 6)),
    ("LayerNorm", dict(normalized_shape=[6], elementwise_affine=False), (2, 6)),
    ("RMSNorm", dict(normalized_shape=6), (4, 6)),
    ("RMSNorm", dict(normalized_shape=(3, 6), eps=1e-3, elementwise_affine=False), (2, 3, 6)),
    ("Embedding", dict(num_embeddings=7, embedding_dim=3), 7),
    ("Embedding", dict(num_embeddings=7, embedding_dim=3, padding_idx=-2), 7),
    ("Dropout", dict(p=0.0), (3, 4)),
    ("Flatten", dict(), (2, 3, 4)),
    ("Flatten", dict(start_dim=0, end_dim=1), (2, 3, 4)),
    ("ReLU", dict(), (3, 4)),
    ("LeakyReLU", dict(negative_slope=0.2), (3, 4)),
    ("ELU", dict(alpha=0.5), (3, 4)),
    ("GELU", dict(), (3, 4)),
    ("GELU", dict(approximate="tanh"), (3, 4)),
    ("SiLU", dict(), (3, 4)),
    ("Sigmoid", dict(), (3, 4)),
    ("Tanh", dict(), (3, 4)),
    ("Softplus", dict(beta=2.0, threshold=1.0), (3, 4)),
    ("Softmax", dict(dim=1), (3, 4)),
    ("LogSoftmax", dict(dim=0), (3, 4)),
    *[(name, dict(), (3, 4)) for name in (
        "CELU", "GLU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "LogSigmoid", "Mish",
        "PReLU", "ReLU6", "SELU", "Softshrink", "Softsign", "Tanhshrink")],
    ("CELU", dict(alpha=0.4), (3, 4)),
    ("GLU", dict(dim=0), (4, 3)),
    ("Hardshrink", dict(lambd=0.1), (3, 4)),
    ("Hardtanh", dict(min_val=-0.3, max_val=0.2), (3, 4)),
    ("PReLU", dict(num_parameters=3, init=0.1), (2, 3, 4)),
    ("Softmin", dict(dim=0), (3, 4)),
    ("Softmax2d", dict(), (2, 3, 2, 2)),
    ("Softmax2d", dict(), (3, 2, 2)),
    ("Threshold", dict(threshold=0.1, value=3.0), (3, 4)),
    ("BatchNorm1d", dict(num_features=3), (4, 3)),
    ("BatchNorm1d", dict(num_features=3, bias=False), (4, 3, 5)),
    ("BatchNorm3d", dict(num_features=2, momentum=0.3), (2, 2, 2, 3, 2)),
    ("InstanceNorm1d", dict(num_features=3), (2, 3, 4)),
    ("InstanceNorm1d", dict(num_features=3, affine=True, track_running_stats=True), (2, 3, 4)),
    ("InstanceNorm2d", dict(num_features=3, affine=True, bias=False), (3, 2, 4)),
    ("InstanceNorm3d", dict(num_features=2, track_running_stats=True, momentum=0.4),
     (2, 2, 2, 2, 3)),
    ("GroupNorm", dict(num_groups=2, num_channels=4), (3, 4, 5)),
    ("GroupNorm", dict(num_groups=4, num_channels=4, affine=False), (3, 4, 2, 2)),
    ("GroupNorm", dict(num_groups=1, num_channels=4, bias=False), (3, 4)),
    ("LocalResponseNorm", dict(size=3, alpha=0.2, beta=0.5, k=2.0), (2, 5, 3)),
    ("LocalResponseNorm", dict(size=2), (2, 5, 3, 2)),
    ("Embedding", dict(num_embeddings=7, embedding_dim=3, max_norm=0.5, norm_type=1.0), 7),
    ("Embedding", dict(num_embeddings=7, embedding_dim=3, scale_grad_by_freq=True), 7),
    *[("EmbeddingBag", dict(num_embeddings=7, embedding_dim=3, mode=mode, padding_idx=1), 7)
      for mode in ("sum", "mean", "max")],
    ("Unflatten", dict(dim=1, unflattened_size=(2, 3)), (2, 6)),
    ("Dropout1d", dict(p=0.0), (2, 3, 4)),
    ("Dropout2d", dict(p=0.0), (2, 3, 4, 4)),
    ("Dropout3d", dict(p=0.0), (2, 3, 4, 4, 2)),
    ("AlphaDropout", dict(p=0.0), (3, 4)),
    ("FeatureAlphaDropout", dict(p=0.0), (3, 4)),
    ("MaxPool2d", dict(kernel_size=2), (2, 3, 5, 6)),
    ("MaxPool2d", dict(kernel_size=3, stride=2, padding=1, ceil_mode=True), (2, 3, 6, 6)),
    ("AvgPool2d", dict(kernel_size=2), (2, 3, 5, 6)),
    ("AvgPool2d", dict(kernel_size=3, stride=2, padding=1, count_include_pad=False), (2, 3, 6, 6)),
    ("GRUCell", dict(input_size=4, hidden_size=3), (5, 4)),
    ("GRUCell", dict(input_size=4, hidden_size=3, bias=False), (4,)),
]  # fmt: skip


def label(value):
    if isinstance(value, dict):
        return ",".join(f"{k}={getattr(v, '__name__', v)}" for k, v in value.items())
    return str(value)


def values(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.filterwarnings("ignore:Using padding='same'")  # PyTorch's, about its own speed
@pytest.mark.parametrize(("name", "arguments", "shape"), LAYERS, ids=label)
def test_layer_equals_pytorchs(name, arguments, shape):
    torch = pytest.importorskip("torch", reason=ORACLE, exc_type=ImportError)
    theirs = getattr(torch.nn, name)(**arguments).double()
    ours = getattr(nn, name)(**arguments).double()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    for p in theirs.parameters():  # layers that start with ones would hide a mistake
        torch.nn.init.uniform_(p, -1, 1)
    ours.load_state_dict(theirs.state_dict())

    if isinstance(shape, int):
        given = np.random.default_rng(0).integers(0, shape, (4, 5))
        x, y = tg.tensor(given), torch.tensor(given)
    else:
        given = values(shape)
        x, y = tg.tensor(given).requires_grad_(), torch.tensor(given).requires_grad_()
    for _ in range(2):  # the second pass sees what the first left in buffers
        mine, other = ours(x), theirs(y)
        np.testing.assert_allclose(mine.detach().numpy(), other.detach().numpy(), rtol=1e-9,
                                   atol=1e-12)  # fmt: skip
        if mine.requires_grad:
            weights = values(mine.shape, 1)
            (mine * tg.tensor(weights)).sum().backward()
            (other * torch.tensor(weights)).sum().backward()
    gradients = [(x, y)] if x.requires_grad else []
    gradients += list(zip(ours.parameters(), theirs.parameters(), strict=True))
    for p, q in gradients:  # (PyTorch's slope of hardsigmoid is 1/6 in float32)
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-7, atol=1e-10)
    for key, buffer in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[key].numpy(), buffer.numpy(), rtol=1e-9)

    ours.eval()
    theirs.eval()
    np.testing.assert_allclose(ours(x).detach().numpy(), theirs(y).detach().numpy(), rtol=1e-9,
                               atol=1e-12)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "arguments"),
    [(name, arguments) for name, arguments, _ in LAYERS if not name.endswith("Pool2d")]
    + [(name, dict()) for name in ("CosineSimilarity", "PairwiseDistance", "RReLU", "CTCLoss")]
    + [("Bilinear", dict(in1_features=2, in2_features=3, out_features=4)),
       ("ReLU", dict(inplace=True)), ("ELU", dict(inplace=True)),
       ("EmbeddingBag", dict(num_embeddings=3, embedding_dim=2, max_norm=1.0, norm_type=1.0))],
    ids=label,
)  # fmt: skip
def test_repr_is_pytorchs(name, arguments):
    torch = pytest.importorskip("torch", reason=ORACLE, exc_type=ImportError)
    assert repr(getattr(nn, name)(**arguments)) == repr(getattr(torch.nn, name)(**arguments))


# (loss, arguments, inputs that require grad, targets): arrays, by name.
def _numbers():
    random = np.random.default_rng(0)
    x, y, z = random.standard_normal((3, 6, 4))
    return dict(
        x=x, y=y, z=z, p=1 / (1 + np.exp(-x)), t=abs(y) / 4, positive=abs(y) + 0.1,
        signs=np.sign(y), row_signs=np.sign(y[:, 0]), classes=np.array([0, 3, 2, 1, 0, 0]),
        counts=random.integers(0, 5, (6, 4)), bits=random.integers(0, 2, (6, 4)),
        labels=np.array([[3, 1, -1, 2], [0, -1, 1, 1], [-1] * 4, [2, 3, 0, 1], [1, -1, 0, 0],
                         [-1, 3, 3, 3]]),
        weight=np.array([0.5, 1.0, 2.0, 0.1]), column=abs(y[:, :1]) + 0.1,
    )  # fmt: skip


NUMBERS = _numbers()
WEIGHTS = "weights"
LOSSES = [
    ("MSELoss", dict(reduction="sum"), "x", "y"),
    ("MSELoss", dict(), "x", "y"),
    ("L1Loss", dict(reduction="none"), "x", "y"),
    ("SmoothL1Loss", dict(beta=0.3), "x y", ""),
    ("SmoothL1Loss", dict(beta=0.0, reduction="sum"), "x y", ""),
    ("HuberLoss", dict(reduction="none", delta=0.6), "x y", ""),
    ("SoftMarginLoss", dict(), "x", "signs"),
    ("HingeEmbeddingLoss", dict(margin=0.7), "x", "signs"),
    ("KLDivLoss", dict(reduction="batchmean"), "x", "t"),
    ("KLDivLoss", dict(reduction="sum", log_target=True), "x y", ""),
    ("PoissonNLLLoss", dict(full=True), "x", "counts"),
    ("PoissonNLLLoss", dict(log_input=False, eps=1e-3, reduction="sum"), "p", "counts"),
    ("GaussianNLLLoss", dict(full=True), "x y positive", ""),
    ("GaussianNLLLoss", dict(eps=0.5, reduction="none"), "x y column", ""),
    ("NLLLoss", dict(ignore_index=2), "x", "classes"),
    ("NLLLoss", dict(weight=WEIGHTS), "x", "classes"),
    ("CrossEntropyLoss", dict(), "x", "classes"),
    ("CrossEntropyLoss", dict(label_smoothing=0.1, reduction="sum"), "x", "classes"),
    ("CrossEntropyLoss", dict(), "x", "t"),
    ("CrossEntropyLoss", dict(weight=WEIGHTS), "x", "classes"),
    ("BCELoss", dict(), "p t", ""),
    ("BCELoss", dict(weight=WEIGHTS, reduction="none"), "p", "t"),
    ("BCEWithLogitsLoss", dict(), "x", "t"),
    ("BCEWithLogitsLoss", dict(pos_weight=WEIGHTS), "x", "t"),
    ("MultiMarginLoss", dict(p=2, margin=0.5), "x", "classes"),
    ("MultiMarginLoss", dict(weight=WEIGHTS, reduction="none"), "x", "classes"),
    ("MultiLabelMarginLoss", dict(), "x", "labels"),
    ("MultiLabelMarginLoss", dict(reduction="none"), "x", "labels"),
    ("MultiLabelSoftMarginLoss", dict(weight=WEIGHTS), "x", "bits"),
    ("CosineEmbeddingLoss", dict(margin=0.2), "x y", "row_signs"),
    ("MarginRankingLoss", dict(margin=0.3, reduction="sum"), "x y", "signs"),
    ("TripletMarginLoss", dict(), "x y z", ""),
    ("TripletMarginLoss", dict(margin=3.0, p=3.0, swap=True, reduction="none"), "x y z", ""),
    ("TripletMarginWithDistanceLoss", dict(margin=2.0, swap=True), "x y z", ""),
]


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")  # PyTorch's, about kl_div
@pytest.mark.parametrize(("name", "arguments", "inputs", "targets"), LOSSES, ids=label)
def test_loss_equals_pytorchs(name, arguments, inputs, targets):
    torch = pytest.importorskip("torch", reason=ORACLE, exc_type=ImportError)
    results = []
    for library in (tg, torch):
        weights = library.tensor(NUMBERS["weight"])
        chosen = {k: weights if v is WEIGHTS else v for k, v in arguments.items()}
        loss = getattr(library.nn, name)(**chosen)
        given = [library.tensor(NUMBERS[n]).requires_grad_() for n in inputs.split()]
        out = loss(*given, *(library.tensor(NUMBERS[n]) for n in targets.split()))
        out.sum().backward()
        results.append((out.detach().numpy(), *(x.grad.numpy() for x in given)))
    for mine, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-12)


CTC = [
    (dict(), "padded", "tensors"),
    (dict(reduction="sum", blank=2), "padded", "tuples"),
    (dict(reduction="none"), "joined", "tensors"),
    (dict(reduction="none", zero_infinity=True), "impossible", "tuples"),
    (dict(reduction="none"), "impossible", "tensors"),
    (dict(reduction="sum", zero_infinity=True), "empty", "tensors"),
]


@pytest.mark.parametrize("device", ["cpu", "emulated"])
@pytest.mark.parametrize(("arguments", "kind", "lengths"), CTC, ids=label)
def test_ctc_loss_equals_pytorchs(arguments, kind, lengths, device):
    torch = pytest.importorskip("torch", reason=ORACLE, exc_type=ImportError)
    blank = arguments.get("blank", 0)
    labels = np.random.default_rng(3).integers(0, 4, (3, 5)) + 1
    labels[labels == blank] = 5
    labels[0, 1] = labels[0, 0]  # a repeated label, which needs a blank between
    times, counts = [12, 7, 10], [5, 2, 4]
    if kind == "impossible":
        times = [12, 1, 4]
    if kind == "empty":
        times, counts = [12, 7, 0], [0, 2, 0]
    if kind == "joined":
        labels = np.concatenate([row[:n] for row, n in zip(labels, counts, strict=True)])
    results = []
    for library, place in ((tg, device), (torch, "cpu")):
        x = library.tensor(values((12, 3, 6)), device=place).requires_grad_()
        ends = [times, counts] if lengths == "tuples" else map(library.tensor, (times, counts))
        log_probs = library.nn.functional.log_softmax(x, 2)
        targets = library.tensor(labels, device=place)
        out = library.nn.CTCLoss(**arguments)(log_probs, targets, *map(tuple, ends)
                                              if lengths == "tuples" else ends)  # fmt: skip
        out.sum().backward()
        results.append((out.detach().cpu().numpy(), x.grad.cpu().numpy()))
    for mine, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-8, atol=1e-11)


def test_ctc_loss_of_one_sequence_and_of_what_is_impossible():
    log_probs = tg.nn.functional.log_softmax(tg.tensor(values((5, 4))), 1)
    target = tg.tensor([1, 1, 3])
    alone = tg.nn.functional.ctc_loss(log_probs, target, 5, 3)
    assert alone.shape == ()
    batch = tg.nn.functional.ctc_loss(log_probs.unsqueeze(1), target.unsqueeze(0), (5,), (3,))
    assert alone.item() == batch.item()
    assert tg.nn.functional.ctc_loss(log_probs, target, 3, 3).item() == math.inf
    x = log_probs.clone().requires_grad_()
    with pytest.raises(NotImplementedError, match="ctc_backward"):
        tg.autograd.grad(tg.nn.functional.ctc_loss(x, target, 5, 3), x, create_graph=True)


def test_losses_take_their_tensors_by_pytorchs_names():
    x, y, z = (tg.tensor(NUMBERS[n]) for n in "xyz")
    signs, rows = tg.tensor(NUMBERS["signs"]), tg.tensor(NUMBERS["row_signs"])
    for loss, named in (
        (nn.MSELoss(), dict(input=x, target=y)),
        (nn.CrossEntropyLoss(), dict(input=x, target=tg.tensor(NUMBERS["classes"]))),
        (nn.GaussianNLLLoss(), dict(input=x, target=y, var=z * z)),
        (nn.MarginRankingLoss(), dict(input1=x, input2=y, target=signs)),
        (nn.CosineEmbeddingLoss(), dict(input1=x, input2=y, target=rows)),
        (nn.TripletMarginLoss(), dict(anchor=x, positive=y, negative=z)),
    ):
        assert loss(**named).item() == loss(*named.values()).item()


@pytest.mark.parametrize(
    "arguments",
    [dict(), dict(bias=True, label_smoothing=0.1), dict(weight=WEIGHTS, ignore_index=1),
     dict(out_features=(2, 3), bias=True, reduction="none")],
    ids=label,
)  # fmt: skip
def test_linear_cross_entropy_equals_pytorchs(arguments):
    torch = pytest.importorskip("torch", reason=ORACLE, exc_type=ImportError)
    layers = []
    for library in (tg, torch):
        weights = library.tensor(NUMBERS["weight"])
        chosen = {k: weights if v is WEIGHTS else v for k, v in arguments.items()}
        layers.append(library.nn.LinearCrossEntropyLoss(5, 4, **chosen).double())
    ours, theirs = layers
    assert repr(ours) == repr(theirs)
    ours.load_state_dict(theirs.state_dict())
    classes = np.random.default_rng(1).integers(0, 4, (6, *arguments.get("out_features", ())))
    compare_layers(torch, ours, theirs, [values((6, 5))], target=lambda t: t.tensor(classes))


@pytest.mark.parametrize("head_bias", [False, True])
def test_adaptive_softmax_equals_pytorchs(head_bias):
    torch = pytest.importorskip("torch", reason=ORACLE, exc_type=ImportError)
    arguments = (8, 20, [4, 9, 15], 2.0, head_bias)
    theirs = torch.nn.AdaptiveLogSoftmaxWithLoss(*arguments).double()
    ours = nn.AdaptiveLogSoftmaxWithLoss(*arguments).double()
    assert repr(ours) == repr(theirs)
    ours.load_state_dict(theirs.state_dict())
    x = values((12, 8))
    classes = np.array([0, 19, 4, 9, 3, 15, 8, 14, 2, 2, 10, 6])
    results = []
    for library, layer in ((tg, ours), (torch, theirs)):
        given = library.tensor(x).requires_grad_()
        output, loss = layer(given, library.tensor(classes))
        (loss + (output * output).sum()).backward()
        alone = layer(given[0], library.tensor(19))
        results.append([
            output.detach().numpy(), loss.detach().numpy(), given.grad.numpy(),
            *(p.grad.numpy() for p in layer.parameters()), layer.predict(given).numpy(),
            layer.log_prob(given).detach().numpy(), *(t.detach().numpy() for t in alone),
        ])  # fmt: skip
    for mine, other in zip(*results, strict=True):
        assert mine.shape == other.shape
        np.testing.assert_allclose(mine, other, rtol=1e-8, atol=1e-11)
    with pytest.raises(RuntimeError, match="classes 0 to 19, got 0 to 20"):
        ours(tg.tensor(x), tg.tensor([*classes[:-1], 20]))
    with pytest.raises(ValueError, match=r"between 1 and n_classes - 1 = 9, not \[3, 10\]"):
        nn.AdaptiveLogSoftmaxWithLoss(4, 10, [3, 10])


# Two inputs: (layer, arguments, shapes)
OF_TWO = [
    ("Bilinear", dict(in1_features=3, in2_features=4, out_features=2), (5, 3), (5, 4)),
    ("Bilinear", dict(in1_features=3, in2_features=4, out_features=2, bias=False), (2, 5, 3),
     (2, 5, 4)),
    ("CosineSimilarity", dict(), (5, 3), (5, 3)),
    ("CosineSimilarity", dict(dim=0, eps=2.0), (5, 3), (5, 1)),
    ("PairwiseDistance", dict(), (5, 3), (5, 3)),
    ("PairwiseDistance", dict(p=1.0, eps=0.1, keepdim=True), (5, 3), (3,)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "arguments", "first", "second"), OF_TWO, ids=label)
def test_layer_of_two_inputs_equals_pytorchs(name, arguments, first, second):
    torch = pytest.importorskip("torch", reason=ORACLE, exc_type=ImportError)
    theirs = getattr(torch.nn, name)(**arguments).double()
    ours = getattr(nn, name)(**arguments).double()
    ours.load_state_dict(theirs.state_dict())
    compare_layers(torch, ours, theirs, [values(first), values(second, 1)])


def compare_layers(torch, ours, theirs, arrays, **options):
    """The same first results, and gradients of inputs and parameters."""
    mine = [tg.tensor(a).requires_grad_() for a in arrays]
    others = [torch.tensor(a).requires_grad_() for a in arrays]
    y = ours(*mine, **{k: f(tg) if callable(f) else f for k, f in options.items()})
    z = theirs(*others, **{k: f(torch) if callable(f) else f for k, f in options.items()})
    pairs = list(zip(y, z, strict=True)) if isinstance(z, tuple) else [(y, z)]
    for a, b in pairs:
        assert (a is None) == (b is None)
        if b is not None:
            np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-9,
                                       atol=1e-12)  # fmt: skip
    weights = values(pairs[0][1].shape, 5)
    (pairs[0][0] * tg.tensor(weights)).sum().backward()
    (pairs[0][1] * torch.tensor(weights)).sum().backward()
    both = [*zip(mine, others, strict=True)]
    both += zip(ours.parameters(), theirs.parameters(), strict=True)
    for p, q in both:
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-8, atol=1e-10)


def _later_positions(t):
    return t.tensor(np.triu(np.ones((4, 4), dtype=bool), 1))


def _biases(t):
    return t.tensor(values((2 * 3, 4, 4), 9))


def _padding(t):
    return t.tensor([[False, False, True, False], [False, True, True, False]])


ATTENTIONS = [
    (dict(), dict()),
    (dict(bias=False), dict(need_weights=False)),
    (dict(batch_first=True), dict(key_padding_mask=_padding, average_attn_weights=False)),
    (dict(add_bias_kv=True, add_zero_attn=True), dict(key_padding_mask=_padding)),
    (dict(kdim=5, vdim=7), dict(attn_mask=_later_positions)),
    (dict(add_zero_attn=True), dict(attn_mask=_biases)),
    (dict(), dict(attn_mask=_later_positions, is_causal=True, need_weights=False)),
]


@pytest.mark.filterwarnings("ignore:Support for mismatched")
@pytest.mark.parametrize(("arguments", "options"), ATTENTIONS, ids=label)
def test_attention_equals_pytorchs(arguments, options):
    torch = pytest.importorskip("torch", reason=ORACLE, exc_type=ImportError)
    theirs = torch.nn.MultiheadAttention(6, 3, **arguments).double()
    ours = nn.MultiheadAttention(6, 3, **arguments).double()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for p in theirs.parameters():
        torch.nn.init.uniform_(p, -1, 1)
    ours.load_state_dict(theirs.state_dict())
    shape = (2, 4) if arguments.get("batch_first") else (4, 2)
    widths = (6, arguments.get("kdim", 6), arguments.get("vdim", 6))
    arrays = [values((*shape, n), seed) for seed, n in enumerate(widths)]
    compare_layers(torch, ours, theirs, arrays, **options)


def test_attention_without_a_batch_and_of_what_sees_nothing():
    torch = pytest.importorskip("torch", reason=ORACLE, exc_type=ImportError)
    theirs, ours = torch.nn.MultiheadAttention(4, 2).double(), nn.MultiheadAttention(4, 2).double()
    ours.load_state_dict(theirs.state_dict())
    compare_layers(torch, ours, theirs, [values((n, 4)) for n in (3, 5, 5)])
    x = tg.tensor(values((1, 3, 4))).requires_grad_()
    blind = tg.tensor([[True, True, True], [False, False, False], [True, False, True]])
    y = nn.functional.scaled_dot_product_attention(x, x, x, blind)
    y.sum().backward()
    assert y[0, 1].tolist() == [0] * 4
    assert np.isfinite(x.grad.numpy()).all()


def test_grouped_queries_and_causal_attention_equal_pytorchs():
    torch = pytest.importorskip("torch", reason=ORACLE, exc_type=ImportError)
    for options in (dict(enable_gqa=True), dict(enable_gqa=True, is_causal=True, scale=0.3)):
        results = []
        for library in (tg, torch):
            q, k, v = (
                library.tensor(values((2, heads, n, 3), heads)).requires_grad_()
                for heads, n in ((6, 4), (2, 5), (2, 5))
            )
            y = library.nn.functional.scaled_dot_product_attention(q, k, v, **options)
            (y * y).sum().backward()
            results.append([y.detach().numpy(), *(x.grad.numpy() for x in (q, k, v))])
        for mine, other in zip(*results, strict=True):
            np.testing.assert_allclose(mine, other, rtol=1e-8, atol=1e-11)


# ---- keeping parameters, buffers and children -----------------------------------------------


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.scale = nn.Parameter(tg.ones(1))
        self.blocks = nn.ModuleList([nn.Linear(4, 4), nn.BatchNorm2d(4)])
        self.register_buffer("step", tg.zeros(()))
        self.register_buffer("cache", tg.zeros(2), persistent=False)
        self.nothing = None
        self.register_parameter("absent", None)

    def forward(self, x):
        return self.blocks[0](self.first(x)) * self.scale


NET_STATE = [
    "scale", "step", "first.weight", "first.bias", "blocks.0.weight", "blocks.0.bias",
    "blocks.1.weight", "blocks.1.bias", "blocks.1.running_mean", "blocks.1.running_var",
    "blocks.1.num_batches_tracked",
]  # fmt: skip


def test_state_dict_keys():
    assert list(Net().state_dict()) == NET_STATE


def test_walking():
    net = Net()
    assert [name for name, _ in net.named_modules()] == [
        "", "first", "blocks", "blocks.0", "blocks.1",
    ]  # fmt: skip
    assert [name for name, _ in net.named_children()] == ["first", "blocks"]
    assert [name for name, _ in net.named_buffers()][:2] == ["step", "cache"]
    assert [name for name, _ in net.named_parameters(recurse=False)] == ["scale"]
    assert len(list(net.parameters())) == 7
    assert net.get_submodule("blocks.1") is net.blocks[1]
    assert net.get_parameter("first.bias") is net.first.bias
    assert net.get_buffer("blocks.1.running_var") is net.blocks[1].running_var
    with pytest.raises(AttributeError, match=r"no submodule 'blocks\.7': ModuleList has no child"):
        net.get_submodule("blocks.7")
    with pytest.raises(AttributeError, match="Linear has no parameter 'scale'"):
        net.get_parameter("first.scale")


def test_shared_parameters_are_listed_once_and_saved_under_both_names():
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    net[1].weight = net[0].weight
    assert [name for name, _ in net.named_parameters()] == ["0.weight", "0.bias", "1.bias"]
    assert list(net.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    twice = nn.Sequential(net[0], net[0])
    assert len(list(twice.modules())) == 2
    assert len(twice) == 2


def test_assignment_registers_and_is_checked():
    net = Net()
    net.first.bias = None
    assert net.first(tg.ones(2, 3)).shape == (2, 4)
    net.first.bias = nn.Parameter(tg.zeros(4))
    assert "first.bias" in net.state_dict()
    with pytest.raises(TypeError, match="cannot assign Tensor to the parameter 'weight' of Linear"):
        net.first.weight = tg.zeros(4, 3)
    with pytest.raises(TypeError, match="cannot assign int to the module 'first' of Net"):
        net.first = 3
    with pytest.raises(TypeError, match="cannot assign float to the buffer 'step' of Net"):
        net.step = 1.5
    net.step = tg.ones(())
    assert net.state_dict()["step"].item() == 1
    del net.scale
    assert "scale" not in net.state_dict()
    assert not hasattr(net, "scale")
    net.step = nn.Parameter(tg.zeros(1))
    assert "step" in dict(net.named_parameters())
    assert "step" not in dict(net.named_buffers())


def test_the_tables_of_a_module_can_be_written_to():
    """(P06)"""
    net = Net()
    assert list(net._parameters) == ["scale", "absent"]
    assert list(net._buffers) == ["step", "cache"]
    assert list(net._modules) == ["first", "blocks"]
    net._parameters["scale"] = None
    assert net.scale is None
    assert "scale" not in net.state_dict()
    net._parameters["scale"] = nn.Parameter(tg.ones(1))
    assert net.state_dict()["scale"].tolist() == [1]
    del net._parameters["scale"]
    assert not hasattr(net, "scale")
    net._modules["first"] = nn.ReLU()
    assert isinstance(net.first, nn.ReLU)
    net._modules["last"] = nn.Tanh()
    assert [name for name, _ in net.named_children()] == ["first", "blocks", "last"]
    assert isinstance(net._modules.pop("last"), nn.Tanh)
    net._buffers["more"] = tg.ones(1)
    assert "more" in net.state_dict()
    assert "scale" not in net._parameters
    assert len(net._buffers) == 3
    with pytest.raises(KeyError):
        del net._parameters["first"]
    with pytest.raises(KeyError, match="already has an attribute"):
        net._modules["forward"] = nn.ReLU()
    with pytest.raises(TypeError, match="cannot assign int to the module 'first' of Net"):
        net._modules["first"] = 3
    layers = nn.Sequential(nn.ReLU(), nn.ReLU())
    layers._modules["0"] = nn.Tanh()
    assert isinstance(layers[0], nn.Tanh)
    layer = nn.Linear(2, 2)
    weight = layer.weight
    del layer._parameters["weight"]
    layer.weight = weight * 2  # as weight normalisation does
    assert layer(tg.ones(2)).shape == (2,)
    assert list(layer.state_dict()) == ["bias"]


def test_a_module_cannot_contain_itself():
    """(R21)"""
    net = nn.Sequential(nn.Sequential(nn.ReLU()))
    inner = net[0]
    for add in (
        lambda: inner.append(inner),
        lambda: inner.append(net),
        lambda: inner.insert(0, net),
        lambda: setattr(inner, "parent", net),
        lambda: inner.add_module("parent", net),
        lambda: inner._modules.update(parent=net),
        lambda: inner.__setitem__(0, net),
        lambda: setattr(net, "me", net),
    ):
        with pytest.raises(ValueError, match="cannot contain itself"):
            add()
        assert len(list(net.modules())) == 3
    shared = nn.ReLU()
    assert len(nn.Sequential(shared, shared)) == 2


@pytest.mark.parametrize("value", [lambda: nn.Parameter(tg.ones(1)), lambda: nn.Linear(1, 1)])
def test_forgotten_super_init(value):
    class Careless(nn.Module):
        def __init__(self):
            self.x = value()

    with pytest.raises(AttributeError, match=r"Careless: call super\(\).__init__\(\) before"):
        Careless()


def test_bad_registration():
    net = Net()
    with pytest.raises(KeyError, match="without dots"):
        net.register_buffer("a.b", tg.zeros(1))
    with pytest.raises(KeyError, match="Net already has an attribute 'forward'"):
        net.register_parameter("forward", None)
    with pytest.raises(TypeError, match="expected a Parameter or None"):
        net.register_parameter("w", tg.zeros(1))
    with pytest.raises(TypeError, match="expected a Module or None"):
        net.add_module("m", 3)
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'missing'"):
        _ = net.missing


def test_load_state_dict_reports_every_problem_and_changes_nothing():
    net = Net()
    before = {key: t.tolist() for key, t in net.state_dict().items()}
    state = {key: t + 1 for key, t in net.state_dict().items()}
    del state["scale"]
    state["extra"] = tg.zeros(1)
    state["first.weight"] = tg.zeros(4, 7)
    state["blocks.0.bias"] = tg.zeros(1)
    with pytest.raises(RuntimeError) as error:
        net.load_state_dict(state)
    for part in (
        "cannot load into Net",
        "missing keys: 'scale'",
        "unexpected keys: 'extra'",
        "'first.weight': the state_dict has (4, 7), the module has (4, 3)",
        "'blocks.0.bias': the state_dict has (1,), the module has (4,)",
    ):
        assert part in str(error.value)
    assert {key: t.tolist() for key, t in net.state_dict().items()} == before


def test_load_state_dict_not_strict():
    net = Net()
    weight = tg.ones(4, 3)
    keys = net.load_state_dict({"first.weight": weight, "extra": weight}, strict=False)
    assert net.first.weight.tolist() == weight.tolist()
    assert keys.unexpected_keys == ["extra"]
    there = {"first.weight", "blocks.1.num_batches_tracked"}  # (the latter is as it was)
    assert keys.missing_keys == [key for key in NET_STATE if key not in there]
    with pytest.raises(RuntimeError, match="size mismatch"):
        net.load_state_dict({"scale": tg.ones(3)}, strict=False)


def test_load_state_dict_copies_and_keeps_the_parameters():
    source, target = Net(), Net()
    parameters = list(target.parameters())
    target.load_state_dict(source.state_dict())
    assert all(p is q for p, q in zip(parameters, target.parameters(), strict=True))
    with tg.no_grad():
        source.scale.add_(1)
    assert target.scale.item() == 1
    assert source.state_dict()["scale"].item() == 2


def test_train_and_eval_reach_every_module():
    net = Net().eval()
    assert not any(module.training for module in net.modules())
    assert all(module.training for module in net.train().modules())


def test_apply_visits_children_first():
    seen = []
    net = Net()
    assert net.apply(lambda module: seen.append(type(module).__name__)) is net
    assert seen == ["Linear", "Linear", "BatchNorm2d", "ModuleList", "Net"]


def test_requires_grad_and_zero_grad():
    net = Net()
    net(tg.ones(2, 3)).sum().backward()
    assert net.scale.grad is not None
    net.zero_grad(set_to_none=False)
    assert net.scale.grad.tolist() == [0]
    net.zero_grad()
    assert net.scale.grad is None
    net.requires_grad_(False)
    assert not net(tg.ones(2, 3)).requires_grad


def test_to_dtype_keeps_identity_and_leaves_integers():
    net = Net()
    scale = net.scale
    optimizer = tg.optim.SGD(net.parameters(), lr=1.0)
    net(tg.ones(2, 3)).sum().backward()
    assert net.double() is net
    assert net.scale is scale
    assert scale.dtype == tg.float64
    assert scale.grad.dtype == tg.float64
    assert net.blocks[1].num_batches_tracked.dtype == tg.int64
    assert net.cache.dtype == tg.float64
    optimizer.step()
    optimizer.zero_grad()
    net(tg.ones(2, 3, dtype=tg.float64)).sum().backward()
    assert scale.grad.dtype == tg.float64
    assert net.half().scale.dtype == tg.float16
    assert net.to(tg.ones(1)).scale.dtype == tg.float32
    with pytest.raises(TypeError, match="floating-point, not int64"):
        net.to(tg.int64)


def test_to_what_it_is_already_changes_nothing():
    net = nn.Linear(3, 2)
    out = net(tg.ones(1, 3, requires_grad=True)).sum()
    net.to("cpu", tg.float32)
    out.backward()  # the weights that the tape saved still count as unchanged
    assert net.weight.grad is not None


def test_to_device():
    net = Net().to("emulated")
    assert {str(t.device) for t in net.state_dict().values()} == {"emulated"}
    net.to("cpu", tg.float64)
    assert str(net.scale.device) == "cpu"
    assert net.scale.dtype == tg.float64
    assert str(net.to(device="emulated").cpu().scale.device) == "cpu"
    with pytest.raises(ValueError, match="unknown device"):
        net.to("tpu")


def test_device_and_dtype_of_new_layers():
    for layer in (
        nn.Linear(2, 3, device="emulated", dtype=tg.float64),
        nn.Conv2d(2, 3, 1, device="emulated", dtype=tg.float64),
        nn.BatchNorm2d(2, device="emulated", dtype=tg.float64),
        nn.LayerNorm(2, device="emulated", dtype=tg.float64),
        nn.RMSNorm(2, device="emulated", dtype=tg.float64),
        nn.Embedding(2, 3, device="emulated", dtype=tg.float64),
    ):
        for p in layer.parameters():
            assert str(p.device) == "emulated"
            assert p.dtype == tg.float64


def test_hooks_see_and_replace():
    net = nn.Linear(2, 2)
    seen = []
    before = net.register_forward_pre_hook(lambda module, args: seen.append(args) or (args[0] * 2,))
    after = net.register_forward_hook(lambda module, args, output: output + 1)
    x = tg.ones(1, 2)
    plain = net.forward(x * 2) + 1
    np.testing.assert_array_equal(net(x).detach().numpy(), plain.detach().numpy())
    assert seen[0][0] is x
    before.remove()
    after.remove()
    after.remove()  # once more does no harm
    np.testing.assert_array_equal(net(x).detach().numpy(), net.forward(x).detach().numpy())


def test_a_hook_may_remove_itself():
    net = nn.Identity()
    calls = []
    handle = net.register_forward_hook(lambda *_: (calls.append(1), handle.remove())[2:] or None)
    net(tg.ones(1))
    net(tg.ones(1))
    assert calls == [1]


def test_deep_copies_are_independent():
    net = Net()
    net(tg.ones(2, 3)).sum().backward()
    twin = copy.deepcopy(net)
    assert isinstance(twin.scale, nn.Parameter)
    assert twin.scale is not net.scale
    assert net.scale.grad is not None
    assert twin.scale.grad is None
    with tg.no_grad():
        twin.scale.fill_(5)
    assert net.scale.item() == 1
    assert list(twin.state_dict()) == NET_STATE


def test_deep_copies_keep_sharing():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[1].weight = net[0].weight
    twin = copy.deepcopy(net)
    assert twin[1].weight is twin[0].weight


def test_modules_and_results_make_no_cycles():
    gc.disable()
    try:
        net = Net()
        net(tg.ones(2, 3)).sum().backward()
        gone = [weakref.ref(net), weakref.ref(net.scale), weakref.ref(net.first)]
        del net
        assert [reference() for reference in gone] == [None] * 3
    finally:
        gc.enable()


def test_forward_must_be_defined():
    with pytest.raises(NotImplementedError, match=r"Module does not define forward\(\)"):
        nn.Module()(1)


def test_repr_nests():
    net = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.ReLU()))
    assert repr(net) == (
        "Sequential(\n"
        "  (0): Linear(in_features=2, out_features=3, bias=True)\n"
        "  (1): Sequential(\n"
        "    (0): ReLU()\n"
        "  )\n"
        ")"
    )
    assert repr(nn.Parameter(tg.ones(1))).startswith("Parameter containing:\ntensor([1.]")


# ---- containers -------------------------------------------------------------------------------


def test_sequential():
    a, b, c = nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)
    net = nn.Sequential(a, b, c)
    x = tg.ones(4, 2)
    np.testing.assert_array_equal(net(x).detach().numpy(), c(b(a(x))).detach().numpy())
    assert net[0] is a
    assert net[-1] is c
    assert list(net) == [a, b, c]
    assert len(net) == 3
    assert list(net[1:]) == [b, c]
    assert list(net[1:].state_dict()) == ["2.weight", "2.bias"]
    net[1] = d = nn.Tanh()
    assert list(net.append(b)) == [a, d, c, b]
    del net[1]
    assert list(net) == [a, c, b]
    assert list(net.state_dict())[2:] == ["1.weight", "1.bias"]
    net.insert(0, d)
    assert list(net) == [d, a, c, b]
    with pytest.raises(IndexError, match="Sequential has 4 modules, no index 4"):
        net[4]
    with pytest.raises(TypeError, match="cannot register int as the module '0' of Sequential"):
        nn.Sequential(3)


def test_sequential_with_names():
    net = nn.Sequential({"input": nn.Linear(2, 3), "output": nn.Linear(3, 1)})
    assert net.output is net[1]
    assert next(iter(net.state_dict())) == "input.weight"
    assert list(net[:1].state_dict()) == ["input.weight", "input.bias"]


def test_module_list():
    layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
    assert len(layers) == 3
    assert isinstance(layers[1:], nn.ModuleList)
    assert layers[1:][0] is layers[1]
    first, second, third = layers
    layers.extend([first]).insert(1, nn.ReLU())
    assert [type(m).__name__ for m in layers] == ["Linear", "ReLU", "Linear", "Linear", "Linear"]
    del layers[0]
    assert list(layers)[1:] == [second, third, first]


# ---- first values ------------------------------------------------------------------------------


def spread(tensor):
    host = tensor.detach().numpy()
    return host.min(), host.max(), host.mean(), host.std()


@pytest.mark.parametrize(
    ("layer", "fan_in"),
    [(nn.Linear(400, 300), 400), (nn.Conv2d(32, 64, 5, groups=2), 16 * 25)],
    ids=["Linear", "Conv2d"],
)
def test_weights_start_uniform_within_one_over_root_fan_in(layer, fan_in):
    bound = 1 / math.sqrt(fan_in)
    low, high, mean, deviation = spread(layer.weight)
    assert -bound <= low < -0.98 * bound
    assert 0.98 * bound < high <= bound
    assert abs(mean) < 0.02 * bound
    assert deviation == pytest.approx(bound / math.sqrt(3), rel=0.02)
    assert abs(layer.bias.detach().numpy()).max() <= bound


def test_norms_and_embeddings_start_as_in_pytorch():
    norm = nn.BatchNorm2d(3)
    assert norm.weight.tolist() == [1] * 3
    assert norm.bias.tolist() == [0] * 3
    assert norm.running_mean.tolist() == [0] * 3
    assert norm.running_var.tolist() == [1] * 3
    table = nn.Embedding(200, 50, padding_idx=3)
    assert table.weight[3].tolist() == [0] * 50
    _, _, mean, deviation = spread(table.weight)
    assert abs(mean) < 0.05
    assert deviation == pytest.approx(1, rel=0.03)


def test_the_seed_decides_the_weights_on_every_device():
    weights = []
    for device in ("cpu", "emulated"):
        tg.manual_seed(7)
        weights.append(nn.Linear(5, 4, device=device).weight.detach().cpu().numpy())
    np.testing.assert_array_equal(*weights)


INITS = [
    ("xavier_uniform_", dict(gain=2.0)),
    ("xavier_normal_", dict()),
    ("kaiming_uniform_", dict(a=0.3, mode="fan_out")),
    ("kaiming_uniform_", dict()),
    ("kaiming_normal_", dict(nonlinearity="relu")),
    ("kaiming_normal_", dict(mode="fan_out", nonlinearity="tanh")),
    ("trunc_normal_", dict(std=0.5, a=-0.6, b=1.0)),
    ("trunc_normal_", dict(mean=1.0, a=2.5, b=20.0)),
    ("trunc_normal_", dict(std=0.1, a=-0.01, b=0.02)),
    ("uniform_", dict(a=-3.0, b=1.0)),
    ("normal_", dict(mean=2.0, std=3.0)),
]


@pytest.mark.parametrize(("name", "arguments"), INITS, ids=label)
def test_inits_have_pytorchs_distribution(name, arguments):
    torch = pytest.importorskip("torch", reason=ORACLE, exc_type=ImportError)
    tg.manual_seed(0)
    torch.manual_seed(0)
    drawn = [
        np.sort(getattr(library.nn.init, name)(library.zeros(60, 40, 5, 5), **arguments).numpy(),
                axis=None)
        for library in (tg, torch)
    ]  # fmt: skip
    # Two samples of one distribution differ nowhere by much (Kolmogorov-Smirnov, p < 1e-6).
    ours, theirs = (np.searchsorted(d, np.concatenate(drawn), side="right") for d in drawn)
    assert abs(ours - theirs).max() / drawn[0].size < 2.7 * math.sqrt(2 / drawn[0].size)


@pytest.mark.parametrize("shape", [(4, 7), (7, 4), (5, 5), (3, 2, 4)])
def test_orthogonal(shape):
    matrix = nn.init.orthogonal_(tg.empty(shape, dtype=tg.float64), gain=2.0)
    flat = matrix.numpy().reshape(shape[0], -1)
    gram = flat @ flat.T if flat.shape[0] <= flat.shape[1] else flat.T @ flat
    np.testing.assert_allclose(gram, 4 * np.eye(len(gram)), atol=1e-12)


def test_plain_inits():
    assert nn.init.constant_(tg.empty(2), 3.0).tolist() == [3, 3]
    assert nn.init.ones_(tg.empty(2)).tolist() == [1, 1]
    assert nn.init.zeros_(tg.empty(2)).tolist() == [0, 0]
    assert nn.init.eye_(tg.ones(2, 3)).tolist() == [[1, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize("name", [
    "linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu",
    *(f"conv{back}{d}d" for d in (1, 2, 3) for back in ("", "_transpose")),
])  # fmt: skip
def test_gains(name):
    torch = pytest.importorskip("torch", reason=ORACLE, exc_type=ImportError)
    assert nn.init.calculate_gain(name) == pytest.approx(torch.nn.init.calculate_gain(name))
    given = nn.init.calculate_gain(name, 0.3)
    assert given == pytest.approx(torch.nn.init.calculate_gain(name, 0.3))


@pytest.mark.parametrize(
    ("shape", "groups"),
    [((3, 3, 3), 1), ((4, 2, 3, 4), 2), ((6, 5, 2, 2, 3), 3), ((4, 1, 1), 4), ((0, 2, 3), 1)],
)
def test_dirac_equals_pytorchs(shape, groups):
    torch = pytest.importorskip("torch", reason=ORACLE, exc_type=ImportError)
    theirs = torch.nn.init.dirac_(torch.ones(shape), groups)
    np.testing.assert_array_equal(nn.init.dirac_(tg.ones(shape), groups).numpy(), theirs.numpy())


def test_sparse_columns():
    tg.manual_seed(0)
    drawn = nn.init.sparse_(tg.empty(200, 50), sparsity=0.113, std=0.5).numpy()
    assert ((drawn == 0).sum(axis=0) == 23).all()
    assert drawn[drawn != 0].std() == pytest.approx(0.5, rel=0.05)
    assert len({tuple(np.flatnonzero(column == 0)) for column in drawn.T}) == 50
    assert (nn.init.sparse_(tg.ones(3, 2), 1.0).numpy() == 0).all()
    assert (nn.init.sparse_(tg.ones(3, 2), 0.0).numpy() != 0).all()


def test_old_names_of_inits_warn():
    torch = pytest.importorskip("torch", reason=ORACLE, exc_type=ImportError)
    names = [n for n in torch.nn.init.__all__ if not n.endswith("_") and n != "calculate_gain"]
    assert {"uniform", "sparse", "xavier_normal"} < set(names) < set(nn.init.__all__)
    assert set(torch.nn.init.__all__) == set(nn.init.__all__)
    for name in names:
        more = {"constant": (2.0,), "sparse": (0.5,)}.get(name, ())
        x = tg.empty((3, 3, 3) if name == "dirac" else (3, 3))
        with pytest.warns(FutureWarning, match=rf"nn\.init\.{name} is deprecated: .*\.{name}_"):
            assert getattr(nn.init, name)(x, *more) is x
        assert getattr(nn.init, name).__name__ == name


def test_the_memory_of_truncated_normal_values_is_less_than_their_own_again():
    x = tg.empty(1 << 22)
    nn.init.trunc_normal_(x[: 1 << 16])
    tracemalloc.start()
    try:
        nn.init.trunc_normal_(x, std=2.0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= x.nbytes


def test_inits_of_what_is_not_contiguous():
    for name, more in (
        ("trunc_normal_", ()),
        ("orthogonal_", ()),
        ("sparse_", (0.5,)),
        ("eye_", ()),
    ):
        whole = tg.full((6, 8), 9.0)
        getattr(nn.init, name)(whole[:, ::2].T, *more)
        assert (whole[:, 1::2] == 9).all()
        assert (whole[:, ::2] != 9).all()


def test_public_layers_find_the_fans():
    w = tg.empty(4, 3, 2, 2)
    assert nn.init._calculate_fan_in_and_fan_out(w) == (12, 16)
    assert nn.init._calculate_correct_fan(w, "FAN_OUT") == 16
    with pytest.warns(UserWarning, match="nothing to fill"):
        nn.init.kaiming_uniform_(tg.empty(0, 3))
    with pytest.warns(UserWarning, match="more than two deviations"):
        drawn = nn.init.trunc_normal_(tg.empty(50), a=5.0, b=6.0)
    assert ((drawn >= 5) & (drawn <= 6)).all()


def test_bad_inits():
    with pytest.raises(ValueError, match=r"at least 2 dimensions, got shape \(3,\)"):
        nn.init.xavier_uniform_(tg.empty(3))
    with pytest.raises(ValueError, match="'fan_in' or 'fan_out', not 'fan'"):
        nn.init.kaiming_normal_(tg.empty(3, 3), mode="fan")
    with pytest.raises(ValueError, match="unknown nonlinearity 'swish'"):
        nn.init.calculate_gain("swish")
    with pytest.raises(ValueError, match="a must be less than b"):
        nn.init.trunc_normal_(tg.empty(3), a=6.0, b=5.0)
    cyclic: list = []
    cyclic.append(cyclic)
    for call, error, words in (
        (lambda: nn.init.orthogonal_(tg.empty(3, 3), gain=cyclic), TypeError, "gain must be a num"),
        (lambda: nn.init.xavier_normal_(tg.empty(3, 3), "x"), TypeError, "gain must be a number"),
        (lambda: nn.init.constant_(tg.empty(3), None), TypeError, "val must be a number"),
        (lambda: nn.init.trunc_normal_(tg.empty(3), std=0.0), ValueError, "std positive"),
        (lambda: nn.init.dirac_(tg.empty(3, 3)), ValueError, "3, 4 or 5 dimensions"),
        (lambda: nn.init.dirac_(tg.empty(3, 3, 3), 2), ValueError, "divided into 2 groups"),
        (lambda: nn.init.sparse_(tg.empty(3), 0.1), ValueError, "2 dimensions"),
        (lambda: nn.init.sparse_(tg.empty(3, 3), 1.5), ValueError, "a share"),
        (lambda: nn.init.eye_(tg.empty(3)), ValueError, "2 dimensions"),
        (lambda: nn.init.calculate_gain("leaky_relu", True), ValueError, "must be a number"),
    ):
        with pytest.raises(error, match=words):
            call()


def test_bad_layers():
    for make, message in (
        (lambda: nn.Conv2d(3, 4, 3, groups=2), "groups=2 must divide in_channels=3"),
        (lambda: nn.Conv2d(3, 4, 3, stride=2, padding="same"), "needs stride 1"),
        (lambda: nn.Conv2d(3, 4, 3, padding="full"), "'same' or 'valid', not 'full'"),
        (lambda: nn.Conv2d(3, 4, (3, 3, 3)), "kernel_size must be one number or two"),
        (lambda: nn.Dropout(1.5), "between 0 and 1, not 1.5"),
        (lambda: nn.Embedding(3, 2, padding_idx=3), "outside a table of 3 rows"),
        (lambda: nn.GELU("fast"), "'none' or 'tanh', not 'fast'"),
        (lambda: nn.MSELoss(reduction="average"), "MSELoss: reduction must be"),
        (lambda: nn.CrossEntropyLoss(label_smoothing=2.0), "label_smoothing must be between"),
        (lambda: nn.BatchNorm2d(3)(tg.ones(2, 3)), r"shape \(N, C, H, W\), got \(2, 3\)"),
    ):
        with pytest.raises(ValueError, match=message):
            make()


@pytest.mark.parametrize("shapes", [((5, 4), (5, 3)), ((4,), (3,))], ids=label)
def test_gru_cell_from_a_state_equals_pytorchs(shapes):
    torch = pytest.importorskip("torch", reason=ORACLE, exc_type=ImportError)
    theirs = torch.nn.GRUCell(4, 3).double()
    ours = nn.GRUCell(4, 3).double()
    ours.load_state_dict(theirs.state_dict())
    results = []
    for library, cell in ((tg, ours), (torch, theirs)):
        x, state = (library.tensor(values(s, i)).requires_grad_() for i, s in enumerate(shapes))
        out = cell(x, cell(x, state))
        out.sum().backward()
        results.append([out.detach(), x.grad, state.grad, *(p.grad for p in cell.parameters())])
    for mine, other in zip(*results, strict=True):
        np.testing.assert_allclose(mine.numpy(), other.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ([(2, 5)], RuntimeError, r"GRUCell\(4, 3\): the input \(2, 5\) and hx \(2, 3\) must be"),
        ([(2, 4), (2, 4)], RuntimeError, r"the input \(2, 4\) and hx \(2, 4\) must be"),
        ([(2, 4), (1, 3)], RuntimeError, r"the input \(2, 4\) and hx \(1, 3\) must be"),
        ([(4,), (1, 3)], RuntimeError, "or both without the batch"),
        ([(1, 2, 4)], ValueError, r"input must have shape \(batch, 4\) or \(4,\), got \(1, 2, 4\)"),
        ([(2, 4), (1, 2, 3)], ValueError, r"hx must have shape \(batch, 3\) or \(3,\)"),
        ([()], ValueError, r"got \(\)"),
    ],
    ids=label,
)
def test_gru_cell_of_wrong_sizes(given, error, message):
    torch = pytest.importorskip("torch", reason=ORACLE, exc_type=ImportError)
    with pytest.raises(error, match=message):
        nn.GRUCell(4, 3)(*map(tg.ones, given))
    with pytest.raises(error):
        torch.nn.GRUCell(4, 3)(*map(torch.ones, given))


def test_bad_gru_cells():
    cell = nn.GRUCell(4, 3)
    with pytest.raises(TypeError, match=r"\[GRUCell\] expects a Tensor, got list"):
        cell([1.0, 2.0, 3.0, 4.0])
    with pytest.raises(RuntimeError, match="dtypes float64 of input and float32 of w_ih"):
        cell(tg.ones(2, 4, dtype=tg.float64))
    with pytest.raises(RuntimeError, match="needs a floating-point tensor, got int64"):
        cell(tg.ones(2, 4, dtype=tg.int64))
    for shapes, message in (
        (((4,), (3,), (9, 4), (9, 3)), r"input \(batch, features\) and hx \(batch, hidden\), got"),
        (((2, 4), (3, 3), (9, 4), (9, 3)), r"hx must have shape \(2, 3\), got \(3, 3\)"),
        (((2, 4), (2, 3), (6, 4), (9, 3)), r"w_ih must have shape \(9, 4\), got \(6, 4\)"),
        (((2, 4), (2, 3), (9, 4), (9, 3), (9,), (3,)), r"b_hh must have shape \(9,\), got \(3,\)"),
    ):
        with pytest.raises(RuntimeError, match=r"\[gru_cell\].*" + message):
            tg.gru_cell(*map(tg.ones, shapes))


def test_gru_cell_starts_within_the_root_of_its_state():
    cell = nn.GRUCell(40, 16)
    for parameter in cell.parameters():
        assert 0.2 < parameter.abs().max().item() <= 0.25


def test_dropout_only_in_training():
    layer, x = nn.Dropout(0.5), tg.ones(1000)
    dropped = layer(x).numpy()
    assert set(dropped) == {0, 2}
    assert 400 < (dropped == 0).sum() < 600
    assert layer.eval()(x).tolist() == [1] * 1000


def test_embedding_from_pretrained():
    rows = tg.tensor([[1.0, 2.0], [3.0, 4.0]])
    table = nn.Embedding.from_pretrained(rows)
    assert table(tg.tensor([1, 0])).tolist() == [[3, 4], [1, 2]]
    assert not table.weight.requires_grad
    assert nn.Embedding.from_pretrained(rows, freeze=False).weight.requires_grad
    with pytest.raises(ValueError, match="needs 2 dimensions"):
        nn.Embedding.from_pretrained(tg.ones(3))


# ---- clipping ----------------------------------------------------------------------------------


@pytest.mark.parametrize("norm_type", [2.0, 1.0, math.inf, 3.0])
@pytest.mark.parametrize("max_norm", [0.5, 100.0])
def test_clip_grad_norm_equals_pytorchs(norm_type, max_norm):
    torch = pytest.importorskip("torch", reason=ORACLE, exc_type=ImportError)
    results = []
    for library in (tg, torch):
        params = [library.zeros(shape, requires_grad=True) for shape in ((3, 4), (5,))]
        for seed, p in enumerate(params):
            p.grad = library.tensor(values(tuple(p.shape), seed).astype("float32"))
        unused = library.zeros(1, requires_grad=True)
        clip = library.nn.utils.clip_grad_norm_
        total = clip((p for p in [*params, unused]), max_norm, norm_type)
        results.append([total.numpy(), *(p.grad.numpy() for p in params)])
    for mine, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5)


def test_clip_grad_norm_details():
    p = tg.zeros(2, requires_grad=True)
    clip = nn.utils.clip_grad_norm_
    assert clip([p], 1.0).item() == 0  # no gradients at all
    empty = tg.zeros(0, requires_grad=True)
    empty.grad = tg.zeros(0)
    assert clip([empty], 1.0, math.inf).item() == 0
    p.grad = tg.tensor([3.0, float("inf")])
    with pytest.raises(RuntimeError, match="the total norm of the gradients is inf"):
        clip(p, 1.0, error_if_nonfinite=True)
    assert p.grad.tolist() == [3.0, float("inf")]
    with pytest.raises(ValueError, match="max_norm must not be negative"):
        clip(p, -1.0)
    half = tg.zeros(100, dtype=tg.float16, requires_grad=True)
    half.grad = tg.full((100,), 1000.0, dtype=tg.float16)  # its squares overflow float16
    assert clip(half, 1.0).item() == pytest.approx(10_000)
    assert half.grad[0].item() == pytest.approx(0.1, rel=1e-3)


@pytest.mark.parametrize("norm_type", [2.0, 1.0, math.inf, 3])
def test_norms_and_scaling_apart_equal_pytorchs(norm_type):
    torch = pytest.importorskip("torch", reason=ORACLE, exc_type=ImportError)
    for max_norm in (0.5, 100.0):
        found = []
        for library in (tg, torch):
            net = library.nn.Linear(3, 2)
            for i, p in enumerate(net.parameters()):
                p.grad = library.tensor(values(tuple(p.shape), i).astype("float32"))
            utils = library.nn.utils
            norm = utils.get_total_norm([p.grad for p in net.parameters()], norm_type, foreach=True)
            utils.clip_grads_with_norm_(net.parameters(), max_norm, norm, foreach=True)
            with pytest.warns(FutureWarning, match=r"clip_grad_norm.*clip_grad_norm_"):
                again = utils.clip_grad_norm(net.parameters(), 0.1, norm_type)
            utils.clip_grad_value_(net.parameters(), 0.05, foreach=True)
            found.append([float(norm), float(again), *(p.grad.numpy() for p in net.parameters())])
        for mine, other in zip(*found, strict=True):
            np.testing.assert_allclose(mine, other, rtol=1e-5)


def test_norms_of_nothing_and_of_what_is_not_finite():
    assert nn.utils.get_total_norm([]).item() == 0
    assert nn.utils.get_total_norm(tg.tensor([3.0, 4.0])).item() == 5
    nn.utils.clip_grads_with_norm_(nn.Linear(1, 1).parameters(), 1.0, tg.tensor(2.0))
    with pytest.raises(RuntimeError, match=r"get_total_norm: the total norm .* is nan"):
        nn.utils.get_total_norm([tg.tensor([math.nan])], error_if_nonfinite=True)
    with pytest.warns(UserWarning, match="the generator of parameters is empty"):
        nn.utils.clip_grad_norm_((p for p in ()), 1.0)


def test_clip_grad_value():
    p = tg.zeros(3, requires_grad=True)
    p.grad = tg.tensor([-3.0, 0.1, 2.0])
    nn.utils.clip_grad_value_([p], 0.5)
    np.testing.assert_allclose(p.grad.numpy(), [-0.5, 0.1, 0.5])


def test_parameters_in_one_vector():
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1, bias=False))
    vector = nn.utils.parameters_to_vector(net.parameters())
    assert vector.tolist() == [v for p in net.parameters() for v in p.flatten().tolist()]
    (vector * tg.arange(12.0)).sum().backward()
    assert net[1].weight.grad.tolist() == [[9.0, 10.0, 11.0]]
    nn.utils.vector_to_parameters(tg.arange(12.0), net.parameters())
    assert net[0].weight.tolist() == [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
    assert net[1].weight.requires_grad
    with pytest.raises(RuntimeError, match=r"have 12 elements together.*shape \(13,\)"):
        nn.utils.vector_to_parameters(tg.zeros(13), net.parameters())
    assert net[0].bias.tolist() == [6.0, 7.0, 8.0]
    with pytest.raises(TypeError, match="expects a Tensor, got list"):
        nn.utils.vector_to_parameters([0.0] * 12, net.parameters())


def test_dtypes_of_modules_by_name():
    pytest.importorskip("ml_dtypes")
    layer = nn.BatchNorm1d(2)
    assert layer.bfloat16().weight.dtype == tg.bfloat16
    assert layer.num_batches_tracked.dtype == tg.int64
    assert layer.type(tg.float64).running_mean.dtype == tg.float64
    assert layer.num_batches_tracked.dtype == tg.float64  # type() leaves nothing out


# ---------------------------------------------------------------------- all or nothing


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(tg.zeros(2))
        self.register_buffer("b", tg.zeros(3, dtype=tg.int64))
        self.c = nn.Parameter(tg.zeros(2, dtype=tg.float16))

    def values(self):
        return [value.tolist() for value in self.state_dict().values()]


OLD, NEW = [[0, 0], [0, 0], [0, 0, 0]], [[1, 1], [3, 3], [2, 2, 2]]


def new_state():
    return {"a": tg.ones(2), "c": tg.ones(2) * 3, "b": tg.ones(3) * 2}


def expanded(net):
    net.b = tg.zeros(1).expand(3)


def read_only(net):
    array = np.zeros(3)
    array.flags.writeable = False
    net.b = tg.from_numpy(array)


@pytest.mark.parametrize("spoil", [expanded, read_only])
def test_a_tensor_that_cannot_be_written_to_keeps_all_as_it_was(spoil):
    """(F43)"""
    net = Pair()
    spoil(net)
    with pytest.raises(RuntimeError, match=r"cannot load 'b': .*(expanded|read-only)"):
        net.load_state_dict(new_state())
    assert net.values() == OLD


@pytest.mark.parametrize("value", [None, "text", [[1], [2, 3]], np.array(["x"]), [1j, 2j]])
def test_a_value_that_cannot_be_read_keeps_all_as_it_was(value):
    """(F43)"""
    net = Pair()
    with pytest.raises(RuntimeError, match="cannot load 'c'"):
        net.load_state_dict({**new_state(), "c": value})
    assert net.values() == OLD
    for wrong in (None, 3, [("a", 1)]):
        with pytest.raises(TypeError, match="load_state_dict: expected a dict"):
            net.load_state_dict(wrong)


def test_an_interrupt_of_load_state_dict_loads_all_or_nothing():
    """(F43)"""
    net, old = Pair(), Pair().state_dict()

    def check(done):
        assert net.values() in ((NEW,) if done else (OLD, NEW))
        net.load_state_dict(old)

    assert interrupted_everywhere(lambda: net.load_state_dict(new_state()), check) > 20


def test_load_state_dict_without_memory_loads_nothing(monkeypatch):
    """(F43)"""
    net = Pair()
    state = {key: value.double() for key, value in new_state().items()}  # of another dtype
    to = tg.Tensor.to
    for allowed in range(3):
        left = allowed

        def failing(self, *args, **options):
            nonlocal left
            left -= 1
            if left < 0:
                raise MemoryError
            return to(self, *args, **options)

        with monkeypatch.context() as patch:
            patch.setattr(tg.Tensor, "to", failing)
            with pytest.raises(MemoryError):
                net.load_state_dict(state)
        assert net.values() == OLD
    net.load_state_dict(state)
    assert net.values() == NEW


def test_values_may_be_the_modules_own():
    """(F43)"""
    net = nn.Module()
    net.a, net.b = nn.Parameter(tg.arange(2.0)), nn.Parameter(tg.arange(2.0) + 5)
    net.load_state_dict({"a": net.b, "b": net.a})
    assert (net.a.tolist(), net.b.tolist()) == ([5, 6], [0, 1])
    net.load_state_dict({"a": net.a.detach().flip(0), "b": net.a})
    assert (net.a.tolist(), net.b.tolist()) == ([6, 5], [5, 6])
    net.load_state_dict(net.state_dict())
    assert (net.a.tolist(), net.b.tolist()) == ([6, 5], [5, 6])


def test_a_loaded_value_counts_as_a_change_in_place():
    net = nn.Linear(2, 1)
    y = net(tg.ones(1, 2, requires_grad=True)).sum()
    net.load_state_dict(net.state_dict())
    with pytest.raises(RuntimeError, match="'load_state_dict' has changed it in place"):
        y.backward()


@pytest.mark.parametrize("kind", ["bfloat16", "float16", "float32", "float64"])
def test_pytorchs_state_dict_in_any_dtype(kind):
    """(F54)"""
    torch = pytest.importorskip("torch", exc_type=ImportError)
    pytest.importorskip("ml_dtypes", reason="an optional dtype")
    theirs = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    theirs = theirs.to(getattr(torch, kind))
    mine = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).to(getattr(tg, kind))
    for keep in (False, True):
        mine.load_state_dict(theirs.state_dict(keep_vars=keep))
        for key, value in mine.state_dict().items():
            assert value.tolist() == theirs.state_dict()[key].tolist(), key
    one = torch.tensor([1.5, -2.0], dtype=getattr(torch, kind))
    for made in (tg.tensor(one), tg.as_tensor(one)):
        assert made.dtype == getattr(tg, kind)
        assert made.tolist() == [1.5, -2]
    assert tg.tensor(one, dtype=tg.float64).dtype == tg.float64


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("layer", [nn.BatchNorm1d, nn.InstanceNorm1d])
def test_a_batch_that_failed_is_not_counted(layer, momentum, monkeypatch):
    """(R10)"""
    norm = layer(2, momentum=momentum, affine=True, track_running_stats=True)
    before = [v.tolist() for v in norm.state_dict().values()]

    def unchanged(error, x):
        with pytest.raises(error):
            norm(x)
        assert [v.tolist() for v in norm.state_dict().values()] == before

    x = tg.randn(4, 2, 3)
    unchanged(ValueError, tg.ones(2, 2, 1)[:1])  # one value per channel
    unchanged((RuntimeError, ValueError), tg.randn(4, 3, 3))
    norm.weight.data = tg.ones(3)
    before[0] = [1, 1, 1]
    unchanged(RuntimeError, x)
    norm.weight.data, before[0] = tg.ones(2), [1, 1]

    def fail(*_, **__):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("tapegrad.ops.layers.norm._batch_norm", fail)
        patch.setattr("tapegrad.ops.layers.channel_norm._group_norm", fail)
        unchanged(MemoryError, x)
    norm.running_var = tg.ones(1).expand(2)
    unchanged(RuntimeError, x)
    norm.running_var = tg.ones(2)
    norm(x)
    assert norm.num_batches_tracked.item() == int(layer is nn.BatchNorm1d)
    moved = layer is nn.BatchNorm1d or momentum is not None
    assert (norm.running_mean.tolist() != [0, 0]) == moved


@pytest.mark.parametrize("shape", [(0, 6), (0, 6, 3), (2, 0, 3)])
@pytest.mark.parametrize("layer", [nn.BatchNorm1d, lambda channels: nn.GroupNorm(2, channels)])
def test_norms_of_no_samples_or_channels_have_gradients_of_zeros(layer, shape):
    norm, x = layer(shape[1]), tg.zeros(shape, requires_grad=True)
    norm(x).sum().backward()
    assert x.grad.shape == shape
    assert norm.weight.grad.tolist() == norm.bias.grad.tolist() == [0] * shape[1]


def test_an_interrupt_of_batch_norm_counts_and_averages_or_neither():
    """(R10)"""
    norm, x = nn.BatchNorm1d(2), tg.randn(4, 2) + 3

    def check(done):
        mean, count = norm.running_mean.tolist(), norm.num_batches_tracked.item()
        assert (count == 1) == (mean != [0, 0])
        assert (norm.running_var.tolist() != [1, 1]) == (count == 1)
        assert count == 1 or not done
        norm.reset_running_stats()

    assert interrupted_everywhere(lambda: norm(x), check) > 10


@pytest.mark.parametrize("to", [{"dtype": tg.float64}, {"device": "emulated"}], ids=str)
def test_a_conversion_that_fails_converts_nothing(to, monkeypatch):
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    net[0].tied = net[0].weight
    net[1].register_buffer("again", net[1].running_mean)
    net(tg.randn(4, 2)).sum().backward()
    net[0].weight.register_hook(lambda g: g * 2)
    convert = tg.Tensor.to

    def state():
        tensors = [*net.parameters(), *net.buffers(), *[p.grad for p in net.parameters()]]
        return [(t.dtype, t.device, t.tolist()) for t in tensors]

    before = state()
    for allowed in range(12):
        left = allowed

        def failing(self, *args, **options):
            nonlocal left
            left -= 1
            if left < 0:
                raise MemoryError
            return convert(self, *args, **options)

        with monkeypatch.context() as patch:
            patch.setattr(tg.Tensor, "to", failing)
            try:
                net.to(**to)
            except MemoryError:
                assert state() == before
            else:
                break
    assert allowed > 5
    assert state() != before
    assert net[0].tied is net[0].weight
    assert net[1].again is net[1].running_mean
    x = tg.ones(4, 2, **to)
    net.zero_grad()
    net(x).sum().backward()
    assert net[0].weight.grad.dtype == net[0].weight.dtype


def test_an_interrupt_of_a_conversion_converts_all_or_nothing():
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))

    net(tg.randn(4, 2)).sum().backward()

    def check(done):
        kinds = {t.dtype for t in [*net.parameters(), *[p.grad for p in net.parameters()]]}
        kinds |= {net[1].running_mean.dtype, net[1].running_var.dtype}
        assert len(kinds) == 1
        assert kinds == {tg.float64} or not done
        net.float()

    assert interrupted_everywhere(net.double, check) > 50


def cyclic():
    items, pair, named = [1.0], [], {}
    items.append(items)
    pair += [pair, pair]
    named["a"] = named
    return [items, pair, named, ([pair],)]


@pytest.mark.parametrize("use", [
    lambda c: tg.tensor(c), lambda c: tg.as_tensor(c), lambda c: tg.ones(2)[c],
    lambda c: tg.ones(2).__setitem__(0, c), lambda c: tg.atleast_2d(c), lambda c: tg.stack(c),
    lambda c: tg.ones(2).bernoulli(c), lambda c: list(tg.data.DataLoader([c, c], 2)),
    lambda c: tg.func.vjp(lambda x: x, c),
    lambda c: nn.Linear(1, 1).load_state_dict({"weight": c, "bias": c}),
])  # fmt: skip
@pytest.mark.parametrize("number", range(4))
def test_a_list_that_contains_itself_is_refused(use, number):
    """(R21)"""
    with pytest.raises((ValueError, TypeError, RuntimeError, IndexError)) as raised:
        use(cyclic()[number])
    assert raised.type is not RecursionError


# ---------------------------------------------------------------------- as functions, in parallel


def test_data_parallel_calls_the_module():
    net = nn.Linear(2, 3)
    parallel = nn.DataParallel(net, device_ids=[0, 1]).eval()
    x = tg.ones(4, 2)
    np.testing.assert_array_equal(parallel(x).detach(), net(x).detach())
    np.testing.assert_array_equal(parallel(input=x).detach(), net(x).detach())
    np.testing.assert_array_equal(nn.parallel.data_parallel(net, x).detach(), net(x).detach())
    assert list(parallel.state_dict()) == ["module.weight", "module.bias"]
    assert parallel.module is net
    assert not net.training
    torch = pytest.importorskip("torch", reason=ORACLE, exc_type=ImportError)
    assert repr(parallel) == repr(torch.nn.DataParallel(torch.nn.Linear(2, 3)))


def stacked_state(torch):
    nets = [torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.BatchNorm1d(1)) for _ in range(3)]
    for i, net in enumerate(nets):
        for p in net.parameters():
            torch.nn.init.constant_(p, i)
    parameters, buffers = torch.func.stack_module_state(nets)
    refused = []
    frozen = torch.nn.Linear(1, 1).requires_grad_(False)
    for bad in ([], [nets[0], torch.nn.ReLU()], [nets[0], nets[1].eval()],
                [torch.nn.Linear(1, 1), frozen]):  # fmt: skip
        with pytest.raises(RuntimeError):
            torch.func.stack_module_state(bad)
        refused.append(len(bad))
    described = [(n, tuple(t.shape), t.requires_grad, t.is_leaf, t.detach().numpy().tolist())
                 for n, t in [*parameters.items(), *buffers.items()]]  # fmt: skip
    one = {n: t[1] for n, t in parameters.items()}
    with pytest.warns(FutureWarning):
        y = torch.nn.utils.stateless.functional_call(nets[0], one, torch.ones(2, 2))
    return described, refused, y.detach().numpy().round(3).tolist()


def test_the_state_of_several_modules_is_stacked_as_pytorchs():
    torch = pytest.importorskip("torch", reason=ORACLE, exc_type=ImportError)
    assert stacked_state(tg) == stacked_state(torch)
