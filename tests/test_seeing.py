"""What models, gradients and tapes look like: numbers by hand, pictures by their geometry."""

from __future__ import annotations

import gc
import re
import subprocess
import sys
import threading
import types
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from conftest import DEVICES

import tapegrad as tg
from tapegrad import nn
from tapegrad.core import caller
from tapegrad.utils import count_flops, draw_tape, gradient_report, show_backward, summary

F = nn.functional


def digits_net() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(),
        nn.Linear(512, 10),
    )


# ---- FLOPs -------------------------------------------------------------------------------------

FLOPS: dict[str, tuple[Callable, int]] = {
    "linear": (lambda: nn.Linear(7, 5)(tg.ones(3, 7)), 2 * 3 * 7 * 5),
    "linear of a sequence": (lambda: nn.Linear(7, 5)(tg.ones(2, 3, 7)), 2 * 6 * 7 * 5),
    "matmul": (lambda: tg.ones(4, 2, 3) @ tg.ones(3, 5), 4 * 2 * 2 * 3 * 5),
    "dot": (lambda: tg.ones(9) @ tg.ones(9), 2 * 9),
    "einsum": (lambda: tg.einsum("ij,jk->ik", tg.ones(2, 3), tg.ones(3, 4)), 2 * 2 * 3 * 4),
    "conv2d": (
        lambda: nn.Conv2d(4, 6, 3, stride=2, groups=2)(tg.ones(2, 4, 9, 7)),
        2 * (2 * 6 * 4 * 3) * (2 * 3 * 3),
    ),
    "conv1d": (lambda: nn.Conv1d(2, 3, 5)(tg.ones(1, 2, 9)), 2 * (3 * 5) * (2 * 5)),
    "conv_transpose2d": (
        lambda: nn.ConvTranspose2d(4, 6, 3)(tg.ones(2, 4, 5, 5)),
        2 * (2 * 4 * 25) * (6 * 9),
    ),
    "attention": (
        # queries, keys and values; scores and what they weigh; the way out
        lambda: nn.MultiheadAttention(8, 2, batch_first=True)(*[tg.ones(3, 5, 8)] * 3),
        3 * 2 * 15 * 8 * 8 + 2 * 2 * 3 * 5 * 5 * 8 + 2 * 15 * 8 * 8,
    ),
    "scaled_dot_product_attention": (
        lambda: F.scaled_dot_product_attention(*[tg.ones(3, 2, 5, 4)] * 3),
        2 * (2 * 3 * 2 * 5 * 5 * 4),
    ),
    "lstm": (
        lambda: nn.LSTM(5, 7, 2, bidirectional=True)(tg.ones(6, 3, 5)),
        2 * 18 * 2 * (4 * 7 * 5 + 4 * 7 * 7) + 2 * 18 * 2 * (4 * 7 * 14 + 4 * 7 * 7),
    ),
    "lstm with projection": (
        lambda: nn.LSTM(5, 7, proj_size=3)(tg.ones(6, 2, 5)),
        2 * 12 * (4 * 7 * 5 + 4 * 7 * 3 + 3 * 7),
    ),
    "gru": (lambda: nn.GRU(5, 7)(tg.ones(6, 3, 5)), 2 * 18 * 3 * 7 * (5 + 7)),
    "rnn": (lambda: nn.RNN(5, 7)(tg.ones(6, 3, 5)), 2 * 18 * 7 * (5 + 7)),
    "lstm cell": (lambda: nn.LSTMCell(5, 7)(tg.ones(3, 5)), 2 * 3 * 4 * 7 * (5 + 7)),
    "elementwise": (lambda: tg.ones(9).exp().sum(), 0),
}


@pytest.mark.parametrize("name", FLOPS)
def test_flops_are_those_counted_by_hand(name: str) -> None:
    call, expected = FLOPS[name]
    assert sum(count_flops(call).values()) == expected


def test_only_functions_are_counted() -> None:
    with pytest.raises(TypeError, match=r"^\[count_flops\] expects a function, got dict"):
        count_flops({})  # type: ignore[arg-type]


def test_flops_are_pytorchs() -> None:
    torch = pytest.importorskip("torch", reason="compared with PyTorch's FlopCounterMode")
    from torch.utils.flop_counter import FlopCounterMode

    for make, *shape in (
        (lambda m: m.Linear(7, 5), 3, 7),
        (lambda m: m.Conv2d(4, 6, 3, stride=2, groups=2), 2, 4, 9, 7),
        (lambda m: m.ConvTranspose1d(4, 6, 3, stride=2), 2, 4, 9),
        (lambda m: m.Sequential(m.Conv3d(1, 2, 2), m.Flatten(), m.Linear(16, 3)), 1, 1, 3, 3, 3),
    ):
        with FlopCounterMode(display=False) as theirs:
            make(torch.nn)(torch.ones(shape))
        ours = sum(count_flops(make(nn), tg.ones(*shape)).values())
        assert ours == theirs.get_total_flops()


def test_only_calls_of_this_thread_are_counted() -> None:
    def call() -> None:
        other = threading.Thread(target=lambda: tg.ones(50, 50) @ tg.ones(50, 50))
        other.start()
        other.join()
        _ = tg.ones(2, 3) @ tg.ones(3, 4)

    assert count_flops(call) == {"matmul": 48}
    with tg.autograd.detect_anomaly():
        assert count_flops(lambda: tg.ones(2, 3) @ tg.ones(3, 4)) == {"matmul": 48}
        with pytest.raises(RuntimeError, match="made nan in the forward pass"):
            tg.zeros(1).log() * 0
        with pytest.raises(RuntimeError, match="made nan in the forward pass"):
            count_flops(lambda: tg.zeros(1).log() * 0)


def test_counts_of_two_threads_may_end_in_any_order() -> None:
    found: list[dict[str, int]] = []
    begun, ended = threading.Event(), threading.Event()

    def first() -> None:
        begun.set()
        ended.wait(60)
        _ = tg.ones(2, 3) @ tg.ones(3, 4)

    thread = threading.Thread(target=lambda: found.append(count_flops(first)))

    def second() -> None:
        thread.start()
        begun.wait(60)

    assert count_flops(second) == {}
    ended.set()
    thread.join()
    assert found == [{"matmul": 48}]
    assert not caller._between


# ---- summary -----------------------------------------------------------------------------------


def test_threads_count_at_the_same_time() -> None:
    first, second = threading.Barrier(2, timeout=60), threading.Barrier(2, timeout=60)
    counts: list[dict[str, int]] = []

    def product() -> None:
        first.wait()  # both count
        tg.ones(2, 2) @ tg.ones(2, 2)

    def early() -> None:
        counts.append(count_flops(product))
        second.wait()

    def late() -> None:
        def twice() -> None:
            product()
            second.wait()  # the other one has ended
            tg.ones(2, 2) @ tg.ones(2, 2)

        counts.append(count_flops(twice))

    threads = [threading.Thread(target=target) for target in (early, late)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [{"matmul": 16}, {"matmul": 32}]
    assert not caller._between


def test_a_summary_of_objects_that_hold_themselves() -> None:
    class Model(nn.Linear):
        def forward(self, x: Any, *others: Any) -> Any:
            made = types.SimpleNamespace(y=super().forward(x))
            made.made = made
            return made

    held: list[Any] = [1]
    held.append(held)
    found = summary(Model(3, 2), tg.ones(4, 3), held)
    assert found.rows[0].output == "(4, 2)"


def test_a_summary_has_shapes_parameters_flops_and_memory() -> None:
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    net[0].bias.requires_grad_(False)
    found = summary(net, tg.ones(5, 4))
    whole, first, _, last = found.rows
    assert (found.parameters, whole.trainable) == (4 * 8 + 8 + 8 * 2 + 2, 4 * 8 + 8 * 2 + 2)
    assert (first.input, first.output, first.parameters) == ("(5, 4)", "(5, 8)", 40)
    assert found.flops == first.flops + last.flops == 2 * 5 * 4 * 8 + 2 * 5 * 8 * 2
    # The result of relu is what relu and the last layer keep; the first keeps the input.
    assert [row.activations for row in found.rows] == [160, 0, 160, 0]
    assert found.parameter_bytes == 4 * 58
    text = str(found)
    assert re.search(r"0: Linear +\(5, 4\) +\(5, 8\) +40 +320 +0 B\n", text)
    assert "Parameters: 58, of which 8 are frozen (232 B)" in text
    assert "Forward: 480 FLOPs; kept for the way back: 160 B" in text


@pytest.mark.parametrize("options", [{"inputs": [(1, 4)]}, {"input_size": (1, 4)}])
def test_a_shape_is_no_input(options: dict) -> None:
    with pytest.raises(TypeError, match=r"\[summary\] .* pass tapegrad.zeros\(1, 4\)"):
        summary(nn.Linear(4, 2), *options.pop("inputs", ()), **options)


def test_a_summary_leaves_everything_as_it_was() -> None:
    net = digits_net()
    net[4].eval()
    tg.manual_seed(0)
    before = {name: value.tolist() for name, value in net.state_dict().items()}
    modes = [module.training for module in net.modules()]
    expected = tg.rand(3).tolist()
    tg.manual_seed(0)
    with tg.no_grad():
        found = summary(net, tg.ones(2, 1, 8, 8))
    assert found.activations > 0
    assert tg.rand(3).tolist() == expected
    assert {name: value.tolist() for name, value in net.state_dict().items()} == before
    assert [module.training for module in net.modules()] == modes
    assert all(parameter.grad is None for parameter in net.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
    with pytest.raises(RuntimeError, match=r"\[linear\]"):
        summary(net, tg.ones(2, 1, 9, 9))
    assert [module.training for module in net.modules()] == modes
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


@pytest.mark.parametrize("device", DEVICES)
def test_devices_are_seen_alike(device: str) -> None:
    tg.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(8, 2)).to(device)
    x = tg.ones(3, 1, 4, 4, device=device)
    found = summary(net, x)
    assert found.flops == 2 * 3 * 8 * 9 + 2 * 3 * 8 * 2
    assert 3 * 8 * 4 <= found.activations < 3 * 8 * 4 + 2048  # GPUs give memory out in blocks
    y = net(x).sum()
    assert len(draw_tape(y, net).boxes) == 5
    y.backward()
    assert gradient_report(net).problems == {}
    assert f"on {y.device}" in y._repr_html_()


class Twice(nn.Module):
    """A shared module, an argument by name, results in a dict, and one that is not called."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 3)
        self.idle = nn.ModuleList([nn.Linear(2, 2)])

    def forward(self, x: tg.Tensor, *, scale: tg.Tensor) -> dict:
        return {"y": self.inner(self.inner(x).tanh()) * scale}


def test_a_summary_of_modules_called_twice_or_never() -> None:
    found = summary(Twice(), tg.ones(4, 3), scale=tg.ones(()), depth=1)
    whole, inner, idle, below = found.rows
    assert (whole.input, whole.output) == ("(4, 3), ()", "(4, 3)")
    assert (inner.calls, inner.flops, inner.parameters) == (2, 2 * 2 * 4 * 9, 12)
    assert (idle.calls, idle.flops, idle.parameters) == (0, 0, 6)
    assert below.depth == 2
    assert "inner: Linear (called 2 times)" in str(found)
    assert "idle.0" not in str(found)
    assert "\n    0: Linear" not in str(found)
    with pytest.raises(TypeError, match=r"\[summary\] expects a module and its inputs, got Tensor"):
        summary(tg.ones(1))


# ---- gradients ---------------------------------------------------------------------------------


def mlp(depth: int, activation: Callable, width: int = 16) -> nn.Module:
    layers = [m for _ in range(depth) for m in (nn.Linear(width, width), activation())]
    return nn.Sequential(*layers, nn.Linear(width, 1))


def cut_off(net: nn.Module) -> None:
    net[2].bias.fill_(-100)
    net[4].bias.fill_(1)


def scale(net: nn.Module, factor: float) -> None:
    for parameter in net.parameters():
        parameter.mul_(factor)


@pytest.mark.parametrize(
    ("depth", "activation", "change", "problems"),
    [
        (3, nn.ReLU, lambda net: None, {}),
        (20, nn.LeakyReLU, lambda net: None, {}),
        (12, nn.Sigmoid, lambda net: scale(net, 0.5), {"vanishing": list(range(0, 16, 2))}),
        (3, nn.Identity, lambda net: scale(net, 8), {"exploding": [0, 2, 4, 6]}),
        (3, nn.ReLU, lambda net: net[2].bias[:9].fill_(-100), {"dead units": [2]}),
        (1, nn.ReLU, lambda net: net[0].weight.fill_(np.nan), {"not finite": [0, 2]}),
        (2, nn.ReLU, cut_off, {"no gradient": [0, 2]}),
    ],
    ids=["healthy", "deep", "vanishing", "exploding", "dead", "nan", "cut off"],
)
def test_gradients_that_vanish_explode_or_do_not_arrive(
    depth: int, activation: Callable, change: Callable, problems: dict[str, list[int]]
) -> None:
    tg.manual_seed(0)
    net = mlp(depth, activation)
    with tg.no_grad():
        for parameter in net.parameters():
            nn.init.kaiming_normal_(parameter) if parameter.ndim > 1 else parameter.zero_()
        change(net)
    net(tg.randn(32, 16)).square().mean().backward()
    report = gradient_report(net)
    assert report.problems == {kind: [*map(str, layers)] for kind, layers in problems.items()}
    for kind in problems:
        assert f"\n{kind} (" in str(report)
    assert ("No problem" in str(report)) == (not problems)


def test_the_numbers_of_a_report() -> None:
    net = nn.Sequential(nn.Linear(3, 2, bias=False), nn.Embedding(4, 3))
    net[0].weight.data = tg.tensor([[3.0, 0, 0], [0, 4, 0]])
    net[0].weight.grad = tg.tensor([[0.0, 0, 0], [0, 0, 0.5]])
    net[1].weight.grad = tg.zeros(4, 3).index_fill(0, tg.tensor([1]), 1.0)
    first, second = gradient_report(net).layers
    assert (first.weight_norm, first.gradient_norm, first.ratio, first.dead) == (5, 0.5, 0.1, 0.5)
    assert first.problems == ["dead units"]
    assert (second.dead, second.problems) == (None, [])
    net[1].weight.grad = None
    report = gradient_report(net)
    assert report.problems == {"dead units": ["0"], "no gradient": ["1"]}
    assert "no gradient (1): call backward() first" in str(report)
    net[1].requires_grad_(False)
    assert len(gradient_report(net).layers) == 1
    transposed = nn.ConvTranspose2d(2, 3, 1, bias=False)
    transposed.weight.grad = tg.tensor([1.0, 0, 0]).reshape(1, 3, 1, 1).expand(2, 3, 1, 1)
    assert gradient_report(transposed).layers[0].dead == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="no parameters that require grad"):
        gradient_report(nn.ReLU())
    with pytest.raises(TypeError, match="expects a module, got int"):
        gradient_report(3)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_reported(value: float) -> None:
    model = nn.Linear(2, 2)
    model(tg.ones(1, 2)).sum().backward()
    with tg.no_grad():
        model.weight.fill_(value)
    assert gradient_report(model).problems == {"not finite": [""]}


def test_remedies_are_names_of_this_library() -> None:
    from tapegrad.utils.gradients import REMEDIES

    for text in REMEDIES.values():
        for path in re.findall(r"\b(?:nn|amp|autograd)(?:\.\w+)+", text):
            found: Any = tg
            for name in path.split("."):
                found = getattr(found, name)
        for layer in re.findall(r"\b(?:ReLU|GELU|ELU|LeakyReLU|LSTM|GRU|RNN|LayerNorm)\b", text):
            assert hasattr(nn, layer)


# ---- the tape ----------------------------------------------------------------------------------


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return x + self.second(self.first(x).relu())


def boxes_of(svg: str) -> list[tuple[float, ...]]:
    """Left, top, right and bottom of the boxes in a picture."""
    root = ElementTree.fromstring(svg)
    found = []
    for rect in root.iter("{http://www.w3.org/2000/svg}rect"):
        if rect.get("fill") == "white":
            x, y, w, h = (float(rect.get(key, "")) for key in ("x", "y", "width", "height"))
            found.append((x, y, x + w, y + h))
    return found


def test_a_tape_names_parameters_and_groups_by_module() -> None:
    net = nn.Sequential(nn.Linear(4, 8), Residual(), nn.Linear(8, 2))
    net[0].bias.requires_grad_(False)
    loss = F.cross_entropy(net(tg.ones(3, 4)), tg.tensor([0, 1, 0]))
    graph = draw_tape(loss, net)
    shown = [(box.title, box.module) for box in graph.boxes]
    assert shown[:5] == [
        ("linear", "0"),
        ("linear", "1.first"),
        ("relu", "1"),
        ("linear", "1.second"),
        ("add", ""),
    ]
    assert graph.boxes[0].lines == ["weight 8 x 4", "→ 3 x 8"]
    assert graph.boxes[1].lines == ["weight 8 x 8", "bias 8", "→ 3 x 8"]
    assert graph.edges[:5] == [(0, 1), (1, 2), (2, 3), (0, 4), (3, 4)]
    assert graph.modules == ["0", "1", "1.first", "1.second", "2"]
    assert 'b1 [label="linear\\nweight 8 x 8\\nbias 8\\n→ 3 x 8"]' in graph.dot
    assert graph.dot.count("subgraph") == 5
    assert graph.dot.count("{") == graph.dot.count("}")
    folded = draw_tape(loss, net, depth=1)
    assert [(box.title, *box.lines) for box in folded.boxes[:3]] == [
        ("linear", "weight 8 x 4", "→ 3 x 8"),
        ("1", "3 operations", "→ 3 x 8"),
        ("add", "→ 3 x 8"),
    ]
    assert folded.edges[:3] == [(0, 1), (0, 2), (1, 2)]


def test_a_tape_without_a_model_and_with_several_results() -> None:
    x, w = tg.ones(3, requires_grad=True), tg.ones((), requires_grad=True)
    graph = draw_tape((x * w).sum())
    assert sorted(box.lines[0] for box in graph.boxes if box.is_leaf) == ["3", "a number"]
    assert len(graph.edges) == 3
    lstm = nn.LSTM(2, 3)
    graph = draw_tape(lstm(tg.ones(4, 1, 2))[0].sum(), lstm)
    (layer,) = [box for box in graph.boxes if box.title == "lstm_layer"]
    assert layer.lines == [
        "weight_ih_l0 12 x 2",
        "weight_hh_l0 12 x 3",
        "bias_ih_l0 12",
        "bias_hh_l0 12",
    ]
    for wrong, error, message in (
        (3, TypeError, "expects a tensor, got int"),
        (x, ValueError, "the tensor has no tape"),
        (tg.ones(1), ValueError, "the tensor has no tape"),
    ):
        with pytest.raises(error, match=message):
            draw_tape(wrong)
    with pytest.raises(ValueError, match=r"\[draw_tape\] depth must be an integer of at least 1"):
        draw_tape(x.sum(), depth=0)
    with pytest.raises(TypeError, match=r"\[draw_tape\] model must be a module, got list"):
        draw_tape(x.sum(), [])


class Cube(tg.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: tg.Tensor) -> tg.Tensor:
        return x**3

    @staticmethod
    def backward(ctx: Any, g: tg.Tensor) -> tg.Tensor:
        return g


def test_functions_of_ones_own_are_on_the_tape() -> None:
    y = Cube.apply(tg.ones(2, requires_grad=True)).sum()
    y.backward()  # what is freed is not needed
    assert [box.title for box in draw_tape(y).boxes] == ["input", "Cube", "sum"]


def test_pictures_of_deep_nets_can_be_read(tmp_path: Path) -> None:
    """Twenty layers: no box lies on another, edges lead down, and fields hold their modules."""
    deep = nn.Sequential(nn.Linear(4, 8), *[Residual() for _ in range(10)], nn.Linear(8, 1))
    graph = draw_tape(deep(tg.ones(2, 4)).sum(), deep)
    boxes = boxes_of(graph.svg)
    assert len(boxes) == len(graph.boxes) == 1 + 40 + 2
    for i, (left, top, right, bottom) in enumerate(boxes):
        for other in boxes[:i]:
            assert right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top
    for a, b in graph.edges:
        assert boxes[a][3] < boxes[b][1]
    width = max(box[2] for box in boxes) - min(box[0] for box in boxes)
    assert width < 400
    graph.save(tmp_path / "tape.svg")
    assert (tmp_path / "tape.svg").read_text() == graph.svg == graph._repr_svg_()
    graph.save(tmp_path / "tape.dot")
    assert (tmp_path / "tape.dot").read_text() == graph.dot
    with pytest.raises(ValueError, match=r"ends in .svg or .dot, got '.*tape.png'"):
        graph.save(tmp_path / "tape.png")


def test_large_tapes_are_folded_and_wide_ones_drawn() -> None:
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 6)
    graph = draw_tape(encoder(tg.ones(2, 3, 16)).sum(), encoder)
    assert 6 < len(graph.boxes) <= 120
    boxes = boxes_of(graph.svg)
    for i, (left, top, right, bottom) in enumerate(boxes):
        for other in boxes[:i]:
            assert right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top


def test_a_module_that_is_called_twice_is_one_box() -> None:
    net = Twice()
    graph = draw_tape(net(tg.ones(4, 3), scale=tg.ones(()))["y"].sum(), net, depth=1)
    assert [box.title for box in graph.boxes] == ["inner", "multiply", "sum"]
    graph = draw_tape(
        net.inner(net.inner(tg.ones(1, 3)) + net.idle[0].weight.sum()).sum(), net, depth=1
    )
    assert (0, 2) in graph.edges
    assert (2, 0) in graph.edges  # what is between stands beside it
    assert len(boxes_of(graph.svg)) == len(graph.boxes)


def test_graphviz_draws_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    class ExecutableNotFound(RuntimeError):
        pass

    class Source:
        def __init__(self, text: str) -> None:
            self.text = text

        def pipe(self, format: str, encoding: str) -> str:
            if installed:
                return f"<svg>{len(self.text)}</svg>"
            raise ExecutableNotFound

    fake = types.SimpleNamespace(Source=Source, ExecutableNotFound=ExecutableNotFound)
    monkeypatch.setitem(sys.modules, "graphviz", fake)
    graph = draw_tape(tg.ones(2, requires_grad=True).sum())
    installed = True
    assert graph.svg == f"<svg>{len(graph.dot)}</svg>"
    installed = False
    own = graph.svg
    monkeypatch.setitem(sys.modules, "graphviz", None)
    assert graph.svg == own
    assert len(boxes_of(own)) == 2


def test_a_drawing_keeps_nothing_alive() -> None:
    x = tg.ones(3, requires_grad=True)
    y = (x * 2).sum()
    node = weakref.ref(y.grad_fn)
    graph = draw_tape(y)
    del y
    gc.collect()
    assert node() is None
    assert len(graph.boxes) == 3


# ---- notebooks ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        (tg.arange(100.0), ["float32 (100,) on cpu · 400 bytes · 0 to 99 · mean 49.5", "<svg"]),
        (tg.tensor([1.0, np.nan, -np.inf] * 9), ["1 to 1 · mean 1", "9 nan · 9 infinite"]),
        (tg.tensor([True, False, True]), ["2 of 3 are True"]),
        (tg.zeros(0, 3), ["float32 (0, 3)", "empty"]),
        (tg.tensor(2), ["int64 () on cpu", "2 to 2"]),
        (tg.ones(20, requires_grad=True), ["requires grad"]),
        (tg.tensor([np.nan] * 20), ["20 nan"]),
        (tg.tensor([-1e308, 1e308] * 10, dtype=tg.float64), ["-1e+308 to 1e+308"]),
        (tg.arange(20).to(tg.float16), ["0 to 19", "<svg"]),
        (tg.arange(20, device="emulated"), ["on emulated", "<svg"]),
    ],
    ids=range(10),
)
def test_a_tensor_in_a_notebook(value: tg.Tensor, parts: list[str]) -> None:
    html = value._repr_html_()
    ElementTree.fromstring(html)
    for part in parts:
        assert part in html
    assert ("<svg" in html) == ("<svg" in parts)


def test_a_histogram_counts() -> None:
    html = (tg.arange(64.0) ** 2)._repr_html_()
    counts = [int(n) for n in re.findall(r": (\d+)</title>", html)]
    expected, _ = np.histogram(np.arange(64.0) ** 2, 32)
    assert counts == [n for n in expected.tolist() if n]
    many = tg.ones(3 << 20)
    many[0] = 0
    assert re.findall(r": ([\d,]+)</title>", many._repr_html_()) == ["3", "3,145,725"]


class Odd(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.add_module("<script>", nn.Linear(2, 2))
        self.weight = nn.Parameter(tg.ones(3), requires_grad=False)

    def extra_repr(self) -> str:
        return "<b>&"

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return getattr(self, "<script>")(x)


def test_modules_and_reports_in_a_notebook_are_escaped() -> None:
    net = nn.Sequential(Odd(), nn.Sequential(nn.ReLU(), nn.Sequential(nn.ReLU())))
    html = net._repr_html_()
    ElementTree.fromstring(html.replace(" open>", ">"))
    assert "Odd(&lt;b&gt;&amp;) <small>9 parameters, 3 frozen</small>" in html
    assert html.count("<details") == 4
    assert html.count(" open>") == 3
    y = net(tg.ones(1, 2)).sum()
    pages = [summary(net, tg.ones(1, 2))._repr_html_(), draw_tape(y, net).svg, html]
    y.backward()
    pages.append(gradient_report(net)._repr_html_())
    for page in pages:
        assert "<script>" not in page
        assert "&lt;script&gt;" in page


LAZY = """
import sys
import tapegrad as tg
tg.nn.Linear(2, 2)
tg.utils.data.DataLoader
rooms = "core.notebook nn.notebook utils.model_summary utils.tape_graph utils.gradients "
rooms += "utils.flops data.readers data.splits data.transforms"
for name in rooms.split():
    assert f"tapegrad.{name}" not in sys.modules, name
assert "html" not in sys.modules
"""


def test_what_shows_is_loaded_when_it_shows() -> None:
    done = subprocess.run([sys.executable, "-c", LAZY], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_backward_pass_is_shown_step_by_step(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.Tanh())
    x = tg.tensor([[1.0, 2.0]])
    loss = (net(x) * 2).sum() + net[0].weight.square().mean()
    steps = show_backward(loss, net)
    lines = {line.name: line for line in steps.lines}
    assert net[0].weight.grad is None
    loss.backward()
    for name, parameter in net.named_parameters():
        np.testing.assert_array_equal(lines[name].gradient, parameter.grad.numpy())
        np.testing.assert_array_equal(lines[name].value, parameter.numpy(force=True))
    calls = [line.call for line in steps.lines if line.rule]
    assert calls[0] == "linear(…, 0.weight, 0.bias)"
    tanh = next(line for line in steps.lines if line.call.startswith("tanh"))
    np.testing.assert_array_equal(tanh.value, net(x).numpy(force=True))
    assert tanh.rule.startswith("tanh has the slope")
    ((to, sent),) = tanh.sends
    np.testing.assert_allclose(sent, 2 * (1 - tanh.value**2), rtol=1e-6)
    np.testing.assert_array_equal(sent, lines[to].gradient)
    steps.save(tmp_path / "steps.html")
    page = (tmp_path / "steps.html").read_text(encoding="utf-8")
    assert page.count('<div class="step"') == len(steps.lines) * 2
    assert not re.search(r"<p\b(?:(?!</p>).)*<(?:pre|ul|div|table)", page, re.DOTALL)  # ends a <p>
    assert steps.lines[-1].value == loss.item()
    assert "http" not in page
    assert "srcdoc" in steps._repr_html_()
    assert f"\n  {tanh.name} = {tanh.call}  [1, 3]\n" in repr(steps)
    with pytest.raises(ValueError, match=r"ends in \.html"):
        steps.save("x.txt")
    large = show_backward((tg.ones(100, requires_grad=True) * 2).sum())
    assert "100 numbers from 2 to 2" in large.html


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda: 3, TypeError, "expects a tensor, got int"),
        (lambda: tg.ones(1), ValueError, "has no tape"),
        (lambda: tg.ones(2, requires_grad=True) * 2, ValueError, "one element"),
        (lambda: walked(), RuntimeError, "freed by backward"),
        (lambda: sum(tg.ones((), requires_grad=True) + i for i in range(99)), ValueError, "198"),
    ],
)
def test_what_cannot_be_shown_step_by_step(wrong: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        show_backward(wrong())


def walked() -> tg.Tensor:
    y = tg.ones((), requires_grad=True).square()
    y.backward()
    return y
