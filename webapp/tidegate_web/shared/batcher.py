"""Questions that many requests ask at the same time, asked in one.

While a question is under way, those that come wait, and go together in the next. So each answer is to a question that was
asked after its caller had come: nothing is remembered, and a request that comes alone waits for no other.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


@dataclass(kw_only=True, eq=False)
class _Asked(Generic[Q, A]):
    """One that waits to be asked, or to be answered."""

    question: Q
    turn: threading.Event = field(default_factory=threading.Event)
    """It is answered, or is the one that asks for those who wait."""
    answers: list[A] = field(default_factory=list)
    error: BaseException | None = None

    @property
    def over(self) -> bool:
        return bool(self.answers) or self.error is not None


class Batcher(Generic[Q, A]):
    """Asks, from any thread, one at a time."""

    def __init__(
        self, ask: Callable[[Sequence[Q]], Sequence[A]], *, all_alike: Callable[[BaseException], bool], most: int = 100
    ) -> None:
        """``ask`` answers questions in their order. Where it fails, each is asked alone, unless the error is alike for all."""
        self._ask = ask
        self._all_alike = all_alike
        self._most = most
        self._lock = threading.Lock()
        self._waiting: list[_Asked[Q, A]] = []
        self._under_way = False

    def __call__(self, question: Q) -> A:
        mine = _Asked[Q, A](question=question)
        with self._lock:
            first = not self._under_way
            self._under_way = True
            if not first:
                self._waiting.append(mine)
        if not first:
            mine.turn.wait()
        if not mine.over:
            self._lead(mine)
        if mine.error is not None:
            raise mine.error
        return mine.answers[0]

    def _lead(self, mine: _Asked[Q, A]) -> None:
        """Ask for oneself and those who wait, and let the next of them ask for the rest."""
        with self._lock:
            others, self._waiting = self._waiting[: self._most - 1], self._waiting[self._most - 1 :]
        try:
            self._answer([mine, *others])
        finally:
            for one in others:
                one.turn.set()
            with self._lock:
                if self._waiting:
                    self._waiting.pop(0).turn.set()
                else:
                    self._under_way = False

    def _answer(self, asked: Sequence[_Asked[Q, A]]) -> None:
        try:
            answers = self._ask([one.question for one in asked])
        except BaseException as error:
            if len(asked) == 1 or not isinstance(error, Exception) or self._all_alike(error):
                for one in asked:
                    one.error = error
            else:
                for one in asked:
                    self._answer([one])
        else:
            for one, answer in zip(asked, answers, strict=True):
                one.answers.append(answer)
