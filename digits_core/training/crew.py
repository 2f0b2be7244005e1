"""Trains the networks of one trial, or of several trials of one recipe, an epoch at a time.

Copies that pay as one network are stacked. Stacks are trained one after another, or side by side if the process has
threads for it: each then keeps to one thread, so that how many train at a time does not change a bit.
"""

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import torch

from digits_core.records import Bundle
from digits_core.training.copies import Copy
from digits_core.training.cross_validation import Trained
from digits_core.training.device import OutOfMemory
from digits_core.training.engine import Stack
from digits_core.training.stacking import copies_that_pay, why_not_stacked
from digits_core.training.state import by_copy, joined, load, restore, state_of


class Crew:
    """Trains these trials, which have one recipe but for their seeds: call `run_epoch` until all are over."""

    def __init__(
        self,
        trials: Sequence[Trained],
        device: torch.device,
        states: Mapping[int, Bundle] | None = None,
        side_by_side: int = 1,
        most: int | None = None,
    ) -> None:
        """states: where trials continue, by their position. side_by_side: how many stacks may train at a time.

        most: copies of a stack; None: as many as pay.

        Raises LookupError, ValueError, TypeError, AttributeError or RuntimeError if a state does not fit (the trials
        are then unusable), OutOfMemory if the memory is too small for a single network.
        """
        self.trials, self.device = tuple(trials), device
        copies = [one for trial in trials for one in trial.copies]
        side = copies[0].data.train.images.shape[-1]
        if most is None:
            most = copies_that_pay(copies[0].recipe, side, device.type) if len(copies) > 1 else 1
        self.most = most
        self.begun: dict[Copy, Bundle] = {}
        for position, state in (states or {}).items():
            self.begun.update(by_copy(trials[position], state))
        self.shortage = ""  # why stacks are smaller than would pay; empty if they are not
        self.formed: dict[Copy, int] = {}  # how many copies were in the stack that each was first trained in
        self.stacks = self._stacked(copies, self.most)
        self.precision, self.parameter_count = self.stacks[0].precision, self.stacks[0].parameter_count
        # Torch's own dropout draws from one generator for the whole process.
        may = device.type == "cpu" and all(stack.dropout_streams for stack in self.stacks)
        self.at_a_time = min(side_by_side, len(self.stacks)) if may else 1
        self.thread_count = 1 if self.at_a_time > 1 else torch.get_num_threads()
        self._gather()

    def _stacked(self, copies: Sequence[Copy], most: int) -> list[Stack]:
        """Set these copies back to the states in `begun`, or to their start, and put them in stacks of at most `most`.

        Copies in a stack have equally many images and are at the same epoch.
        """
        alike: dict[tuple[int, int], list[Copy]] = {}
        for one in copies:
            restore(one, self.begun.get(one))
            alike.setdefault((len(one.data.train.labels), len(one.curve)), []).append(one)
        return [
            stack
            for group in alike.values()
            for start in range(0, len(group), most)
            for stack in self._in_memory(group[start : start + most])
        ]

    def _in_memory(self, copies: Sequence[Copy]) -> list[Stack]:
        """These copies as one stack, or as smaller ones if the memory is too small."""
        try:
            stack = Stack(copies, self.device)
            if copies[0] in self.begun:
                load(stack, [self.begun[one] for one in copies])
        except OutOfMemory as error:
            return self._halved(copies, error)
        for one in copies:
            self.formed.setdefault(one, len(copies))
        return [stack]

    def _halved(self, copies: Sequence[Copy], error: OutOfMemory) -> list[Stack]:
        """Smaller stacks, which start again from the states that this one started from.

        Raises the error if there is only one copy.
        """
        if len(copies) == 1:
            raise error
        most = (len(copies) + 1) // 2
        for one in copies:
            self.formed.pop(one, None)
        self.shortage = f"the memory is too small for {len(copies)} copies as one network"
        return self._stacked(copies, most)

    def stack_size(self, trial: Trained) -> int:
        """How many networks a trial's first was trained with as one, itself included, when it began here."""
        return self.formed[trial.copies[0]]

    def execution(self, trial: Trained, stack_size: int, *, is_one_of_several: bool = False) -> str:
        """How the steps of a trial run that began in a stack of this size.

        is_one_of_several: whether the run has other seeds of its recipe, so that it says why they are not one network.
        """
        one = trial.copies[0]
        own = [stack for stack in self.stacks if one in stack.copies]
        how = (own or self.stacks)[0].execution if self.stacks else "eager"
        if stack_size > 1:
            how = f"{how}, {stack_size} networks as one"
        elif (is_one_of_several or len(self.formed) > 1) and (why := why_not_stacked(one.recipe)):
            how = f"{how}, one by one: {why}"
        return f"{how} ({self.shortage})" if self.shortage else how

    def run_epoch(self) -> None:
        """Train every copy that is not over for one epoch. Raises what `Stack.run_epoch` raises."""
        self.stacks = [left for stack in self.stacks for left in self._without_those_over(stack)]
        if self.at_a_time == 1:
            trained = [self._trained(stack) for stack in self.stacks]
        else:
            trained = self._trained_side_by_side()
        self.stacks = [stack for stacks in trained for stack in stacks]
        self._gather()

    def _trained_side_by_side(self) -> list[list[Stack]]:
        started, stop = time.perf_counter(), threading.Event()
        for stack in self.stacks:
            stack.clock, stack.stop = time.thread_time, stop
        with (
            _one_thread_each(),
            ThreadPoolExecutor(self.at_a_time, initializer=torch.set_num_threads, initargs=(1,)) as pool,
        ):
            try:
                trained = list(pool.map(self._trained, self.stacks))
            except BaseException:  # also Ctrl-C, which only this thread hears of
                stop.set()
                pool.shutdown(cancel_futures=True)
                raise
        _share(time.perf_counter() - started, [one for stacks in trained for each in stacks for one in each.copies])
        return trained

    def _without_those_over(self, stack: Stack) -> list[Stack]:
        over = {one for trial in self.trials if trial.is_over for one in trial.copies}
        left = [one for one in stack.copies if not (one.is_over or one in over)]
        if len(left) == len(stack.copies):
            return [stack]
        self.begun |= {one: state_of(stack, stack.copies.index(one)) for one in left}
        return self._stacked(left, len(left)) if left else []

    def _trained(self, stack: Stack) -> list[Stack]:
        """The stack after an epoch, or those that had to take its place."""
        goal = len(stack.copies[0].curve) + 1
        try:
            stack.run_epoch()
        except OutOfMemory as error:
            copies = stack.copies
            self.stacks = [other for other in self.stacks if other is not stack]
            vars(stack).clear()  # frees its tensors now: callers still hold the stack
            error.__traceback__ = error.__cause__ = None  # whose frames hold them too
            return [left for smaller in self._halved(copies, error) for left in self._caught_up(smaller, goal)]
        return [stack]

    def _caught_up(self, stack: Stack, goal: int) -> list[Stack]:
        """Train these copies until they have done epoch `goal`, as the others have; perhaps in smaller stacks."""
        copies, stacks = stack.copies, [stack]
        while any(len(one.curve) < goal and not one.is_over for one in copies):
            stacks = [left for each in stacks for left in self._trained(each)]
        return stacks

    def _gather(self) -> None:
        for trial in self.trials:
            trial.gather()

    def state_of(self, trial: Trained) -> Bundle:
        """What a trial continues from, after its last finished epoch."""
        return joined(trial, {one: state_of(stack, n) for stack in self.stacks for n, one in enumerate(stack.copies)})


def _share(seconds: float, copies: Sequence[Copy]) -> None:
    """Scale the copies' seconds in proportion, so that they add up to this epoch's wall time."""
    trained = [one for one in copies if one.curve and one.failure is None]
    total = sum(one.curve[-1].seconds for one in trained)
    for one in trained:
        one.curve[-1] = replace(one.curve[-1], seconds=one.curve[-1].seconds * seconds / total)


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """Inside, torch uses one thread for the work of each Python thread."""
    count = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(count)
