"""After any exception the state is the old one or the new one: gradients, and the tape's mode."""

from __future__ import annotations

import contextlib
import dis
import functools
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.amp import casting, regions
from tapegrad.autograd import saved_tensors
from tapegrad.core import accelerator, caller, native
from tapegrad.core.devices import Device
from tapegrad.core.node import Node
from tapegrad.core.tensor import Tensor
from tapegrad.fusion import plain
from tapegrad.nn import init
from tapegrad.ops.sampling import philox
from tapegrad.optim.steps import chunks
from tapegrad.utils import selective


def interrupted_everywhere(
    run: Callable[[], None], check: Callable[[bool], None], begins: bool = False
) -> int:
    """Run ``run`` again and again, with a KeyboardInterrupt at the first, second, ... place in the
    package's code where Python looks for signals (after a call; with ``begins`` also where a
    function begins), until it comes through; ``check(done)`` after each. Returns how many places
    there are.

    A place is known by how many functions of the package were entered before it, and how many
    places have come since: up to there only calls are traced, which is quick."""
    package = os.path.dirname(tg.__file__)
    previous: dict[Any, tuple[bool, int]] = {}  # of a frame: whether a call, and its line
    entered = seen = 0  # functions; places since the last of them
    reached, behind = 1, 0  # the same where the latest interrupt was

    def place() -> None:
        nonlocal seen, behind
        seen += 1
        if seen > behind:
            behind = seen
            raise KeyboardInterrupt

    def now(frame: Any) -> tuple[bool, int]:
        at = frame.f_lasti
        while (name := dis.opname[frame.f_code.co_code[at]]) == "CACHE":
            at -= 2
        return name.startswith("CALL"), frame.f_lineno

    def watch(frame: Any, event: str, _: Any) -> Any:
        if event == "opcode":
            called, line = previous.get(frame, (False, 0))
            previous[frame] = now(frame)
            # What stands behind a call on another line may be outside of its try or with.
            if called and line == frame.f_lineno:
                place()
        return watch

    def enter(frame: Any, event: str, _: Any) -> Any:
        nonlocal entered, seen, reached, behind
        if not frame.f_code.co_filename.startswith(package):
            return None
        entered += 1
        if entered < reached:
            return None
        if entered > reached:
            reached, behind = entered, 0
        seen = 0
        if begins:
            place()
        caller = frame.f_back
        while caller is not None:
            if caller not in previous and caller.f_code.co_filename.startswith(package):
                previous[caller] = now(caller)
                caller.f_trace, caller.f_trace_opcodes = watch, True
            caller = caller.f_back
        frame.f_trace_opcodes = True
        return watch

    run()  # what is imported when it is first needed is
    check(True)
    for places in itertools.count():
        entered = 0
        before = sys.gettrace()
        sys.settrace(enter)
        try:
            run()
        except KeyboardInterrupt:
            done = False
        else:
            done = True
        finally:
            sys.settrace(before)
            previous.clear()
        check(done)
        if done:
            return places
    raise AssertionError


def test_an_interrupt_of_backward_changes_all_gradients_or_none() -> None:
    """(R07, R08)"""
    a, b, c = (tg.tensor([v], requires_grad=True) for v in (2.0, 3.0, 5.0))
    b.grad = tg.tensor([100.0])
    states = [(None, 100.0, None), (15.0, 110.0, 6.0)]

    def run() -> None:
        (a * b * c).sum().backward()

    usual = np.geterr()

    def check(done: bool) -> None:
        assert tg.is_grad_enabled()
        assert np.geterr() == usual
        state = tuple(None if t.grad is None else t.grad.item() for t in (a, b, c))
        assert state in states[done:]
        a.grad, b.grad, c.grad = None, tg.tensor([100.0]), None

    assert interrupted_everywhere(run, check) > 50


def _entered(setting: Any) -> Callable[[], None]:
    def run() -> None:
        with setting():
            pass

    return run


@pytest.mark.parametrize(
    "run",
    [
        _entered(tg.no_grad),
        _entered(lambda: tg.enable_grad()),
        _entered(tg.inference_mode),
        tg.no_grad()(lambda: None),
        tg.set_grad_enabled(False)(lambda: None),
    ],
)
@pytest.mark.parametrize("recording", [True, False])
def test_an_interrupt_of_a_mode_leaves_it_as_it_was(run: Callable, recording: bool) -> None:
    def check(done: bool) -> None:
        assert tg.is_grad_enabled() is recording
        assert not tg.is_inference_mode_enabled()

    with tg.set_grad_enabled(recording):
        places = interrupted_everywhere(run, check, begins=True)
    assert places > 2 or accelerator.compiled is not None  # where a mode is entered in C


@pytest.mark.parametrize(
    ("setting", "variable"),
    [
        (chunks.together, chunks._together),
        (philox.lent_generator, philox._lent),
        (init.skipped, init._skipping),
        (plain.plain_bodies, plain.as_written),
        (
            lambda: tg.utils.checkpoint.set_checkpoint_early_stop(False),
            tg.utils.checkpoint._early_stop,
        ),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_an_interrupt_leaves_no_variable_set(setting: Callable, variable: ContextVar) -> None:
    """Steps that are prepared for a call which never comes, for example, would all be lost."""
    before = variable.get()

    def check(done: bool) -> None:
        assert variable.get() is before

    assert interrupted_everywhere(_entered(setting), check, begins=True) > 2


def _selective() -> Any:
    first, _ = tg.utils.checkpoint.create_selective_checkpoint_contexts([tg.matmul])
    return first


@pytest.mark.parametrize(
    ("context", "is_set", "is_put_in", "leave"),
    [
        (
            lambda: tg.autocast("emulated"),
            lambda: bool(regions.regions.get().active),
            lambda: (
                regions.is_used() or any(Tensor.__dict__[n] is m for n, m in casting._methods())
            ),
            lambda: regions.exchange(regions.Regions()),
        ),
        (
            lambda: tg.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t),
            lambda: saved_tensors.current.get() is not None,
            lambda: caller._WORDS["Node"] is not Node,
            lambda: saved_tensors.exchange(None),
        ),
        (
            _selective,
            lambda: selective._current.get() is not None,
            lambda: selective._looking in caller._between,
            lambda: selective._exchange(None),
        ),
    ],
    ids=["autocast", "saved_tensors_hooks", "selective checkpoint"],
)
def test_what_is_put_in_between_is_there_as_long_as_it_is_used(
    context: Callable, is_set: Callable, is_put_in: Callable, leave: Callable
) -> None:
    """Only an interrupt of ``__exit__`` leaves a context set, which then counts as set."""

    def check(done: bool) -> None:
        if is_set():
            assert not done
            leave()
        with context():  # what was left half is made whole
            assert is_set()
            assert is_put_in()
        assert not is_set()
        assert not is_put_in()

    assert interrupted_everywhere(_entered(context), check) > 5


def test_modes_leave_in_every_way_of_leaving() -> None:
    """Their __exit__ is made when it is asked for."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(tg.no_grad())
        assert not tg.is_grad_enabled()
    assert tg.is_grad_enabled()
    setting = tg.no_grad()
    setting.__enter__()
    assert hasattr(setting, "__exit__")  # which leaves nothing
    assert not tg.is_grad_enabled()
    with setting:
        pass
    assert not tg.is_grad_enabled()
    assert not setting.__exit__(None, None, None)
    assert tg.is_grad_enabled()
    with pytest.raises(ZeroDivisionError), tg.inference_mode():
        raise ZeroDivisionError
    assert tg.is_grad_enabled()
    assert not tg.is_inference_mode_enabled()


def test_a_read_only_gradient_changes_none() -> None:
    """(R07)"""
    a, b, c = (tg.tensor([v], requires_grad=True) for v in (2.0, 3.0, 5.0))
    frozen = np.zeros(1, np.float32)
    frozen.flags.writeable = False
    b.grad = tg.from_numpy(frozen)
    with pytest.raises(RuntimeError, match="read-only"):
        (a * b * c).sum().backward()
    assert a.grad is None
    assert c.grad is None
    assert b.grad.item() == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.unsqueeze_(0),
        lambda x: x.t_(),
        lambda x: x.transpose_(0, 1),
        lambda x: x.squeeze_(1),
    ],
)
def test_a_leaf_may_change_its_shape_under_no_grad(change: Callable) -> None:
    """(R02)"""
    for shape in ((2, 3), (2, 1)):
        x = tg.ones(*shape, requires_grad=True)
        with tg.no_grad():
            change(x)
        (x * 2).sum().backward()
        assert x.grad.shape == x.shape
        assert x.grad.tolist() == (tg.ones(*x.shape) * 2).tolist()


@pytest.mark.parametrize("change", ["data", "t_"])
def test_a_leaf_of_another_shape_than_in_the_forward_pass_is_named(change: str) -> None:
    """(R03)"""
    x, other = tg.ones(2, 3, requires_grad=True), tg.ones(1, requires_grad=True)
    y = (x.exp().sum() + other).sum() if change == "data" else (x * other).sum()
    with tg.no_grad():
        if change == "data":
            x.data = tg.ones(4)
        else:
            x.t_()
    with pytest.raises(RuntimeError, match=r"shape \(2, 3\)|changed it in place"):
        y.backward()
    assert x.grad is None
    assert other.grad is None


@pytest.mark.parametrize("allow_unused", [None, True])
def test_grad_names_a_leaf_of_another_shape_than_in_the_forward_pass(allow_unused: Any) -> None:
    x = tg.ones(2, 3, requires_grad=True)
    y, z = x.exp().sum(), (x * 2).sum()
    x.data = tg.ones(4)
    with tg.no_grad():
        x.unsqueeze_(0)
    message = r"\[grad\] a leaf of shape \(2, 3\).* become one of shape \(1, 4\)"
    for loss in (y, z):
        with pytest.raises(RuntimeError, match=message):
            tg.autograd.grad(loss, x, allow_unused=allow_unused)
    (g,) = tg.autograd.grad((x * 3).sum(), x)
    assert g.shape == (1, 4)


def test_data_of_the_same_shape_may_change_in_between() -> None:
    x = tg.ones(2, requires_grad=True)
    y = (x * 3).sum()
    x.data = tg.zeros(2)
    y.backward()
    assert x.grad.tolist() == [3.0, 3.0]


def test_one_gradient_of_two_leaves_gets_both_sums() -> None:
    a, b = tg.ones(1, requires_grad=True), tg.ones(1, requires_grad=True)
    a.grad = b.grad = tg.zeros(1)
    (2 * a + 3 * b).sum().backward()
    assert a.grad is b.grad
    assert a.grad.item() == 5.0


def test_an_interrupted_import_is_made_up_for() -> None:
    code = """
import sys
import tapegrad as tg

def trace(frame, event, _):
    if frame.f_code.co_name == "_register" and frame.f_locals["name"] == "where":
        sys.settrace(None)
        raise KeyboardInterrupt

sys.settrace(trace)
try:
    tg.ones(2) + 1
except KeyboardInterrupt:
    print("interrupted")
print((tg.ones(2) + 1).tolist())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split("\n")[:2] == ["interrupted", "[2.0, 2.0]"], done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_while_another_thread_is_in_backward() -> None:
    """(R11)"""
    stop = threading.Event()

    def work() -> None:
        x = tg.ones(1000, requires_grad=True)
        while not stop.is_set():
            (x * 2).sum().backward()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    try:
        for _ in range(20):
            child = os.fork()
            if child == 0:
                x = tg.ones(3, requires_grad=True)
                (x * x).sum().backward()
                tg.randn(2)
                os._exit(0 if x.grad.tolist() == [2.0, 2.0, 2.0] else 1)
            end = time.monotonic() + 60
            while (reaped := os.waitpid(child, os.WNOHANG))[0] == 0:
                if time.monotonic() > end:
                    os.kill(child, signal.SIGKILL)
                    os.waitpid(child, 0)
                    pytest.fail("the child hangs")
                time.sleep(0.001)
            assert reaped[1] == 0
    finally:
        stop.set()
        for t in threads:
            t.join()


MAKERS = {
    "SGD": lambda p: tg.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    "Adam": lambda p: tg.optim.Adam(p, lr=0.1, amsgrad=True, weight_decay=0.1),
    "AdamW": lambda p: tg.optim.AdamW(p, lr=0.1, maximize=True),
    "RMSprop": lambda p: tg.optim.RMSprop(p, lr=0.1, momentum=0.9, centered=True),
    "NAdam": lambda p: tg.optim.NAdam(p, weight_decay=0.1),
    "LAMB": lambda p: tg.optim.LAMB(p),
    "Adafactor": lambda p: tg.optim.Adafactor(p),
}


class Steps:
    """Two parameters, of which the second fills several small chunks, before the first or second
    step of an optimizer."""

    def __init__(self, name: str, device: str, dtype: Any, steps: int) -> None:
        self.args = name, device, dtype, steps
        values = np.linspace(-1, 1, 2200)
        self.params = [
            tg.tensor(v, dtype=dtype, device=device).requires_grad_() for v in (values[:3], values)
        ]
        self.optimizer = MAKERS[name](self.params)
        for _ in range(steps):
            for p in self.params:
                p.grad = p.detach() * 2 + 1
            self.optimizer.step()
        for p in self.params:
            p.grad = p.detach() * 2 + 1

    def state(self) -> list[tuple]:
        """Of each parameter: its numbers and its state."""
        return [
            tuple(
                (key, x.detach().cpu().numpy().tobytes() if isinstance(x, tg.Tensor) else x)
                for key, x in sorted({"": p, **self.optimizer.state[p]}.items())
            )
            for p in self.params
        ]


@pytest.mark.parametrize("steps", [0, 1])
@pytest.mark.parametrize(
    ("device", "dtype"), [("cpu", "float32"), ("cpu", "float16"), ("emulated", "float32")]
)
@pytest.mark.parametrize("name", MAKERS)
def test_a_step_moves_a_parameter_and_counts_it_or_neither(
    name: str, dtype: str, device: str, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """(R09)"""
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 4096)
    monkeypatch.setattr(chunks, "_WHOLE_BYTES", 8192)
    before = Steps(name, device, dtype, steps).state()
    made = Steps(name, device, dtype, steps)
    made.optimizer.step()
    after = made.state()
    at = Steps(name, device, dtype, steps)

    def run() -> None:
        at.optimizer.step()

    def check(done: bool) -> None:
        nonlocal at
        assert at.state() in (before, after)[done:]
        at = Steps(name, device, dtype, steps)

    assert interrupted_everywhere(run, check) > 20

    left = 0

    def allocate(make: Callable, *args: Any, **kwargs: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise MemoryError
        return make(*args, **kwargs)

    ops = Device(device).ops
    for failing in itertools.count():
        left = failing
        with monkeypatch.context() as patch:
            for name_ in ("empty_like", "empty", "array"):
                patch.setattr(np, name_, functools.partial(allocate, getattr(np, name_)))
            patch.setitem(ops, "zeros", functools.partial(allocate, ops["zeros"]))
            try:
                run()
            except MemoryError:
                done = False
            else:
                done = True
        check(done)
        if done:
            break
    compiled = device == "emulated" or native.compiled is not None
    assert failing > 1 or (compiled and dtype == "float32" and steps == 1)


def test_an_interrupt_of_a_schedules_step_changes_all_of_it_or_nothing() -> None:
    """(R09)"""
    from tapegrad.optim.lr_scheduler import StepLR

    def fresh() -> StepLR:
        groups = [
            {"params": [tg.zeros(1, requires_grad=True)], "lr": lr} for lr in (1.0, tg.tensor(2.0))
        ]
        schedule = StepLR(tg.optim.SGD(groups), 1)
        schedule.optimizer.step()
        schedule.optimizer.add_param_group({"params": [tg.zeros(1, requires_grad=True)], "lr": 3.0})
        return schedule

    def state() -> str:
        return str((at.state_dict(), at.optimizer.state_dict()))

    at = fresh()
    before = state()
    at.step()
    after = state()
    at = fresh()

    def check(done: bool) -> None:
        nonlocal at
        assert state() in (before, after)[done:]
        at = fresh()

    assert interrupted_everywhere(lambda: at.step(), check) > 20


def test_an_interrupt_of_load_state_dict_changes_all_of_it_or_nothing() -> None:
    """(R09)"""
    saved = Steps("Adam", "cpu", "float32", 2)
    saved.optimizer.param_groups[0]["lr"] = 0.7
    state_dict = saved.optimizer.state_dict()
    at = Steps("Adam", "cpu", "float32", 1)
    states = [(0.1, at.state()[0][1:]), (0.7, saved.state()[0][1:])]

    def check(done: bool) -> None:
        nonlocal at
        assert (at.optimizer.param_groups[0]["lr"], at.state()[0][1:]) in states[done:]
        at = Steps("Adam", "cpu", "float32", 1)

    assert interrupted_everywhere(lambda: at.optimizer.load_state_dict(state_dict), check) > 20
