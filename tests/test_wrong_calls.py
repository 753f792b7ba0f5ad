"""Every public function and class, called with what it does not take."""

from __future__ import annotations

import inspect
import re
import signal
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

# (MemoryError: what a larger machine might do.)
ALLOWED = (
    TypeError, ValueError, RuntimeError, IndexError, NotImplementedError, OverflowError,
    MemoryError,
)  # fmt: skip

# What arguments are replaced by, one at a time and then all of them.
WRONG: list[Any] = [
    None, 3, -1, 0, 2.5, float("nan"), True, "x", "²", b"x", 1j, [], (), {}, {"x": 1}, [None],
    ["x"], [[1], [2, 3]], 2**40, 2**62, 2**63 - 1, 2**64, -(2**63), 10**400, (2**62, 2), object(),
    len, np.ones(2, dtype=complex), np.array(["x"]),
]  # fmt: skip

# An operation in brackets, or Python's own words about the arguments of a function.
NAMED = r"\[[\w.]+\]|[\w.]+\(\) (takes|missing|got an)"

# What is left out, and why.
LEFT_OUT = {
    "assert_close": "AssertionErrors are its answers",
    "autocast_decrement_nesting": "changes what the others do",
    "autocast_increment_nesting": "changes what the others do",
    "bench": "runs for minutes",
    "CheckpointPolicy": "an Enum, with Python's errors",
    "Transformer": "44 million parameters take more than a second",
    "checkpoint": "calls what it is given, whose errors are its own",
    "count_flops": "calls what it is given, whose errors are its own",
    "set_autocast_cache_enabled": "changes what the others do",
    "set_autocast_cpu_enabled": "changes what the others do",
    "set_autocast_enabled": "changes what the others do",
    "set_detect_anomaly": "changes what the others do",
    "set_default_device": "changes what the others do",
    "set_default_dtype": "changes what the others do",
    "set_num_threads": "changes how fast the others are, with a package that not all have",
    "set_printoptions": "changes what the others do",
    "Size": "a tuple",
    "dtype": "NumPy's own",
    "layout": "a str",
    "memory_format": "a str",
}

ROOMS = (
    "", "amp", "autograd", "autograd.functional", "autograd.graph", "cuda", "data",
    "data.transforms", "func", "linalg", "masked", "metrics", "nn.functional", "nn.init",
    "nn.utils", "optim", "optim.lr_scheduler", "signal.windows", "special", "testing", "train",
    "utils", "utils.checkpoint", "utils.data", "nn", "nn.utils.parametrizations", "nn.utils.rnn",
)  # fmt: skip


def tensors() -> list[Any]:
    return [
        tg.ones(2, 3), tg.ones(3), tg.tensor(1.0), tg.ones(0), tg.arange(3),
        tg.ones(2, 2, dtype=tg.float64), tg.ones(2, dtype=tg.bool), tg.ones(1, 2, 3, 4),
    ]  # fmt: skip


def public() -> Iterator[tuple[str, Callable]]:
    """Every public callable, by its full name; once, if several doors lead to it."""
    seen: set[int] = set()
    for room in ROOMS:
        module: Any = tg
        try:
            for part in room.split(".") if room else ():
                module = getattr(module, part)
        except AttributeError:
            continue
        for name in getattr(module, "__all__", dir(module)):
            if name.startswith("_"):
                continue
            value = getattr(module, name, None)
            if callable(value) and value is not tg.Tensor and id(value) not in seen:
                seen.add(id(value))
                yield f"{room}.{name}".lstrip("."), value
    for name in dir(tg.Tensor):
        value = getattr(tg.Tensor, name)
        if not name.startswith("_") and callable(value) and id(value) not in seen:
            yield f"Tensor.{name}", value


CALLABLES = {name: f for name, f in public() if name.rpartition(".")[2] not in LEFT_OUT}


def usual(parameter: inspect.Parameter) -> Any:
    """A fitting value of a parameter, as far as its annotation tells."""
    kind = str(parameter.annotation)
    if parameter.default is not parameter.empty:
        return parameter.default
    if kind.startswith("int"):
        return 1
    if kind.startswith("float"):
        return 0.5
    if kind.startswith("bool"):
        return True
    if "Sequence" in kind or parameter.name in ("tensors", "params", "parameters"):
        return [tg.ones(2, 3)]
    if parameter.name == "optimizer":
        return tg.optim.SGD([tg.ones(2, requires_grad=True)], 0.1)
    if "Tensor" in kind or parameter.name in ("self", "input", "other", "x", "tensor"):
        return tg.ones(2, 3)
    return 1


def calls(name: str, f: Callable) -> Iterator[tuple[tuple, dict[str, Any]]]:
    """Wrong calls of one function."""
    yield (), {}
    this = (tg.ones(2, 3),) if name.startswith("Tensor.") else ()
    for value in [*WRONG, *tensors()]:
        for count in (1, 2, 3):
            yield (*this, *[value] * count), {}
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        return
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.POSITIONAL_ONLY)]
    for i, changed in enumerate(parameters):
        if this and i == 0:
            continue
        for value in [*WRONG, *tensors()]:
            positional = [usual(p) for p in named]
            options = {}
            if i < len(named):
                positional[i] = value
            elif changed.kind is changed.KEYWORD_ONLY:
                options = {changed.name: value}
            else:
                positional.append(value)
            # (Those after the changed one that have defaults are left to them.)
            needed = [j for j, p in enumerate(named) if p.default is p.empty or j == i]
            if i < len(named):
                positional = positional[: max([*needed, i]) + 1]
            else:
                keep = max(needed, default=-1) + 1
                positional = positional[: max(keep, len(named) if not options else keep)]
                if changed.kind is changed.VAR_POSITIONAL:
                    positional.append(value)
            yield tuple(positional), options


class TooLong(BaseException):
    pass


def too_long(*_: Any) -> None:
    raise TooLong


def problem(name: str, f: Callable, args: tuple, options: dict[str, Any]) -> str:
    """What is wrong with the answer to a wrong call, "" if nothing."""
    signal.setitimer(signal.ITIMER_PROF, 1)  # of processor time
    try:
        f(*args, **options)
    except ALLOWED as error:
        words = {name.rpartition(".")[2].rstrip("_"), getattr(f, "__name__", name)}
        if any(word in str(error) for word in words) or re.match(NAMED, str(error)):
            return ""
        return f"does not name the operation: {type(error).__name__}: {error}"
    except KeyError as error:  # PyTorch's, for a scheduler that begins in the middle
        return "" if "initial_lr" in str(error) else f"KeyError: {error}"
    except AssertionError as error:  # PyTorch's, for heads and masks that do not fit
        known = re.search(r"MultiheadAttention: |\[\w+\] \w+ must (be|have) ", str(error))
        return "" if known else f"AssertionError: {error}"
    except ImportError as error:
        return "" if "pip install 'tapegrad[" in str(error) else f"ImportError: {error}"
    except FileNotFoundError as error:
        return "" if error.filename is not None else f"FileNotFoundError: {error}"
    except TooLong:
        return "takes more than a second of processor time"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return ""


def shown(value: Any) -> str:
    return f"tensor{tuple(value.shape)}" if isinstance(value, tg.Tensor) else repr(value)[:40]


@pytest.mark.parametrize("name", CALLABLES)
def test_wrong_calls_are_answered_with_what_is_wrong(
    name: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """(R17) (R18) (R19) (R20)"""
    monkeypatch.chdir(tmp_path)
    f = CALLABLES[name]
    before = signal.signal(signal.SIGPROF, too_long)
    found = {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for args, options in calls(name, f):
                wrong = problem(name, f, args, options)
                if wrong:
                    call = ", ".join(
                        [*map(shown, args), *(f"{k}={shown(v)}" for k, v in options.items())]
                    )
                    found.setdefault(wrong[:60], f"{name}({call}): {wrong}")
    finally:
        signal.signal(signal.SIGPROF, before)
    assert not found, "\n".join(found.values())


HUGE = 2**63 - 1
F = tg.nn.functional

# What is called, the exception, and what it says.
ANSWERS: list[tuple[Callable[[Any], Any], type, str]] = [
    *(
        (lambda x, f=f: f(HUGE), RuntimeError, r"\[[\w.]+\].* larger than any memory")  # (R05)
        for f in (
            tg.hann_window, tg.hamming_window, tg.blackman_window, tg.bartlett_window,
            tg.kaiser_window, tg.signal.windows.hann, tg.signal.windows.gaussian,
            tg.signal.windows.exponential, tg.signal.windows.nuttall, tg.arange, tg.randperm,
            tg.ones, tg.empty, tg.randn, tg.eye,
            lambda n: tg.arange(1, n), lambda n: tg.arange(0, -n, -1), lambda n: tg.arange(n * 1.0),
            lambda n: tg.linspace(0, 1, n), lambda n: tg.logspace(0, 1, n),
            lambda n: tg.tril_indices(n, n), lambda n: tg.triu_indices(1, n),
            lambda n: tg.linalg.vander(tg.ones(3), N=n), lambda n: tg.vander(tg.ones(3), n),
            lambda n: F.adaptive_avg_pool1d(tg.ones(2, 3), n),
            lambda n: F.adaptive_max_pool1d(tg.ones(2, 3), n),
            lambda n: tg.randint(9, (n,)), lambda n: tg.full((n,), 1),
            lambda n: tg.zeros(n - 1, dtype=tg.uint8),
        )
    ),
    *(
        (lambda x, f=f: f(2**62), RuntimeError, r"^\[\w+\] .*larger than any memory")  # (R19)
        for f in (
            tg.ones, tg.eye, tg.hann_window, lambda n: tg.full((n,), 1), lambda n: F.pad(X, (n, 0)),
            lambda n: X.repeat(n, 1), lambda n: tg.tile(X, (n,)),
            lambda n: F.interpolate(tg.ones(1, 1, 3), size=n),
            lambda n: tg.nonzero_static(X, size=n), lambda n: F.one_hot(tg.arange(3), n),
            lambda n: tg.bincount(tg.arange(3), minlength=n), lambda n: X.resize_(n),
            lambda n: X.new_zeros(n), lambda n: tg.diag(tg.ones(3), n),
            lambda n: tg.diag_embed(tg.ones(3), n), lambda n: tg.histc(X, n),
        )
    ),
    (lambda x: tg.nn.init.uniform_(3), TypeError, r"^\[uniform_\] tensor must be a Tensor"),
    (lambda x: tg.nn.init.zeros_([1]), TypeError, r"^\[zeros_\] tensor must be a Tensor"),
    (lambda x: tg.nn.init.eye_("x"), TypeError, r"^\[eye_\] tensor must be a Tensor, got str"),
    (lambda x: tg.nn.init.orthogonal_(None), TypeError, r"^\[orthogonal_\] tensor must be a T"),
    (lambda x: tg.data.TensorDataset(1), TypeError, r"^TensorDataset takes tensors"),
    (lambda x: tg.data.TensorDataset(np.ones(2)), TypeError, r"ndarray: tapegrad.as_tensor\(\)"),
    (lambda x: tg.optim.SGD(tg.nn.Linear(1, 1)), TypeError, r"^SGD: .*model.parameters.*a Linear"),
    (lambda x: tg.optim.SGD([iter([x])]), TypeError, r"^SGD: .*two models as \[\*a.parameters"),
    (lambda x: F.cross_entropy(x, x, 3), TypeError, r"^\[cross_entropy\] .*Tensor"),
    (lambda x: F.nll_loss(x, x, weight=3), TypeError, r"^\[nll_loss\] .*Tensor"),
    (lambda x: tg.promote_types(0, 7), TypeError, r"^\[promote_types\] .*0"),
    (lambda x: tg.can_cast("x", tg.int8), TypeError, r"^\[can_cast\] .*'x'"),
    (lambda x: tg.bernoulli(x, generator="x"), TypeError,
     r"^\[bernoulli\] generator must be a Generator, got str"),
    (lambda x: tg.randperm(3, generator=""), TypeError, r"^\[randperm\] generator must be a Gen"),
    (lambda x: tg.normal(0.0, 1.0, (2,), generator=0), TypeError, r"^\[normal\] generator must be"),
    (lambda x: tg.poisson(x, 0), TypeError, r"^\[poisson\] generator must be a Generator"),
    (lambda x: x.uniform_(generator=[]), TypeError, r"^\[uniform_\] generator must be a Gen"),
    (lambda x: tg.save(tg.nn.Linear(1, 1), "x.npz"), TypeError, r"^save: "),
    (lambda x: tg.nn.Linear(1, 1).load_state_dict(None), TypeError, r"^load_state_dict: "),
    (lambda x: tg.optim.SGD([tg.nn.Parameter(x)], 0.1).load_state_dict(None), ValueError,
     r"^SGD.load_state_dict"),
    (lambda x: tg.nn.EmbeddingBag(1, 1, _weight=2), TypeError, r"^\[EmbeddingBag\] _weight must"),
    (lambda x: tg.nn.Embedding(1, 1, _weight=2), TypeError, r"^\[Embedding\] _weight must"),
    (lambda x: F.lp_pool1d(x, 0, 2), ValueError, r"^\[lp_pool1d\] norm_type must not be 0"),
    (lambda x: F.lp_pool2d(x.reshape(1, 2, 3), 0, 2), ValueError, r"^\[lp_pool2d\] "),
    (lambda x: tg.device("cuda:²"), ValueError, r"unknown device 'cuda:²'"),
    (lambda x: tg.device("cuda", "x"), TypeError, r"^\[device\] the index must be an int"),
    (lambda x: tg.special.multigammaln(x, 2**40), ValueError, r"^\[mvlgamma\] .*10,000"),  # (R18)
    (lambda x: tg.pca_lowrank(x, niter=2**40), ValueError, r"^\[pca_lowrank\] niter"),
    (lambda x: tg.nn.init.trunc_normal_(x, float("nan")), ValueError, r"trunc_normal_"),
    (lambda x: tg.arange(), TypeError, r"^\[arange\] needs the number where it ends"),  # (R20)
    (lambda x: tg.linspace(0, 1, 3, dtype=tg.bool), NotImplementedError, r"^\[linspace\].*bool"),
    (lambda x: tg.logspace(0, 1, 3, dtype=tg.bool), NotImplementedError, r"^\[logspace\].*bool"),
    (lambda x: tg.arange(2, dtype=tg.bool), NotImplementedError, r"^\[arange\].*bool"),  # (S02)
    (lambda x: tg.ones(2, 3, 4).t_(), RuntimeError, r"^\[t\] expects at most 2 dimensions, got 3"),
    (lambda x: tg.set_grad_enabled("x"), TypeError, r"^\[set_grad_enabled\] mode must be True or"),
    (
        lambda x: tg.autograd.set_detect_anomaly("x"),
        TypeError,
        r"^\[set_detect_anomaly\] mode must be True or",
    ),
    (
        lambda x: tg.autograd.detect_anomaly(None),
        TypeError,
        r"^\[detect_anomaly\] check_nan must be True or",
    ),
    (lambda x: tg.inference_mode(2), TypeError, r"^\[inference_mode\] mode must be True or False"),
    (lambda x: x.size("x"), TypeError, r"^\[size\] dim must be an int, got str"),
    (lambda x: x.stride(5), IndexError, r"^\[stride\] dim 5 is out of range"),
]  # fmt: skip
X = tg.ones(2, 3)


@pytest.mark.parametrize("number", range(len(ANSWERS)))
def test_what_wrong_calls_are_answered(number: int, tmp_path: Any, monkeypatch: Any) -> None:
    """(R05) (R17) (R18) (R19) (R20) (S02)"""
    monkeypatch.chdir(tmp_path)
    call, kind, message = ANSWERS[number]
    with pytest.raises(kind, match=message) as caught:
        call(tg.ones(2, 3))
    assert type(caught.value) is kind


def test_errors_of_the_users_own_code_pass_as_they_are() -> None:
    """(R17) Only what goes wrong in here is told in terms of the call."""
    x = tg.ones(2, 3)

    def distance(a: Any, b: Any) -> Any:
        return a.no_such_method(b)

    class Index:
        def __index__(self) -> int:
            raise KeyError("mine")

    with pytest.raises(AttributeError, match="no_such_method"):
        F.triplet_margin_with_distance_loss(x, x, x, distance_function=distance)
    with pytest.raises(KeyError, match="mine"):
        tg.ones(Index())
    with pytest.raises(AttributeError, match="no_such_method"):
        tg.autograd.functional.jacobian(lambda y: distance(y, y), x)


def test_truncated_normal_values_where_few_or_most_normal_values_lie() -> None:
    """(R18) Rejection alone would never end: the interval holds a millionth of the values."""
    for std, a, b in ((1.0, 0.0, 1e-6), (1e6, -2.0, 2.0), (1.0, 1.0, 2.0), (1.0, -2.0, 2.0)):
        x = tg.nn.init.trunc_normal_(tg.empty(20000, dtype=tg.float64), 0.0, std, a, b)
        values = x.numpy()
        assert ((values >= a) & (values <= b)).all()
        grid = np.linspace(a, b, 2001)
        density = np.exp(-((grid / std) ** 2) / 2)
        expected = (grid * density).sum() / density.sum()
        assert abs(values.mean() - expected) < 0.02 * (b - a)
