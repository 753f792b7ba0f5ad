"""Containers by name, and of parameters: registered, in the state dict, as PyTorch keeps them."""

from __future__ import annotations

import pytest

import tapegrad as tg
from tapegrad import nn


def build(torch):
    """A network that keeps everything in containers, and what it says about itself."""
    nn = torch.nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleDict({"first": nn.Linear(2, 3)})
            self.blocks["second"] = nn.ModuleDict([("deep", nn.Linear(3, 1))])
            self.blocks.update({"third": nn.ReLU()})
            self.scales = nn.ParameterList([nn.Parameter(torch.ones(1)), torch.zeros(2)])
            self.scales.append(torch.ones(3)).extend([torch.ones(4)])
            self.named = nn.ParameterDict({"alpha": torch.ones(2), "beta": torch.zeros(1)})
            self.named["gamma"] = nn.Parameter(torch.ones(1), requires_grad=False)
            self.named["beta"] = torch.ones(1)

        def forward(self, x):
            for name, block in self.blocks.items():
                x = block["deep"](x) if name == "second" else block(x)
            return x * self.scales[0] + sum(p.sum() for p in self.named.values())

    net = Net()
    with torch.no_grad():
        for i, p in enumerate(net.parameters()):
            p.fill_(0.1 * (i + 1))
    net(torch.ones(1, 2)).sum().backward()
    return [
        list(net.state_dict()),
        [(n, p.requires_grad, tuple(p.shape)) for n, p in net.named_parameters()],
        [round(p.grad.sum().item(), 4) for p in net.parameters() if p.grad is not None],
        [n for n, _ in net.named_modules()],
        [len(net.blocks), len(net.scales), len(net.named)],
        [list(net.blocks), list(net.named.keys()), "first" in net.blocks, "alpha" in net.blocks],
        [tuple(p.shape) for p in net.scales[1:]],
        net.scales[-1].shape[0],
    ]


def test_what_they_hold_is_what_pytorchs_hold() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)
    assert build(tg) == build(torch)


def test_taking_out() -> None:
    modules = nn.ModuleDict({"a": nn.ReLU(), "b": nn.Tanh()})
    assert isinstance(modules.pop("a"), nn.ReLU)
    assert list(modules) == ["b"]
    del modules["b"]
    assert not modules.state_dict()
    modules["a"] = nn.ReLU()
    modules.clear()
    assert len(modules) == 0
    with pytest.raises(KeyError):
        del modules["a"]


def test_setting_an_element_of_a_list() -> None:
    values = nn.ParameterList(tg.zeros(n) for n in (1, 2))
    values[-1] = tg.ones(5)
    assert [v.shape[0] for v in values] == [1, 5]
    assert isinstance(values[1], nn.Parameter)
    assert repr(values) == "ParameterList((0): float32 (1,), (1): float32 (5,))"
    with pytest.raises(IndexError):
        values[2] = tg.ones(1)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: nn.ModuleDict({"a": 1}), TypeError, "int as the module 'a' of ModuleDict"),
        (lambda: nn.ModuleDict({"a.b": nn.ReLU()}), KeyError, "without dots"),
        (lambda: nn.ModuleDict({"keys": nn.ReLU()}), KeyError, "already has an attribute 'keys'"),
        (lambda: nn.ModuleDict()["a"], KeyError, "a"),
        (lambda: nn.ModuleDict()["training"], KeyError, "training"),
        (lambda: nn.ParameterDict({"a": nn.ReLU()}), TypeError, "ReLU as the parameter 'a'"),
        (lambda: nn.ParameterList([3.0]), TypeError, "float as the parameter '0'"),
        (lambda: nn.ParameterList()[0], IndexError, "range"),
    ],
)
def test_bad_entries(call, error, words) -> None:
    with pytest.raises(error, match=words):
        call()


def test_modules_keep_names_of_their_own():
    """(F56)"""

    def made():
        return nn.Sequential({"enc": nn.Linear(1, 1), "dec": nn.Tanh()})

    net = made().insert(0, nn.ReLU())
    assert [name for name, _ in net.named_children()] == ["2", "enc", "dec"]
    assert isinstance(net[0], nn.ReLU)
    net = made()
    del net[0]
    assert list(net._modules) == ["dec"]
    assert list(made().append(nn.ReLU())._modules) == ["enc", "dec", "2"]
    part = nn.Sequential(nn.ReLU(), nn.Tanh(), nn.ELU())[1:].append(nn.GELU())  # "1", "2"
    assert [type(m).__name__ for m in part] == ["Tanh", "ELU", "GELU"]
    part.insert(1, nn.SiLU())
    assert [type(m).__name__ for m in part] == ["Tanh", "SiLU", "ELU", "GELU"]
    numbered = nn.ModuleList([nn.ReLU(), nn.Tanh()]).insert(1, nn.ELU())
    assert list(numbered._modules) == ["0", "1", "2"]
    del numbered[0]
    assert [(n, type(m).__name__) for n, m in numbered.named_children()] == [
        ("0", "ELU"), ("1", "Tanh")]  # fmt: skip
    for wrong in (3, tg.ones(1)):
        with pytest.raises(TypeError, match="cannot insert"):
            numbered.insert(0, wrong)
    assert len(numbered) == 2
    numbered.name = "kept"
    numbered.register_buffer("b", tg.ones(1))
    numbered.insert(0, nn.ReLU())
    assert numbered.name == "kept"
    assert list(numbered.state_dict()) == ["b"]
