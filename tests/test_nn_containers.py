"""Containers by name, and of parameters: registered, in the state dict, as PyTorch keeps them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

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
        (lambda: nn.ParameterDict({3: tg.ones(1)}), TypeError, "a name is a string, not 3"),
        (lambda: nn.ParameterDict({"get": tg.ones(1)}), KeyError, "has an attribute 'get'"),
        (lambda: nn.ParameterDict({"get": 1}), KeyError, "has an attribute 'get'"),
        (lambda: nn.ParameterDict().popitem(), KeyError, "empty"),
        (lambda: nn.ParameterDict()(1), RuntimeError, "cannot be called"),
        (lambda: nn.ParameterList([3.0])(1), RuntimeError, "cannot be called"),
        (lambda: nn.ParameterList(tg.ones(2)), TypeError, "got a Tensor"),
        (lambda: nn.ParameterList()[0], IndexError, "range"),
        (lambda: nn.ModuleDict(3), TypeError, "a mapping or pairs"),
        (lambda: nn.ModuleDict([3]), TypeError, "entry 0 is a int"),
        (lambda: nn.ModuleDict([("a", nn.ReLU(), 1)]), ValueError, "entry 0 has length 3"),
        (lambda: nn.ModuleList(3), TypeError, "got a int"),
        (lambda: nn.ModuleList([nn.ReLU()]) + 3, TypeError, "int"),
        (lambda: nn.Sequential(nn.ReLU()) + 3, ValueError, "another Sequential, got int"),
        (lambda: nn.Sequential(nn.ReLU()) * 1.5, TypeError, "an int, got float"),
        (lambda: nn.Sequential(nn.ReLU()) * 0, ValueError, "a positive number, got 0"),
        (lambda: nn.Sequential().insert(2, nn.ReLU()), IndexError, "no place 2"),
        (lambda: nn.Sequential(nn.ReLU()).pop(1), IndexError, "no index 1"),
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
    assert list(net._modules) == ["0"]  # as in PyTorch: see below
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


def arithmetic(torch):
    """Containers added, multiplied, sliced, and taken apart; the classes that they then hold."""
    nn = torch.nn
    a, b, c = nn.ReLU(), nn.Tanh(), nn.Linear(2, 2)
    pair = nn.Sequential(a, b)
    found = {}

    def see(name, container):
        entries = container.items() if hasattr(container, "items") else enumerate(container)
        kinds = [(k, type(v).__name__) for k, v in entries]
        found[name] = (type(container).__name__, kinds, list(container.state_dict()))

    see("sum", pair + nn.Sequential(c))
    see("product", pair * 2)
    see("right product", 3 * pair)
    grown = nn.Sequential(a)
    same = grown
    grown += nn.Sequential(c, b)
    grown *= 2
    found["in place"] = same is grown
    see("grown", grown)
    found["popped"] = [type(grown.pop(1)).__name__, type(grown.pop(slice(0, 2))).__name__]
    see("rest", grown)
    del grown[1:]
    see("deleted", grown)
    grown.insert(-1, c)
    see("inserted", grown)

    class Mine(nn.Sequential):
        pass

    see("subclass", Mine(a, b, c)[1:])
    found["names"] = [n for n in dir(pair) if n.isdigit()]
    layers = nn.ModuleList([a, b]) + (layer for layer in [c])
    see("list", layers)
    layers += [a, a]
    see("longer", layers)
    del layers[::2]
    see("every second", layers)
    found["taken"] = type(layers.pop(0)).__name__
    see("left", layers)
    found["shown"] = repr(nn.ModuleList([nn.ReLU(), nn.ReLU(), nn.Linear(2, 2), nn.ReLU()]))
    found["deep"] = repr(nn.ModuleList([nn.Sequential(nn.ReLU()), nn.Sequential(nn.ReLU())]))
    found["empty"] = repr(nn.ModuleList())

    mixed = nn.ParameterList([torch.ones(2), "text", nn.Parameter(torch.zeros(1)), 3, None])
    mixed += [torch.ones(1)]
    mixed[1] = torch.zeros(4)
    see("parameters", mixed)
    see("part", mixed[::2])
    found["numbers"] = [n for n, _ in mixed.named_parameters()]
    table = nn.ParameterDict({"b": torch.ones(1), "a": torch.ones(2), "c": "text"})
    see("sorted", table)
    see("either", table | nn.ParameterDict({"d": torch.ones(3)}))
    found["joined"] = sorted({"z": 1} | table)
    table |= {"e": torch.ones(1)}
    table["c"] = torch.ones(5)
    found["got"] = [table.get("x"), table.get("x", 3), table.setdefault("f", 7), table["f"]]
    found["last"] = table.popitem()
    found["backwards"] = list(reversed(table))
    see("copy", table.copy())
    see("from keys", table.fromkeys(["q", "p"], 1))
    table.clear()
    see("clear", table)
    return found


def test_arithmetic_of_containers_is_pytorchs() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)
    ours, theirs = arithmetic(tg), arithmetic(torch)
    for name, value in theirs.items():
        assert ours[name] == value, name


def test_extending_by_what_is_no_module_adds_nothing() -> None:
    for layers in (nn.Sequential(nn.ReLU()), nn.ModuleList([nn.ReLU()])):
        with pytest.raises(TypeError, match="cannot register int"):
            layers.extend([nn.Tanh(), 3])
        assert [type(m).__name__ for m in layers] == ["ReLU"]
        layers.extend(layers)
        assert len(layers) == 2


@pytest.mark.parametrize("kind", ["Sequential", "ModuleList"])
@pytest.mark.parametrize("gone", [0, -1, slice(0, 2), slice(None, None, 2)])
def test_what_is_left_is_numbered_anew(kind: str, gone: Any) -> None:
    def left(t: Any) -> tuple[list, list]:
        layers: Any = [t.nn.ReLU(), t.nn.Tanh(), t.nn.GELU()]
        named = t.nn.Sequential(OrderedDict(zip("abc", layers, strict=True)))
        made = named if kind == "Sequential" else t.nn.ModuleList(layers)
        del made[gone]
        return [name for name, _ in made.named_children()], [type(m).__name__ for m in made]

    assert left(tg)[0] == [str(i) for i in range(len(left(tg)[0]))]
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)
    assert left(tg) == left(torch)


def refused() -> Iterator[Any]:
    yield tg.ones(2)
    raise ZeroDivisionError


HALVES: list[tuple[Any, Callable[[Any], Any], type]] = [
    (
        nn.ModuleDict({"a": nn.ReLU()}),
        lambda m: m.update([("a", nn.Tanh()), ("b", nn.Tanh()), ("c", 3)]),
        TypeError,
    ),
    (nn.ModuleDict({"a": nn.ReLU()}), lambda m: m.update({"b": nn.Tanh(), "x.y": None}), KeyError),
    (nn.ModuleDict({"a": nn.ReLU()}), lambda m: m.update([("b", nn.Tanh()), ("c",)]), ValueError),
    (nn.ParameterDict({"a": tg.ones(1)}), lambda m: m.update({"b": tg.ones(2), 3: 4}), TypeError),
    (
        nn.ParameterDict({"a": tg.ones(1)}),
        lambda m: m.update([("a", tg.ones(2)), ("b", tg.ones(2)), ("forward", 3)]),
        KeyError,
    ),
    (nn.ParameterList([tg.ones(1)]), lambda m: m.extend(refused()), ZeroDivisionError),
    (
        nn.ParameterList([tg.ones(1)]),
        lambda m: m.extend([tg.ones(2), tg.ones(2, dtype=tg.int64)]),
        RuntimeError,
    ),
]


@pytest.mark.parametrize(("module", "change", "error"), HALVES)
def test_what_cannot_be_put_in_whole_changes_nothing(
    module: Any, change: Callable, error: type
) -> None:
    before = {name: id(value) for name, value in vars(module).items() if name[0] != "_"}
    shown, length = repr(module), len(module)
    with pytest.raises(error):
        change(module)
    assert (repr(module), len(module)) == (shown, length)
    assert {name: id(value) for name, value in vars(module).items() if name[0] != "_"} == before
    assert [*module.state_dict()] == [name for name, _ in module.named_parameters()]
