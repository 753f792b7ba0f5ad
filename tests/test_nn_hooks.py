"""Hooks of modules: their order, their arguments and what they may replace. PyTorch's are the
oracle: each program notes what its hooks see, with both libraries."""

from __future__ import annotations

import copy
import gc
import pickle
import warnings
import weakref

import pytest

import tapegrad as tg
from tapegrad import nn
from tapegrad.nn import hooks


def plain(value):
    """Tensors as nested lists, modules as the names of their classes."""
    if isinstance(value, (tuple, list)):
        return [plain(v) for v in value]
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if hasattr(value, "detach"):
        rounded = value.detach().double().numpy().round(4) + 0.0
        return rounded.tolist()
    return type(value).__name__ if hasattr(value, "forward") else value


class Noting:
    """Hooks that note their name and arguments, and return what they are told to."""

    def __init__(self):
        self.seen = []

    def hook(self, name, returned=lambda *args: None):
        def hook(*args):
            self.seen.append([name, *plain(args)])
            return returned(*args)

        return hook


def linear(torch, weight=((1.0, 2.0), (3.0, -1.0))):
    layer = torch.nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight))
    return layer


def two_sums(torch):
    class TwoSums(torch.nn.Module):
        """Two results of two arguments, and one that is no tensor."""

        def forward(self, x, y, scale=1.0):
            return x * scale + y, "word", x * y

    return TwoSums()


def picking(torch):
    class Picking(torch.nn.Module):
        def forward(self, x, indices, unused, word):
            return x[indices]

    return Picking()


def order_of_forward_hooks(torch, note):
    layer = linear(torch)
    layer.register_forward_pre_hook(note.hook("pre"))
    layer.register_forward_pre_hook(note.hook("first", lambda m, a: a[0] * 2), prepend=True)
    layer.register_forward_hook(note.hook("after"))
    layer.register_forward_hook(note.hook("earlier", lambda m, a, y: y + 1), prepend=True)
    return layer(torch.ones(1, 2))


def hooks_with_kwargs(torch, note):
    module = two_sums(torch)
    module.register_forward_pre_hook(
        note.hook("pre", lambda m, a, k: (a, {**k, "scale": 3.0})), with_kwargs=True
    )
    module.register_forward_pre_hook(note.hook("plain pre"))
    module.register_forward_hook(note.hook("after"), with_kwargs=True)
    return module(torch.ones(2), y=torch.ones(2))


def hooks_that_are_always_called(torch, note):
    class Failing(torch.nn.Module):
        def forward(self, x):
            raise ValueError("failed")

    module = Failing()
    module.register_forward_hook(note.hook("never"))
    module.register_forward_hook(note.hook("always"), always_call=True)
    module.register_forward_hook(
        note.hook("kwargs", lambda *args: 5), always_call=True, with_kwargs=True
    )
    module.register_forward_hook(note.hook("later"), always_call=True)
    try:
        module(torch.ones(1))
    except ValueError as error:
        return str(error)
    return None


def a_hook_that_fails(torch, note):
    def failing(*args):
        raise KeyError("from the hook")

    layer = linear(torch)
    layer.register_forward_hook(note.hook("called once"), always_call=True)
    layer.register_forward_hook(failing)
    layer.register_forward_hook(note.hook("always"), always_call=True)
    layer.register_forward_hook(failing, always_call=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            layer(torch.ones(1, 2))
    except KeyError as error:
        return str(error)
    return None


def full_backward_hooks(torch, note):
    layer = linear(torch)
    layer.register_full_backward_hook(note.hook("one"))
    layer.register_full_backward_hook(
        note.hook("replace", lambda m, gi, go: (gi[0] * 10,)), prepend=True
    )
    layer.register_full_backward_pre_hook(note.hook("pre"))
    layer.register_full_backward_pre_hook(
        note.hook("halve", lambda m, go: (go[0] / 2,)), prepend=True
    )
    x = torch.ones(1, 2, requires_grad=True)
    layer(x * 1).sum().backward()
    return x.grad, layer.weight.grad


def backward_hooks_of_several(torch, note):
    module = two_sums(torch)
    module.register_full_backward_hook(note.hook("full"))
    module.register_full_backward_pre_hook(note.hook("pre"))
    x, y = torch.ones(2, requires_grad=True), torch.ones(2)
    first, word, second = module(x, y)
    (first * 2 + second).sum().backward()
    z = torch.ones(2, requires_grad=True)
    module_of_four = picking(torch)
    module_of_four.register_full_backward_hook(note.hook("picking"))
    module_of_four(
        x, torch.tensor([0, 0]), z, "word"
    ).sum().backward()  # z and the integers get zeros
    module(x, z)[0].sum().backward()  # the other result is not used
    return x.grad, word, z.grad


def backward_without_inputs_that_require_grad(torch, note):
    layer = linear(torch)
    layer.register_full_backward_hook(note.hook("full"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        layer(torch.ones(1, 2)).sum().backward()
    return len([w for w in caught if "full backward hook" in str(w.message).lower()])


def backward_twice(torch, note):
    net = torch.nn.Sequential(linear(torch), torch.nn.Tanh(), linear(torch))
    for module in net:
        module.register_full_backward_hook(note.hook("full"))
    x = torch.ones(1, 2, requires_grad=True)
    loss = net(x).sum()
    loss.backward(retain_graph=True)
    loss.backward()
    return x.grad


def gradients_of_gradients_through_hooks(torch, note):
    net = torch.nn.Sequential(linear(torch), torch.nn.Tanh())
    net[0].register_full_backward_hook(note.hook("full", lambda m, gi, go: (gi[0] * 2,)))
    x = torch.ones(1, 2, requires_grad=True)
    (g,) = torch.autograd.grad(net(x).sum(), x, create_graph=True)
    (gg,) = torch.autograd.grad(g.sum(), x)
    return g, gg


def under_no_grad(torch, note):
    layer = linear(torch)
    layer.register_full_backward_hook(note.hook("full"))
    layer.register_forward_hook(note.hook("forward"))
    with torch.no_grad():
        y = layer(torch.ones(1, 2, requires_grad=True))
    return y.requires_grad


def wrong_number_of_gradients(torch, note):
    raised = []
    for register, returned in (
        ("register_full_backward_hook", lambda m, gi, go: (gi[0], gi[0])),
        ("register_full_backward_pre_hook", lambda m, go: ()),
    ):
        layer = linear(torch)
        getattr(layer, register)(returned)
        try:
            layer(torch.ones(1, 2, requires_grad=True)).sum().backward()
        except RuntimeError:
            raised.append(layer.weight.grad is None)
    layer = linear(torch)
    layer.register_full_backward_hook(lambda m, gi, go: (torch.ones(1, 2),))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            layer(torch.ones(1, 2)).sum().backward()
        except RuntimeError:
            raised.append("no input")
    return len(raised)


def a_hook_that_returns_no_pair(torch, note):
    layer = linear(torch)
    layer.register_forward_pre_hook(lambda m, a, k: a, with_kwargs=True)
    try:
        layer(torch.ones(1, 2))
    except RuntimeError:
        return "RuntimeError"
    return None


def hooks_of_all_modules(torch, note):
    module = hooks if torch is tg else torch.nn.modules.module
    handles = [
        module.register_module_forward_pre_hook(note.hook("pre of all")),
        module.register_module_forward_hook(note.hook("after of all")),
        module.register_module_forward_hook(note.hook("kwargs of all"), with_kwargs=True),
        module.register_module_full_backward_hook(note.hook("full of all")),
        module.register_module_full_backward_pre_hook(note.hook("full pre of all")),
    ]
    net = torch.nn.Sequential(linear(torch), torch.nn.Tanh())
    net[0].register_forward_pre_hook(note.hook("own"))
    net[0].register_forward_hook(note.hook("own after"))
    x = torch.ones(1, 2, requires_grad=True)
    try:
        net(x).sum().backward()
    finally:
        for handle in handles:
            handle.remove()
    net[1](x)
    return x.grad


def registration_hooks(torch, note):
    module = hooks if torch is tg else torch.nn.modules.module

    def double(owner, name, value):
        note.seen.append([type(owner).__name__, name, type(value).__name__])
        return torch.nn.Parameter(value.detach() * 2)

    handles = [
        module.register_module_parameter_registration_hook(double),
        module.register_module_buffer_registration_hook(
            lambda owner, name, value: note.seen.append([name, plain(value)])
        ),
        module.register_module_module_registration_hook(
            lambda owner, name, value: torch.nn.Tanh() if name == "replaced" else None
        ),
    ]
    try:
        net = torch.nn.Module()
        net.weight = torch.nn.Parameter(torch.ones(1))
        net.register_parameter("other", torch.nn.Parameter(torch.ones(1)))
        net.register_buffer("steps", torch.ones(1))
        net.steps = torch.zeros(1)
        net.replaced = torch.nn.ReLU()
        net.add_module("kept", torch.nn.ReLU())
    finally:
        for handle in handles:
            handle.remove()
    net.late = torch.nn.Parameter(torch.ones(1))
    return [*net.parameters()], [type(m).__name__ for m in net.children()]


def copies_have_hooks_of_their_own(torch, note):
    layer = linear(torch)
    handle = layer.register_forward_hook(note.hook("hook", lambda m, a, y: y + 1))
    twin = copy.deepcopy(layer)
    handle.remove()
    x = torch.ones(1, 2)
    return layer(x), twin(x)


PROGRAMS = [
    order_of_forward_hooks, hooks_with_kwargs, hooks_that_are_always_called, a_hook_that_fails,
    full_backward_hooks, backward_hooks_of_several, backward_without_inputs_that_require_grad,
    backward_twice, gradients_of_gradients_through_hooks, under_no_grad, wrong_number_of_gradients,
    a_hook_that_returns_no_pair, hooks_of_all_modules, registration_hooks,
    copies_have_hooks_of_their_own,
]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_hooks_see_and_replace_what_pytorchs_do(program):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)
    ours, theirs = Noting(), Noting()
    returned = plain(program(tg, ours))
    expected = plain(program(torch, theirs))
    assert ours.seen == theirs.seen
    assert returned == expected
    assert ours.seen or returned  # a program that shows nothing tests nothing


def test_what_is_registered_is_called_without_an_oracle():
    note = Noting()
    returned = plain(full_backward_hooks(tg, note))
    assert [name for name, *_ in note.seen] == ["halve", "pre", "replace", "one"]
    assert note.seen[-1] == ["one", "Linear", [[[20.0, 5.0]]], [[[0.5, 0.5]]]]
    assert returned == [[[20.0, 5.0]], [[0.5, 0.5], [0.5, 0.5]]]


def test_hooks_leave_no_cycles():
    gc.disable()
    try:
        layer = nn.Linear(2, 2)
        layer.register_full_backward_hook(lambda m, gi, go: None)
        y = layer(tg.ones(1, 2, requires_grad=True))
        y.sum().backward()
        gone = [weakref.ref(layer), weakref.ref(y)]
        del layer, y
        assert [reference() for reference in gone] == [None] * 2
    finally:
        gc.enable()


def test_what_hooked_modules_return_can_be_changed_in_place():
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(inplace=True), nn.Linear(2, 1))
    x = tg.ones(1, 2, requires_grad=True)
    net(x).sum().backward()
    expected = x.grad.tolist()
    seen = []
    for module in net:  # (PyTorch refuses this)
        module.register_full_backward_hook(lambda m, gi, go: seen.append(type(m).__name__))
    x.grad = None
    net(x).sum().backward()
    assert x.grad.tolist() == expected
    assert seen == ["Linear", "ReLU", "Linear"]


def test_results_that_are_no_tensors_warn():
    class Named(nn.Module):
        def forward(self, x):
            return {"y": x * 2}

    module = Named()
    module.register_full_backward_hook(lambda *args: None)
    with pytest.warns(UserWarning, match="Named: backward hooks are called for .* not dict"):
        assert module(tg.ones(1))["y"].tolist() == [2]


def test_bad_hooks():
    layer = nn.Linear(1, 1)
    for register in (
        layer.register_forward_hook, layer.register_full_backward_hook,
        layer.register_load_state_dict_post_hook, hooks.register_module_forward_hook,
    ):  # fmt: skip
        with pytest.raises(TypeError, match="callable, got int"):
            register(3)
    assert layer(tg.ones(1)).shape == (1,)
    layer.register_full_backward_hook(lambda m, gi, go: ())
    with pytest.raises(
        RuntimeError, match="Linear: a backward hook returned 0 gradients for the 1"
    ):
        layer(tg.ones(1, requires_grad=True)).backward()
    assert layer.weight.grad is None


def test_a_handle_removes_at_the_end_of_with():
    calls = []
    layer = nn.Identity()
    with layer.register_forward_hook(lambda *args: calls.append(1), with_kwargs=True) as handle:
        layer(1)
    layer(1)
    assert calls == [1]
    assert handle.id not in layer._hooks_with_kwargs


def test_a_module_pickled_without_tables_of_hooks_has_empty_ones():
    state = nn.Linear(1, 1).__dict__.copy()
    del state["_backward_hooks"]
    layer = nn.Linear.__new__(nn.Linear)
    layer.__setstate__(state)
    assert layer(tg.ones(1)).shape == (1,)
    assert layer._backward_hooks == {}
    assert pickle.loads(pickle.dumps(layer)).weight.tolist() == layer.weight.tolist()
