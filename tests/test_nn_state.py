"""What modules save and load, convert and find by name. PyTorch's modules are the oracle: each
program returns what both libraries must agree on."""

from __future__ import annotations

import copy
import pickle
import warnings
from typing import Any

import numpy as np
import pytest
from test_nn_hooks import plain

import tapegrad as tg
from tapegrad import nn


def network(torch):
    """A layer with and one without a version, below each other, and one under two names."""
    nn = torch.nn
    shared = nn.Linear(2, 2)
    net = nn.Sequential(nn.BatchNorm1d(2), nn.Sequential(shared, nn.Linear(2, 1)), shared)
    net.register_buffer("steps", torch.zeros(1))
    net.register_buffer("cache", torch.zeros(1), persistent=False)
    with torch.no_grad():
        for i, p in enumerate(net.parameters()):
            p.fill_(i)
    return net


def raised(call):
    """The class of what a call raises, or what it returns."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return call()
    except Exception as error:
        return type(error).__name__


def metadata(torch):
    net = network(torch)
    into = {}
    assert net.state_dict(destination=into, prefix="net.") is into
    return dict(net.state_dict()._metadata), list(into), type(net.state_dict()).__name__


def positional_state_dict(torch):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        state = network(torch).state_dict({}, "net.", True)
    return list(state), [w.category.__name__ for w in caught], state["net.0.weight"].requires_grad


def what_does_not_match(torch):
    net = network(torch)
    state = net.state_dict()
    missing = {k: v for k, v in state.items() if not k.startswith("1.0")}
    more = {**state, "x": state["steps"], "0.y": state["steps"], "1.z.w": state["steps"],
            "1.0.weight.q": state["steps"]}  # fmt: skip
    found = []
    for given in (missing, more, {}, {**more, "0.weight": torch.ones(3)}):
        found.append(raised(lambda given=given: net.load_state_dict(given)))
        keys = raised(lambda given=given: net.load_state_dict(given, strict=False))
        if isinstance(keys, tuple):
            keys = [sorted(set(keys.missing_keys)), sorted(set(keys.unexpected_keys))]
        found.append(keys)
    return found, repr(net.load_state_dict(state))


def assigned(torch):
    net = torch.nn.Linear(2, 2)
    net.register_buffer("b", torch.zeros(1))
    net.weight.requires_grad_(False)
    state = {
        "weight": torch.ones(2, 2, dtype=torch.float64),
        "bias": torch.nn.Parameter(torch.ones(2)),
        "b": torch.ones(1, dtype=torch.int64),
    }
    before = net.weight
    net.load_state_dict(state, assign=True)
    return (
        net.weight is before, net.bias is state["bias"], net.b is state["b"],
        str(net.weight.dtype).partition(".")[2] or str(net.weight.dtype), plain(net.weight),
        net.weight.requires_grad, net.bias.requires_grad,
        isinstance(net.weight, torch.nn.Parameter), [n for n, _ in net.named_parameters()],
        raised(lambda: net.load_state_dict({**state, "b": torch.ones(2)}, assign=True)),
    )  # fmt: skip


def extra_state(torch):
    class Counting(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.count = 0

        def get_extra_state(self):
            return {"count": self.count}

        def set_extra_state(self, state):
            self.count = state["count"]

    net = torch.nn.Sequential(Counting(), torch.nn.Linear(1, 1))
    net[0].count = 3
    state = net.state_dict()
    net[0].count = 0
    net.load_state_dict(state)
    del state["0._extra_state"]
    plainer = torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Linear(1, 1))
    return (
        net[0].count, list(net.state_dict()), raised(lambda: net.load_state_dict(state)),
        list(net.load_state_dict(state, strict=False).missing_keys),
        raised(lambda: plainer.load_state_dict(net.state_dict())),
        raised(lambda: torch.nn.ReLU().get_extra_state()),
        raised(lambda: torch.nn.ReLU().set_extra_state(1)),
    )  # fmt: skip


def hooks_of_saving(torch):
    seen = []
    net = network(torch)
    net.register_state_dict_pre_hook(lambda m, p, k: seen.append(("before", plain(m), p, k)))
    net[1].register_state_dict_post_hook(
        lambda m, state, p, meta: (
            (seen.append((p, dict(meta))), state.pop(p + "1.bias"))[2:] or None
        )
    )
    net._register_state_dict_hook(lambda m, state, p, meta: {"only": state["steps"]})
    other = torch.nn.Linear(1, 1)
    other.register_state_dict_post_hook(lambda *args: 3)
    return list(net.state_dict(prefix="")), seen, raised(other.state_dict)


def hooks_of_loading(torch):
    seen = []
    net = network(torch)

    def rename(module, state, prefix, meta, strict, missing, unexpected, errors):
        seen.append((plain(module), prefix, dict(meta), strict))
        state[prefix + "weight"] = state.pop(prefix + "w")

    net[1][1].register_load_state_dict_pre_hook(rename)
    net._register_load_state_dict_pre_hook(lambda state, *rest: state.pop("old", None))
    net.register_load_state_dict_post_hook(
        lambda module, keys: (seen.append((plain(module), list(keys.missing_keys),
                                           plain(module.steps))),
                              keys.missing_keys.clear())[2:] or None
    )  # fmt: skip
    net[1].register_load_state_dict_post_hook(
        lambda module, keys: seen.append((plain(module), list(keys.unexpected_keys)))
    )
    state = {k: v + 1 for k, v in net.state_dict().items()}
    state["1.1.w"] = state.pop("1.1.weight") * 0 + 9
    state["old"] = torch.ones(1)
    del state["1.1.bias"]
    keys = net.load_state_dict(state)
    failing = torch.nn.Linear(1, 1)
    failing.register_load_state_dict_pre_hook(lambda *args: args[-1].append("from the hook"))
    return (
        seen,
        keys.missing_keys,
        plain(net[1][1].weight),
        list(state)[-2:],
        raised(lambda: failing.load_state_dict(failing.state_dict())),
    )


def overriding_the_form(torch):
    class Renamed(torch.nn.Linear):
        _version = 3

        def _save_to_state_dict(self, destination, prefix, keep_vars):
            super()._save_to_state_dict(destination, prefix, keep_vars)
            destination[prefix + "w"] = destination.pop(prefix + "weight").T

        def _load_from_state_dict(self, state, prefix, meta, strict, missing, unexpected, errors):
            if meta.get("version", 1) >= 3:
                state[prefix + "weight"] = state.pop(prefix + "w").T
            super()._load_from_state_dict(state, prefix, meta, strict, missing, unexpected, errors)

    net = torch.nn.Sequential(Renamed(2, 3))
    state = net.state_dict()
    other = torch.nn.Sequential(Renamed(2, 3))
    other.load_state_dict(state)
    layer = torch.nn.Linear(2, 1)
    lists = [], [], []
    layer._load_from_state_dict({"weight": torch.ones(1, 2), "c": 1}, "", {}, True, *lists)
    return (
        list(state), plain(other[0].weight) == plain(net[0].weight), lists, plain(layer.weight),
        raised(lambda: other.load_state_dict({k: v for k, v in state.items() if k != "0.bias"})),
    )  # fmt: skip


def number_of_one_element(torch):
    net = torch.nn.Module()
    net.scale = torch.nn.Parameter(torch.zeros(()))
    net.load_state_dict({"scale": torch.ones(1)})
    return net.scale.item(), net.scale.shape == ()


def replaced_by_name(torch):
    net = network(torch)
    net.set_submodule("1.1", torch.nn.Tanh())
    net.set_submodule("1.new", torch.nn.ReLU())
    net.set_submodule("top", torch.nn.ReLU())
    return [type(m).__name__ for m in net.modules()], [
        raised(lambda a=a: net.set_submodule(*a))
        for a in (("", torch.nn.ReLU()), ("1.1", 3), ("9.1", torch.nn.ReLU()),
                  ("1.none", torch.nn.ReLU(), True), ("training", torch.nn.ReLU()),
                  ("1.0.weight", torch.nn.ReLU()))
    ]  # fmt: skip


def found_by_name(torch):
    net = network(torch)
    return [
        plain(net.get_submodule("1.0")), net.get_submodule("") is net,
        plain(net.get_parameter("1.0.bias")), plain(net.get_buffer("cache")),
        *(raised(lambda n=n: net.get_submodule(n)) for n in ("1.9", "steps", "1.0.weight")),
        *(raised(lambda n=n: net.get_parameter(n)) for n in ("steps", "1", "1.0.none")),
        *(raised(lambda n=n: net.get_buffer(n)) for n in ("0.weight", "1", "none")),
    ]  # fmt: skip


def walked(torch):
    net = network(torch)
    memo = set()
    first = [n for n, _ in net.named_modules(memo)]
    return (
        first, len(memo), list(net.named_modules(memo)),
        [n for n, _ in net.named_modules(prefix="p", remove_duplicate=False)],
        [n for n, _ in net.named_parameters("p", remove_duplicate=False)],
        [n for n, _ in net.named_parameters(recurse=False)],
        [n for n, _ in net.named_buffers("p")], [n for n, _ in net.named_children()],
        sorted(net._non_persistent_buffers_set),
    )  # fmt: skip


def trained(torch):
    class Frozen(torch.nn.BatchNorm1d):
        def train(self, mode=True):
            return super().train(False)

    net = torch.nn.Sequential(torch.nn.Sequential(Frozen(2)), torch.nn.Dropout())
    net.train()
    return [m.training for m in net.modules()], raised(lambda: net.train(1))


def converted(torch):
    net = network(torch).double()
    kinds = [str(t.dtype).rpartition(".")[2] for t in net.state_dict().values()]
    net.to("cpu", torch.float32, True)
    net.to(memory_format=torch.preserve_format)
    weight = net[0].weight
    net.type(torch.float64)
    kinds += [str(t.dtype).rpartition(".")[2] for t in net.state_dict().values()]
    net._apply(lambda t: t * 2 if t.is_floating_point() else t)
    emptied = network(torch).to_empty(device="cpu")
    return (
        kinds, net[0].weight is weight, plain(net[0].weight), [tuple(t.shape) for t in
        emptied.state_dict().values()], net.share_memory() is net,
        raised(lambda: net.to(torch.int64)), raised(lambda: net.type(torch.int64)),
        raised(lambda: net.to_empty()),
        [n for n, _ in net.named_buffers()],
    )  # fmt: skip


def converting_itself(torch):
    """A layer that takes a plain tensor along, below others."""
    calls = []

    class Anchored(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.anchors = torch.ones(2)
            self.layer = torch.nn.Linear(1, 1)

        def _apply(self, fn, recurse=True):
            calls.append(recurse)
            super()._apply(fn, recurse)
            self.anchors = fn(self.anchors)
            return self

    inner = Anchored()
    net = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.Sequential(inner))
    with torch.no_grad():
        inner.layer.weight.fill_(1.0)
    net.double()
    net._apply(lambda t: t * 2)
    kinds = {str(t.dtype).rpartition(".")[2] for t in net.state_dict().values()}
    return (
        plain(inner.anchors),
        plain(inner.layer.weight),
        kinds,
        str(inner.anchors.dtype).rpartition(".")[2],
        calls[:1],
    )


def buffers_by_class(torch):
    net = torch.nn.Module()
    net.a = torch.nn.Buffer(torch.ones(1))
    net.b = torch.nn.Buffer(torch.ones(2), persistent=False)
    net.a = torch.zeros(1)
    net.empty = torch.nn.Parameter()
    return (
        list(net.state_dict()),
        [n for n, _ in net.named_buffers()],
        plain(net.a),
        tuple(net.empty.shape),
    )


def copied(torch):
    net = network(torch)
    net[1](torch.ones(2, 2)).sum().backward()
    deep, pickled = copy.deepcopy(net), pickle.loads(pickle.dumps(net))
    return [
        [twin[2] is twin[1][0], list(twin.state_dict()), twin._non_persistent_buffers_set,
         plain(twin[2].weight), twin[2].weight.grad is None, isinstance(twin[2].weight,
         torch.nn.Parameter)]
        for twin in (deep, pickled)
    ]  # fmt: skip


def zeroed(torch):
    net = torch.nn.Linear(1, 1)
    net(torch.ones(1, 1)).sum().backward()
    grad = net.weight.grad
    net.zero_grad(set_to_none=False)
    kept = net.weight.grad is grad, plain(grad)
    net.zero_grad()
    return kept, net.weight.grad


def refused(torch):
    nn = torch.nn
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    net.p = nn.Parameter(torch.ones(1))
    wrong_value = {**net.state_dict(), "0.weight": "x"}
    calls = [
        lambda: net.register_buffer("a.b", torch.ones(1)),
        lambda: net.register_buffer("", torch.ones(1)),
        lambda: net.register_buffer(3, torch.ones(1)),
        lambda: net.register_buffer("x", 3),
        lambda: net.register_parameter("x", torch.ones(1)),
        lambda: net.register_parameter("forward", None),
        lambda: net.register_parameter("q", net.p * 1),
        lambda: net.add_module("m", 3),
        lambda: net.add_module(3, nn.ReLU()),
        lambda: net.register_module("a.b", nn.ReLU()),
        lambda: setattr(net, "p", torch.ones(1)),
        lambda: setattr(net, "0", 3),
        lambda: nn.Module()(1),
        lambda: nn.Module().foo,
        lambda: nn.Module(3),
        lambda: nn.Parameter(torch.tensor([1])),
        lambda: net.load_state_dict(3),
        lambda: net.load_state_dict([("a", 1)]),
        lambda: net.load_state_dict(wrong_value),
        lambda: net.to("cpu", "cpu"),
        lambda: net.to(torch.float32, torch.float64),
        lambda: nn.Sequential(nn.ReLU())["0"],
        lambda: nn.ModuleList([nn.ReLU()])[1.0],
        lambda: net.apply(3),
        lambda: net.requires_grad_("x"),
        lambda: nn.utils.parameters_to_vector([]),
    ]
    return [raised(call) for call in calls], list(net.state_dict())


PROGRAMS = [
    refused,
    metadata, positional_state_dict, what_does_not_match, assigned, extra_state, hooks_of_saving,
    hooks_of_loading, overriding_the_form, number_of_one_element, replaced_by_name, found_by_name,
    walked, trained, converted, converting_itself, buffers_by_class, copied, zeroed,
]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_state_is_pytorchs(program):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)
    assert program(tg) == program(torch)


class Counting(nn.Module):
    def __init__(self, refuses=False):
        super().__init__()
        self.count, self.refuses = 0, refuses

    def get_extra_state(self):
        return self.count

    def set_extra_state(self, state):
        if self.refuses and state == "wrong":
            raise ValueError("refused")
        self.count = state


def test_an_extra_state_that_is_refused_leaves_all_as_it_was():
    net = nn.Sequential(Counting(), nn.Linear(1, 1), Counting(refuses=True))
    before = net[1].weight.tolist()
    state = {"0._extra_state": 5, "1.weight": tg.ones(1, 1) * 7, "1.bias": tg.ones(1),
             "2._extra_state": "wrong"}  # fmt: skip
    with pytest.raises(ValueError, match="refused"):
        net.load_state_dict(state)
    assert net[0].count == 0
    assert net[1].weight.tolist() == before


def test_what_a_post_hook_does_not_settle_is_taken_back():
    seen = []
    net = nn.Sequential(Counting(), nn.Linear(1, 1))
    net.register_load_state_dict_post_hook(
        lambda module, keys: seen.append(module[1].weight.item())
    )
    before = net[1].weight.tolist()
    with pytest.raises(RuntimeError, match=r"missing keys: '1\.bias'"):
        net.load_state_dict({"0._extra_state": 5, "1.weight": tg.ones(1, 1) * 7})
    assert seen == [7]
    assert net[0].count == 0
    assert net[1].weight.tolist() == before
    with pytest.raises(RuntimeError, match="size mismatch"):
        net.load_state_dict({"1.weight": tg.ones(2)}, strict=False)
    assert seen == [7]  # nothing had been loaded


def test_a_conversion_function_that_fails_converts_nothing():
    net = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1))

    def fails_late(tensor):
        if not tensor.is_floating_point():
            raise ValueError("no integers")
        return tensor.double()

    with pytest.raises(ValueError, match="no integers"):
        net._apply(fails_late)
    assert {t.dtype for t in net.parameters()} == {tg.float32}


def test_devices_that_do_not_exist_and_what_changes_nothing():
    net = nn.Linear(1, 1)
    for move in (net.xpu, net.ipu):
        with pytest.raises(ValueError, match="unknown device"):
            move()
    assert net.compile(mode="max-autotune") is net
    with pytest.raises(RuntimeError, match="memory_format must be"):
        net.to(memory_format="channels_last")
    with pytest.raises(ValueError, match="mode must be True or False, got 1"):
        net.train(1)
    assert str(net.to_empty(device="emulated").weight.device) == "emulated"


def test_state_dicts_from_numpy_keep_their_form():
    net = nn.BatchNorm1d(2)
    state = {k: np.asarray(v.numpy()) for k, v in net.state_dict().items()}
    del state["num_batches_tracked"]  # as the first version was
    net.num_batches_tracked += 4
    assert net.load_state_dict(state) == ([], [])
    assert net.num_batches_tracked.item() == 4
    state = net.state_dict()
    del state["num_batches_tracked"]
    with pytest.raises(RuntimeError, match="missing keys: 'num_batches_tracked'"):
        net.load_state_dict(state)  # whose _metadata says that it has one


def test_a_name_is_registered_once() -> None:
    """Under another kind it is refused, and stays what it was."""
    for kind, value in (("buffer", tg.zeros(2, 2)), ("module", nn.ReLU())):
        m = nn.Linear(2, 2)
        with pytest.raises(KeyError, match="already has an attribute 'weight'"):
            getattr(m, f"register_{kind}")("weight", value)
        assert [name for name, _ in m.named_parameters()] == ["weight", "bias"]
    m = nn.Linear(2, 2)
    with pytest.raises(TypeError, match=r"cannot assign ReLU to the parameter 'bias'"):
        m.bias = nn.ReLU()
    assert list(m.state_dict()) == ["weight", "bias"]
    m.register_parameter("weight", nn.Parameter(tg.ones(1, 2)))
    assert m.weight.shape == (1, 2)


def test_global_hooks_are_where_pytorch_has_them() -> None:
    from tapegrad.nn.modules.module import register_module_forward_hook

    called: list[str] = []
    handle = register_module_forward_hook(lambda m, x, y: called.append(type(m).__name__))
    with handle:
        nn.ReLU()(tg.ones(1))
    nn.ReLU()(tg.ones(1))
    assert called == ["ReLU"]


def test_types_by_their_old_names() -> None:
    for name in ("torch.DoubleTensor", tg.DoubleTensor, tg.float64):
        assert nn.Linear(1, 1).type(name).weight.dtype == tg.float64
    with pytest.raises(ValueError, match="nonsense"):
        nn.Linear(1, 1).type("nonsense")


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_the_state_of_a_compiled_module_is_the_modules() -> None:
    def network(t: Any) -> Any:
        return t.nn.Sequential(t.nn.Linear(2, 3), t.nn.BatchNorm1d(3), t.nn.Linear(3, 1))

    ours = network(tg)
    state = {f"_orig_mod.{name}": value + 1 for name, value in ours.state_dict().items()}
    expected = {name: value + 1 for name, value in ours.state_dict().items()}
    assert not any(ours.load_state_dict(state))
    for name, value in ours.state_dict().items():
        assert value.tolist() == expected[name].tolist()
    with pytest.raises(RuntimeError, match=r"'1.nothing'"):
        ours.load_state_dict({**state, "_orig_mod.1.nothing": tg.ones(1)})
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)
    theirs = network(torch)
    theirs[0] = torch.compile(theirs[0])
    assert "0._orig_mod.weight" in theirs.state_dict()
    ours.load_state_dict(torch.compile(theirs).state_dict())
    for value, other in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
        assert value.tolist() == other.tolist()
