"""The mood of a sentence, by a small model: slow to load, quick to ask. The model learns while the module is imported.

A pod for each sentence would spend its time on learning. The pool `moods` imports this module once a worker, and each run begins
with what was learned.
"""

from __future__ import annotations

import math
import re

from tidegate import task

ROUNDS = 150_000
SENTENCES = {
    "good": (
        "the delivery came early and everything works",
        "thank you, a friendly and quick answer",
        "we love the new colours, great work",
        "it runs without a problem since the update",
        "happy with the price and the quality",
    ),
    "bad": (
        "the parcel came late and it was broken",
        "nobody answers, this is a terrible service",
        "we hate the new colours, awful work",
        "it crashes all the time since the update",
        "angry about the price, and the quality is poor",
    ),
}


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def _learn() -> dict[str, float]:
    """Weights of words, by logistic regression: the slow part."""
    weights: dict[str, float] = {}
    examples = [(_words(text), mood == "good") for mood, texts in SENTENCES.items() for text in texts]
    for _ in range(ROUNDS):
        for words, good in examples:
            guess = 1 / (1 + math.exp(-sum(weights.get(word, 0.0) for word in words)))
            for word in words:
                weights[word] = weights.get(word, 0.0) + 0.02 * ((1.0 if good else 0.0) - guess)
    return weights


WEIGHTS = _learn()


@task(pool="moods", timeout=10)
def mood(text: str) -> dict[str, object]:
    """Tell the mood of a text."""
    score = sum(WEIGHTS.get(word, 0.0) for word in _words(text))
    return {"mood": "good" if score > 0 else "bad", "certain": round(abs(math.tanh(score)), 3)}
