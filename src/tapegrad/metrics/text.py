"""How well text is translated, and predicted."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from tapegrad.core.dtypes import is_low_precision
from tapegrad.core.modes import no_grad
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.refusals import retelling
from tapegrad.ops.loss.classification import cross_entropy

from .metric import Metric, measured, require_lists, require_tensors

_ORDERS = 4
Tokens = Sequence[Hashable]


class BLEU(Metric):
    """BLEU of a corpus; see ``bleu``."""

    def _empty(self) -> dict[str, Any]:
        # n-grams that are right, and all; the lengths of what was written, and of the references
        return {
            "right": np.zeros(_ORDERS, np.int64),
            "total": np.zeros(_ORDERS, np.int64),
            "length": 0,
            "reference_length": 0,
        }

    def update(self, input: Sequence[Tokens], target: Sequence[Sequence[Tokens]]) -> None:
        """Add sentences and the references of each."""
        require_lists("bleu", "sentences, each a list of tokens", input=input)
        require_lists("bleu", "references of each sentence", target=target)
        if len(input) != len(target):
            raise ValueError(
                f"[bleu] there are {len(input)} sentences and references for {len(target)}"
            )
        for sentence, references in zip(input, target, strict=True):
            _require_tokens("a sentence", sentence)
            if not isinstance(references, (list, tuple)) or not references:
                raise TypeError("[bleu] every sentence needs a list of at least one reference")
            for reference in references:
                _require_tokens("a reference", reference)
        for sentence, references in zip(input, target, strict=True):
            self._add(sentence, references)

    def _add(self, sentence: Tokens, references: Sequence[Tokens]) -> None:
        length, state = len(sentence), self.state
        state["length"] += length
        state["reference_length"] += min(
            (len(reference) for reference in references), key=lambda n: (abs(n - length), n)
        )
        for order in range(1, _ORDERS + 1):
            most: Counter = Counter()
            for reference in references:
                most |= _grams(reference, order)
            state["right"][order - 1] += (_grams(sentence, order) & most).total()
            state["total"][order - 1] += max(length - order + 1, 0)

    def compute(self) -> float:
        """The score of all sentences together, 0 to 100."""
        right, total = self.state["right"].tolist(), self.state["total"].tolist()
        length, wanted = self.state["length"], self.state["reference_length"]
        if not any(right) or not all(total):
            return 0.0
        logs, smoothed = 0.0, 1.0
        for matches, grams in zip(right, total, strict=True):
            if not matches:
                smoothed /= 2
            logs += math.log((matches or smoothed) / grams)
        brevity = math.exp(min(0.0, 1 - wanted / length))
        return 100 * brevity * math.exp(logs / _ORDERS)


def _grams(tokens: Tokens, order: int) -> Counter:
    return Counter(tuple(tokens[i : i + order]) for i in range(len(tokens) - order + 1))


def _require_tokens(what: str, value: Any) -> None:
    if not isinstance(value, (list, tuple)):
        raise TypeError(
            f"[bleu] {what} must be a list of tokens, got {type(value).__name__}: split text with "
            "text.split(), a tensor with tolist()"
        )


@retelling
def bleu(input: Sequence[Tokens], target: Sequence[Sequence[Tokens]]) -> float:
    """How many 1- to 4-grams of translations are those of references, 0 to 100 (Papineni et al.
    2002), of the corpus as a whole; sacrebleu's score of tokenized text.

    input: sentences, each a list of tokens (text, numbers). target: for each sentence a list of
    references, each a list of tokens. Orders without a match count as half a match, a quarter, ...
    (sacrebleu's smoothing "exp"). 0 where there are no sentences, nothing matches, or none has four
    tokens. Raises TypeError for text that is not split, ValueError for lists of different lengths.
    """
    return measured(BLEU(), input, target)


class Perplexity(Metric):
    """How many tokens, on average, a model hesitates between; see ``perplexity``."""

    def __init__(self, *, ignore_index: int = -100):
        self.ignore_index = ignore_index
        super().__init__()

    def _empty(self) -> dict[str, Any]:
        return {"nats": 0.0, "tokens": 0}

    def update(self, input: Tensor, target: Tensor) -> None:
        """Add a batch."""
        require_tensors("perplexity", input=input, target=target)
        if target.is_floating_point():
            raise TypeError(f"[perplexity] target must be integer tokens, got {target.dtype.name}")
        with no_grad():
            logits = input.float() if is_low_precision(input.dtype) else input
            nats = cross_entropy(logits, target, ignore_index=self.ignore_index, reduction="none")
            self.state["nats"] += nats.double().sum().item()
        self.state["tokens"] += (target != self.ignore_index).sum().item()

    def compute(self) -> float:
        """exp of the mean negative log-likelihood; nan before any token."""
        nats, tokens = self.state["nats"], self.state["tokens"]
        if not tokens:
            return math.nan
        mean = nats / tokens
        return math.exp(mean) if mean < 709 else math.nan if math.isnan(mean) else math.inf


@retelling
def perplexity(input: Tensor, target: Tensor, *, ignore_index: int = -100) -> float:
    """exp of the mean of -log p(token), p being the softmax of the logits.

    input: logits (n, vocabulary, ...) or (n, vocabulary), as cross_entropy takes them: those of a
    language model, (n, length, vocabulary), transposed. target: integer tokens (n, ...), of which
    ``ignore_index`` does not count. nan where none counts. Raises as cross_entropy does.
    """
    return measured(Perplexity(ignore_index=ignore_index), input, target)
