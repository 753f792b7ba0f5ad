"""Metrics, against scikit-learn and sacrebleu, values worked out by hand, and slow definitions."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import DEVICES

import tapegrad as tg
from tapegrad import metrics

T = tg.tensor


# ---------------------------------------------------------------------- by hand

LABELS = T([0, 0, 1, 1, 2, 2])
GUESSES = T([0, 1, 1, 1, 2, 0])  # right: 4 of 6; matrix rows 110 / 020 / 101

BY_HAND: list[tuple[Callable, Any]] = [
    (lambda: metrics.accuracy(GUESSES, LABELS), 4 / 6),
    (lambda: metrics.confusion_matrix(GUESSES, LABELS), [[1, 1, 0], [0, 2, 0], [1, 0, 1]]),
    (lambda: metrics.precision(GUESSES, LABELS, None), [1 / 2, 2 / 3, 1]),
    (lambda: metrics.recall(GUESSES, LABELS, None), [1 / 2, 1, 1 / 2]),
    (lambda: metrics.f1(GUESSES, LABELS, None), [2 / 4, 4 / 5, 2 / 3]),
    (lambda: metrics.f1(GUESSES, LABELS), (2 / 4 + 4 / 5 + 2 / 3) / 3),
    (lambda: metrics.f1(GUESSES, LABELS, "micro"), 4 / 6),
    (lambda: metrics.precision(T([1, 1, 0]), T([1, 0, 0]), "binary"), 1 / 2),
    (lambda: metrics.accuracy(T([-1.0, 2.0]), T([1, 1]), threshold=0.0), 1 / 2),
    (lambda: metrics.accuracy(T([[0.1, 0.9], [0.9, 0.1]]), T([1, -100]), ignore_index=-100), 1.0),
    (lambda: metrics.top_k_accuracy(T([[0.5, 0.3, 0.2]] * 3), T([0, 1, 2]), 2), 2 / 3),
    (lambda: metrics.top_k_accuracy(T([[1.0, 1.0, 1.0]] * 3), T([0, 1, 2]), 2), 2 / 3),
    (lambda: metrics.roc_auc(T([0.1, 0.4, 0.35, 0.8]), T([0, 0, 1, 1])), 3 / 4),
    (lambda: metrics.roc_auc(T([0.5, 0.5, 0.5]), T([0, 1, 1])), 1 / 2),
    (lambda: metrics.mean_squared_error(T([1.0, 2.0, 5.0]), T([1, 4, 2])), 13 / 3),
    (lambda: metrics.mean_absolute_error(T([1.0, 2.0, 5.0]), T([1, 4, 2])), 5 / 3),
    (lambda: metrics.mean_absolute_error(T([[1, 2], [3, 4]]), T([[1, 0], [0, 4]]), None), [1.5, 1]),
    (lambda: metrics.r2(T([1.0, 2.0, 3.0]), T([1.0, 2.0, 6.0])), 1 - 9 / 14),
    (lambda: metrics.r2(T([1.0, 1.0]), T([1.0, 1.0])), 1.0),
    (lambda: metrics.r2(T([1.0, 2.0]), T([1.0, 1.0])), 0.0),
    (lambda: metrics.perplexity(tg.zeros(3, 7), T([0, 3, 6])), 7.0),
    (lambda: metrics.perplexity(T([[0.0, math.log(3.0)]]), T([1])), 4 / 3),
    (lambda: metrics.bleu([list("abcd")], [[list("abcd")]]), 100.0),
    # 5 of 5 words, 3 of 4 pairs, 1 of 3 threes, no four: 1/2 of 2
    (
        lambda: metrics.bleu([list("tcsom")], [[list("tcsmo")]]),
        100 * (5 / 5 * 2 / 4 * 1 / 3 * 0.5 / 2) ** 0.25,
    ),
    (lambda: metrics.bleu([list("abcd")], [[list("abcdef")]]), 100 * math.exp(1 - 6 / 4)),
    (
        lambda: metrics.box_iou(T([[0, 0, 2, 2]]), T([[1, 1, 3, 3], [5, 5, 6, 6], [0, 0, 2, 2]])),
        [[1 / 7, 0, 1]],
    ),
    (lambda: metrics.box_iou(tg.zeros(1, 4), tg.zeros(2, 4)), [[0, 0]]),
]  # fmt: skip


@pytest.mark.parametrize("row", range(len(BY_HAND)))
def test_values_worked_out_by_hand(row: int) -> None:
    call, expected = BY_HAND[row]
    np.testing.assert_allclose(np.asarray(call()), expected, rtol=1e-6)


NOTHING = (tg.zeros(0, dtype=tg.int64), tg.zeros(0, dtype=tg.int64))
SCORES = (tg.zeros(0, 3), tg.zeros(0, dtype=tg.int64))
UNDEFINED: list[Callable] = [
    lambda: metrics.accuracy(*NOTHING),
    lambda: metrics.top_k_accuracy(*SCORES),
    lambda: metrics.precision(*NOTHING),
    lambda: metrics.recall(*NOTHING, "micro"),
    lambda: metrics.f1(*NOTHING, "weighted"),
    lambda: metrics.f1(*NOTHING, "binary"),
    lambda: metrics.roc_auc(tg.zeros(0), NOTHING[1]),
    lambda: metrics.roc_auc(T([0.1, 0.2]), T([1, 1])),
    lambda: metrics.roc_auc(*SCORES),
    lambda: metrics.roc_auc(tg.rand(2, 2), T([0, 0]), multi_class="ovo"),
    lambda: metrics.mean_squared_error(tg.zeros(0), tg.zeros(0)),
    lambda: metrics.mean_absolute_error(tg.zeros(3, 0), tg.zeros(3, 0)),
    lambda: metrics.r2(tg.zeros(0, 2), tg.zeros(0, 2)),
    lambda: metrics.r2(tg.zeros(1), tg.ones(1)),
    lambda: metrics.perplexity(*SCORES),
    lambda: metrics.perplexity(tg.zeros(2, 3), T([-100, -100])),
    lambda: metrics.mean_average_precision([], []),
]


@pytest.mark.parametrize("row", range(len(UNDEFINED)))
def test_of_nothing_they_are_nan(row: int) -> None:
    assert math.isnan(UNDEFINED[row]())


def test_of_no_classes_there_is_nothing_by_class() -> None:
    assert metrics.confusion_matrix(*NOTHING).shape == (0, 0)
    assert metrics.confusion_matrix(*SCORES).tolist() == [[0] * 3] * 3
    assert metrics.f1(*NOTHING, None).shape == (0,)
    assert metrics.bleu([], []) == 0


# ---------------------------------------------------------------------- scikit-learn, sacrebleu


@pytest.fixture
def sk() -> Any:
    return pytest.importorskip("sklearn.metrics", reason="the oracle is scikit-learn")


def drawn(seed: int, n: int = 40, classes: int = 5) -> tuple[Any, Any]:
    """Classes, of which some are rare or missing."""
    random = np.random.default_rng(seed)
    odds = random.dirichlet(np.full(classes, 0.5), 2)
    return tuple(random.choice(classes, n, p=p) for p in odds)


@pytest.mark.parametrize("zero_division", [0.0, 1.0, math.nan])
@pytest.mark.parametrize("labels", [None, range(5), range(8)], ids=["those there", "5", "8"])
@pytest.mark.parametrize("name", ["precision", "recall", "f1"])
def test_scores_by_class_are_scikit_learns(
    sk: Any, name: str, labels: Any, zero_division: float
) -> None:
    theirs, ours = getattr(sk, f"{name}_score"), getattr(metrics, name)
    options = {"labels": labels, "zero_division": zero_division}
    size = None if labels is None else len(labels)
    for seed in range(20):
        right, guesses = drawn(seed, n=1 + seed)
        for average in ("micro", "macro", "weighted", *([None] if labels else [])):
            np.testing.assert_allclose(
                ours(T(guesses), T(right), average, num_classes=size, zero_division=zero_division),
                theirs(right, guesses, average=average, **options),
                rtol=1e-12,
            )
        right, guesses = right % 2, guesses % 2
        np.testing.assert_allclose(
            ours(T(guesses), T(right), "binary", zero_division=zero_division),
            theirs(right, guesses, zero_division=zero_division),
        )


@pytest.mark.parametrize("normalize", [None, "true", "pred", "all"])
def test_confusion_matrix_is_scikit_learns(sk: Any, normalize: str | None) -> None:
    for seed in range(10):
        right, guesses = drawn(seed)
        ours = metrics.confusion_matrix(T(guesses), T(right), num_classes=5, normalize=normalize)
        theirs = sk.confusion_matrix(right, guesses, labels=range(5), normalize=normalize)
        np.testing.assert_allclose(ours, theirs)


def test_top_k_is_scikit_learns_with_ties(sk: Any) -> None:
    random = np.random.default_rng(0)
    for k in (1, 2, 3, 4):
        right, scores = random.integers(0, 5, 60), random.integers(0, 4, (60, 5)) / 4
        theirs = sk.top_k_accuracy_score(right, scores, k=k, labels=range(5))
        assert metrics.top_k_accuracy(T(scores), T(right), k) == pytest.approx(theirs)


def test_roc_auc_is_scikit_learns_with_ties(sk: Any) -> None:
    random = np.random.default_rng(0)
    for _ in range(10):
        right, scores = random.integers(0, 2, 50), random.integers(0, 8, 50) / 8
        assert metrics.roc_auc(T(scores), T(right)) == pytest.approx(
            sk.roc_auc_score(right, scores)
        )
        right, scores = random.integers(0, 4, 50), random.integers(1, 5, (50, 4)) / 4
        scores /= scores.sum(1, keepdims=True)
        for multi_class, averages in (
            ("ovr", ("macro", "weighted", "micro", None)),
            ("ovo", ("macro", "weighted")),
        ):
            for average in averages:
                np.testing.assert_allclose(
                    metrics.roc_auc(T(scores), T(right), average, multi_class=multi_class),
                    sk.roc_auc_score(right, scores, average=average, multi_class=multi_class),
                )


def test_roc_auc_of_missing_classes_is_scikit_learns(sk: Any) -> None:
    right, scores = np.array([0, 1, 1]), np.full((3, 3), 1 / 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for multi_class in ("ovr", "ovo"):
            np.testing.assert_allclose(
                metrics.roc_auc(T(scores), T(right), multi_class=multi_class),
                sk.roc_auc_score(right, scores, multi_class=multi_class, labels=range(3)),
            )


AVERAGES = {"macro": "uniform_average", "weighted": "variance_weighted", None: "raw_values"}
OF_NUMBERS = [
    (n, a) for n in ("mean_squared_error", "mean_absolute_error") for a in ("macro", None)
]


@pytest.mark.parametrize(("name", "average"), [*OF_NUMBERS, *(("r2", a) for a in AVERAGES)])
def test_errors_of_numbers_are_scikit_learns(sk: Any, name: str, average: str | None) -> None:
    theirs = sk.r2_score if name == "r2" else getattr(sk, name)
    random = np.random.default_rng(0)
    for shape in ((50,), (50, 1), (50, 3)):
        right = random.standard_normal(shape) + 1000
        if shape[-1] == 3:
            right[:, 1] = 2  # constant
        found = right + random.standard_normal(shape) / 3
        for guess in (found, right):
            ours = getattr(metrics, name)(T(guess), T(right), average)
            expected = theirs(right, guess, multioutput=AVERAGES[average])
            np.testing.assert_allclose(np.reshape(ours, -1), np.reshape(expected, -1), rtol=1e-12)


def test_bleu_is_sacrebleus() -> None:
    sacrebleu = pytest.importorskip("sacrebleu", reason="the oracle is sacrebleu")
    random = np.random.default_rng(0)
    for _ in range(60):
        n, words = random.integers(1, 5), random.integers(2, 12)
        texts = [
            [[f"w{w}" for w in random.integers(0, words, random.integers(1, 12))] for _ in range(n)]
            for _ in range(3)
        ]
        joined = [[" ".join(tokens) for tokens in part] for part in texts]
        theirs = sacrebleu.corpus_bleu(joined[0], joined[1:], tokenize="none", force=True).score
        ours = metrics.bleu(texts[0], [list(pair) for pair in zip(*texts[1:], strict=True)])
        assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-9)


# ---------------------------------------------------------------------- detection


def image(boxes: Any, labels: Any, scores: Any = None) -> dict:
    found = {"boxes": T(boxes).float().reshape(-1, 4), "labels": T(labels).long()}
    return found if scores is None else {**found, "scores": T(scores)}


A, B, HALF_A = [0, 0, 10, 10], [20, 20, 30, 30], [0, 0, 10, 6]  # HALF_A overlaps A by 0.6
DETECTION = {
    "all found": ([image([A, B], [0, 0], [0.9, 0.8])], [image([A, B], [0, 0])], 1.0),
    "one of two": ([image([A], [0], [0.9])], [image([A, B], [0, 0])], 51 / 101),
    "a false one first": ([image([B, A], [0, 0], [0.9, 0.8])], [image([A], [0])], 1 / 2),
    "a false one last": ([image([A, B], [0, 0], [0.9, 0.8])], [image([A], [0])], 1.0),
    "found twice": ([image([A, A], [0, 0], [0.9, 0.8])], [image([A, B], [0, 0])], 51 / 101),
    "of another class": ([image([A], [1], [0.9])], [image([A], [0])], 0.0),
    "two classes": ([image([A], [0], [0.9])], [image([A, B], [0, 1])], 1 / 2),
    "nothing found": ([image([], [], [])], [image([A], [0])], 0.0),
    "at 0.5, 0.55 and 0.6": ([image([HALF_A], [0], [0.9])], [image([A], [0])], 3 / 10),
    "only false ones": ([image([A], [0], [0.9])], [image([], [])], math.nan),
    "two images": (
        [image([A], [0], [0.7]), image([A], [0], [0.9])],
        [image([A], [0]), image([B], [0])],
        51 / 101 / 2,  # the false one has the higher score
    ),
}


@pytest.mark.parametrize("name", DETECTION)
def test_mean_average_precision_by_hand(name: str) -> None:
    found, right, expected = DETECTION[name]
    np.testing.assert_allclose(metrics.mean_average_precision(found, right), expected)


def slow_map(found: list, right: list, thresholds: Any, most: int) -> float:
    """The definition, one detection after the other."""
    scores = []
    for label in sorted({x for image in right for x in image["labels"].tolist()}):
        for threshold in thresholds:
            events, total = [], 0
            for f, r in zip(found, right, strict=True):
                boxes = [b for b, x in zip(r["boxes"], r["labels"], strict=True) if x == label]
                total += len(boxes)
                mine = [
                    (-s, i, b)
                    for i, (s, b, x) in enumerate(
                        zip(f["scores"].tolist(), f["boxes"], f["labels"], strict=True)
                    )
                    if x == label
                ]
                taken: set[int] = set()
                for key, _, box in sorted(mine, key=lambda m: m[:2])[:most]:
                    best, which = threshold, -1
                    for j, other in enumerate(boxes):
                        overlap = metrics.box_iou(box[None].double(), other[None].double()).item()
                        if j not in taken and overlap >= best:
                            best, which = overlap, j
                    taken |= {which} - {-1}
                    events.append((key, which >= 0))
            events.sort(key=lambda event: event[0])
            curve, hits = [], 0
            for count, (_, hit) in enumerate(events, 1):
                hits += hit
                curve.append((hits / total, hits / count))
            scores += [
                np.mean(
                    [
                        max((p for r, p in curve if r >= level), default=0)
                        for level in np.linspace(0, 1, 101)
                    ]
                )
            ]
    return float(np.mean(scores))


def test_mean_average_precision_is_its_definition() -> None:
    random = np.random.default_rng(0)

    def boxes(n: int) -> Any:
        corner = random.integers(0, 8, (n, 2))
        return np.concatenate([corner, corner + random.integers(1, 8, (n, 2))], 1)

    for _ in range(8):
        found, right = [], []
        for _ in range(4):
            n, m = random.integers(0, 9), random.integers(0, 6)
            scores = random.integers(0, 6, n) / 6
            found.append(image(boxes(n), random.integers(0, 2, n), scores))
            right.append(image(boxes(m), random.integers(0, 2, m)))
        right[0] = image([A], [0])
        ours = metrics.mean_average_precision(found, right, (0.3, 0.5), max_detections=4)
        assert ours == pytest.approx(slow_map(found, right, (0.3, 0.5), 4))


# ---------------------------------------------------------------------- batch by batch

STREAMED: dict[str, Callable[[], Any]] = {
    "Accuracy": metrics.Accuracy,
    "TopKAccuracy": lambda: metrics.TopKAccuracy(2),
    "Precision": metrics.Precision,
    "Recall": lambda: metrics.Recall("weighted"),
    "F1": lambda: metrics.F1(None),
    "ConfusionMatrix": metrics.ConfusionMatrix,
    "ROCAUC": metrics.ROCAUC,
    "MeanSquaredError": metrics.MeanSquaredError,
    "MeanAbsoluteError": lambda: metrics.MeanAbsoluteError(None),
    "R2": lambda: metrics.R2("weighted"),
    "Perplexity": metrics.Perplexity,
    "BLEU": metrics.BLEU,
    "MeanAveragePrecision": metrics.MeanAveragePrecision,
}


def batches(name: str) -> list[tuple[Any, Any]]:
    random = np.random.default_rng(0)
    if name == "BLEU":
        text = random.integers(0, 5, (3, 4, 2, 9)).tolist()
        return [([a for a, _ in part], [[b] for _, b in part]) for part in text]
    if name == "MeanAveragePrecision":
        found = image([A, HALF_A], [0, 1], [0.5, 0.25])
        return [([found], [image([A], [0])]), ([found], [image([B], [1])]), ([found], [found])]
    if name in ("MeanSquaredError", "MeanAbsoluteError", "R2"):
        return [tuple(T(random.standard_normal((n, 2)) + n) for _ in range(2)) for n in (9, 1, 5)]
    return [
        (T(random.standard_normal((n, 5)), dtype=tg.float32), T(random.integers(0, 5, n)))
        for n in (16, 16, 7)
    ]


def joined(parts: list[Any]) -> Any:
    return (
        tg.cat(parts)
        if isinstance(parts[0], tg.Tensor)
        else [item for part in parts for item in part]
    )


@pytest.mark.parametrize("name", STREAMED)
def test_batch_by_batch_they_are_that_of_all_and_go_on_from_their_state(
    name: str, tmp_path: Any
) -> None:
    whole, parts = STREAMED[name](), STREAMED[name]()
    assert {type(whole).__name__} == {name}
    data = batches(name)
    whole.update(*(joined([batch[i] for batch in data]) for i in (0, 1)))
    parts.update(*data[0])
    parts.update(*data[1])
    tg.save(parts.state_dict(), tmp_path / "state.npz")
    resumed = STREAMED[name]()
    resumed.load_state_dict(tg.load(tmp_path / "state.npz"))
    for metric in (parts, resumed):
        metric.update(*data[2])
        np.testing.assert_allclose(metric.compute(), whole.compute(), rtol=1e-12, equal_nan=False)
    ranks = [STREAMED[name]() for _ in range(4)]
    for rank, batch in enumerate(data):
        ranks[rank].update(*batch)
    for rank in (3, 1, 2):  # that one has nothing
        ranks[0].merge(ranks[rank].state_dict())
    np.testing.assert_allclose(ranks[0].compute(), whole.compute(), rtol=1e-12)
    ranks[3].merge(ranks[1].state_dict())
    np.testing.assert_array_equal(ranks[3].compute(), ranks[1].compute())
    parts.reset()
    whole.reset()
    parts.update(*data[1])
    whole.update(*data[1])
    np.testing.assert_array_equal(parts.compute(), whole.compute())
    with pytest.raises(ValueError, match=f"{name}.load_state_dict: a state has the entries"):
        parts.load_state_dict({"other": 1})
    np.testing.assert_array_equal(parts.compute(), whole.compute())


def test_all_of_them_are_tested_here() -> None:
    classes = {n for n in metrics.__all__ if isinstance(getattr(metrics, n), type)}
    assert classes - {"Metric"} == STREAMED.keys()


@pytest.mark.parametrize("dtype", [tg.float16, tg.float32, tg.float64])
@pytest.mark.parametrize("device", DEVICES)
def test_on_every_device_and_in_every_dtype(device: str, dtype: Any) -> None:
    scores = T([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]], dtype=dtype, device=device)
    target = T([0, 1], device=device)
    assert metrics.accuracy(scores, target) == 0.5
    assert metrics.top_k_accuracy(scores, target, 2) == 1
    assert metrics.roc_auc(scores, target, None).tolist()[:2] == [1, 0.5]
    assert metrics.mean_squared_error(scores[0], scores[1]) == pytest.approx(8 / 3)
    boxes = T([[0.0, 0, 2, 2]], dtype=dtype, device=device)
    assert metrics.box_iou(boxes, boxes).tolist() == [[1]]
    assert metrics.mean_average_precision(
        [{"boxes": boxes, "labels": target[:1], "scores": scores[0, :1]}],
        [{"boxes": boxes, "labels": target[:1]}],
    ) == 1  # fmt: skip


def test_perplexity_of_float16_logits_is_added_up_in_more_digits() -> None:
    logits = tg.zeros(70000, 3, dtype=tg.float16)
    assert metrics.perplexity(logits, tg.zeros(70000, dtype=tg.int64)) == pytest.approx(3, rel=1e-6)


def test_box_iou_has_gradients() -> None:
    boxes = T([[0.0, 0, 2, 2]], dtype=tg.float64, requires_grad=True)
    other = T([[1.0, 1, 3, 4]], dtype=tg.float64)
    assert tg.autograd.gradcheck(lambda x: metrics.box_iou(x, other), boxes)


# ---------------------------------------------------------------------- wrong calls

MAP = metrics.mean_average_precision


def two_batches(metric: Any, *batches: Any) -> None:
    for batch in batches:
        metric.update(batch, batch)


WRONG: dict[str, tuple[Callable, type, str]] = {
    "shapes": (lambda: metrics.accuracy(T([0, 1, 2]), T([0, 1])), ValueError, r"\(3,\) and \(2,\)"),
    "floats": (lambda: metrics.accuracy(T([0.5]), T([1])), ValueError, "threshold=0.0 for logits"),
    "float target": (lambda: metrics.f1(T([0]), T([1.0])), TypeError, "integer classes"),
    "no tensor": (lambda: metrics.f1([0], T([1])), TypeError, "input must be a Tensor, got list"),
    "negative": (lambda: metrics.f1(T([0]), T([-1])), ValueError, "ignore_index=-1"),
    "beyond": (lambda: metrics.accuracy(tg.zeros(1, 2), T([2])), ValueError, "scores for 2"),
    "num_classes": (
        lambda: metrics.confusion_matrix(T([0]), T([3]), num_classes=3),
        ValueError,
        "num_classes is 3, got the class 3",
    ),
    "one score": (
        lambda: metrics.accuracy(T([[0.2], [-1.0]]), T([1, 0])), ValueError, r"pass input.squeeze"
    ),
    "average": (lambda: metrics.recall(T([0]), T([0]), "mean"), ValueError, "average must be one"),
    "binary": (lambda: metrics.f1(T([0]), T([2]), "binary"), ValueError, "classes 0 and 1"),
    "normalize": (lambda: metrics.ConfusionMatrix(normalize="rows"), ValueError, "normalize"),
    "k": (lambda: metrics.TopKAccuracy(0), ValueError, "k must be a positive integer"),
    "top-k of classes": (lambda: metrics.top_k_accuracy(T([0]), T([0])), TypeError, "floats"),
    "auc shapes": (lambda: metrics.roc_auc(tg.rand(3), T([0, 1])), ValueError, r"\(3,\) and"),
    "auc class": (lambda: metrics.roc_auc(tg.rand(1), T([2])), ValueError, r"0\.\.1"),
    "auc nan": (lambda: metrics.roc_auc(T([math.nan]), T([1])), ValueError, "nan"),
    "auc average": (
        lambda: metrics.roc_auc(tg.rand(1), T([1]), "micro", multi_class="ovo"),
        ValueError,
        "average must be one of",
    ),
    "numbers": (
        lambda: metrics.r2(tg.rand(3, 1), tg.rand(3)), ValueError, r"\(3, 1\) and \(3,\).*squeeze"
    ),
    "one number": (lambda: metrics.mean_squared_error(T(1.0), T(1.0)), ValueError, r"shapes \(\)"),
    "mse average": (
        lambda: metrics.mean_squared_error(tg.rand(3), tg.rand(3), "weighted"),
        ValueError,
        "average must be one of",
    ),
    "outputs": (
        lambda: two_batches(metrics.R2(), tg.rand(3, 2), tg.rand(3)),
        ValueError,
        r"different shapes: \(2,\) and \(\)",
    ),
    "bleu of numbers": (lambda: metrics.bleu(1, 2), TypeError, "input must be a list of s.* int"),
    "bleu of one text": (lambda: metrics.bleu("a", "a"), TypeError, "input must be .* got str"),
    "bleu target": (lambda: metrics.bleu([["a"]], 2), TypeError, "target must be a list of ref"),
    "map of numbers": (lambda: MAP(1, 2), TypeError, "input must be a list of dicts, .* got int"),
    "map of one image": (lambda: MAP({"boxes": 1}, []), TypeError, "input must be .* got dict"),
    "map target": (lambda: MAP([], 2), TypeError, "target must be a list .* got int"),
    "map thresholds": (lambda: MAP([], [], 0.5), TypeError, "iou_thresholds must be a list of num"),
    "map most": (lambda: MAP([], [], max_detections="1"), ValueError, "max_detections must be"),
    "huge class": (
        lambda: metrics.confusion_matrix(T([0]), T([1 << 62])),
        ValueError,
        f"the class {1 << 62} .* ignore_index={1 << 62}",
    ),
    "large matrix": (
        lambda: metrics.confusion_matrix(T([0]), T([1 << 20])),
        ValueError,
        "the class 1048576 makes .* num_classes=1048577 if there are so many",
    ),
    "huge class by class": (lambda: metrics.f1(T([1 << 62]), T([0])), ValueError, "the class 46"),
    "bleu of text": (lambda: metrics.bleu(["a b"], [["a b"]]), TypeError, r"text.split\(\)"),
    "one reference": (lambda: metrics.bleu([["a"]], [["a"]]), TypeError, "a reference"),
    "bleu lengths": (lambda: metrics.bleu([["a"]], []), ValueError, "1 sentences and references"),
    "boxes": (lambda: metrics.box_iou(tg.rand(4), tg.rand(1, 4)), ValueError, r"\(n, 4\)"),
    "images": (lambda: metrics.mean_average_precision([{}], []), ValueError, "1 images in input"),
    "entries": (
        lambda: metrics.mean_average_precision([image([A], [0])], [image([A], [0])]),
        ValueError,
        "image 0 must be a dict with",
    ),
    "scores": (
        lambda: metrics.mean_average_precision([image([A], [0], [1.0, 2.0])], [image([A], [0])]),
        ValueError,
        r"boxes \(n, 4\) belong to",
    ),
    "threshold": (
        lambda: metrics.MeanAveragePrecision((50,)), ValueError, r"numbers in 0\.\.1"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_calls_say_what_is_wrong(name: str) -> None:
    call, error, text = WRONG[name]
    with pytest.raises(error, match=text):
        call()


@pytest.mark.parametrize("metric", ["Precision", "Recall", "F1", "ConfusionMatrix"])
@pytest.mark.parametrize("count", [0, -1, 2.5, "3", True])
def test_a_number_of_classes_that_is_none(metric: str, count: Any) -> None:
    with pytest.raises(ValueError, match="num_classes must be a positive integer, got"):
        getattr(tg.metrics, metric)(num_classes=count)
