import signal
import threading
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from digits_core.data.digits import Digits, Split
from digits_core.data.folds import fold_digits
from digits_core.recipe import Recipe, Scalar
from digits_core.training.copies import Copy, DeviceSplit
from digits_core.training.crew import Crew
from digits_core.training.cross_validation import DeviceFolds, Folded, folded
from digits_core.training.device import OutOfMemory
from digits_core.training.engine import Stack
from digits_core.training.stacking import part

CPU = torch.device("cpu")
SMALL: dict[str, Scalar] = {
    "model.dropout": 0.3,
    "model.name": "resnet",
    "model.width": 4,
    "optimizer.learning_rate": 0.01,
    "optimizer.name": "sgd",
    "training.batch_size": 20,
    "training.epochs": 4,
}


def copies_of(split: Split, count: int, **changes: Scalar) -> list[Copy]:
    recipe = Recipe().with_overrides({**SMALL, **{name.replace("__", "."): value for name, value in changes.items()}})
    data = DeviceSplit.from_split(split, CPU)
    return [Copy(recipe.with_overrides({"training.seed": seed}), data) for seed in range(count)]


def trained(crew: Crew) -> Crew:
    while not all(trial.is_over for trial in crew.trials):
        crew.run_epoch()
    return crew


def same_bits(one: Copy | Folded, other: Copy | Folded) -> bool:
    assert one.best is not None
    assert other.best is not None
    return [row.train_loss for row in one.curve] == [row.train_loss for row in other.curve] and all(
        np.array_equal(value, other.best.weights[name]) for name, value in one.best.weights.items()
    )


def test_what_pays_is_one_network(tiny_split: Split) -> None:
    copies = copies_of(tiny_split, 10)
    crew = Crew(copies, CPU)
    assert [len(stack.copies) for stack in crew.stacks] == [8, 2]
    assert [crew.stack_size(copies[n]) for n in (0, 9)] == [8, 2]
    assert crew.execution(copies[0], 8) == "eager, 8 networks as one"
    clipped = copies_of(tiny_split, 2, training__gradient_clip=1.0)
    crew = Crew(clipped, CPU)
    assert [len(stack.copies) for stack in crew.stacks] == [1, 1]
    assert crew.execution(clipped[0], 1) == "eager, one by one: gradient_clip takes the norm of one network's gradient"


def test_a_copy_that_fails_in_its_first_batch_leaves_the_others_as_they_are(tiny_split: Split) -> None:
    well, ill = copies_of(tiny_split, 3), copies_of(tiny_split, 3)
    undisturbed, crew = Crew(well, CPU), Crew(ill, CPU)
    with torch.no_grad():
        weights = next(iter(crew.stacks[0].model.parameters()))
        part(weights, next(iter(crew.stacks[0].single.parameters())).shape, 1, 3).fill_(torch.nan)
    undisturbed.run_epoch()
    crew.run_epoch()
    assert str(ill[1].failure) == "the training loss is nan in epoch 1; a lower learning rate may help"
    assert (ill[1].curve, ill[1].best) == ([], None)
    assert same_bits(ill[0], well[0])
    assert same_bits(ill[2], well[2])
    trained(crew)
    assert [len(one.curve) for one in ill] == [4, 0, 4]
    assert [len(stack.copies) for stack in crew.stacks] == [2]


def test_all_copies_may_fail(tiny_split: Split) -> None:
    copies = copies_of(tiny_split, 2, optimizer__learning_rate=100.0, schedule__name="constant", training__epochs=50)
    trained(Crew(copies, CPU))
    assert all(one.failure is not None for one in copies)


def test_each_copy_has_its_own_patience(tiny_split: Split) -> None:
    def impatient() -> list[Copy]:
        return copies_of(tiny_split, 3, training__epochs=25, training__patience_epochs=1, optimizer__learning_rate=0.1)

    together, lengths = impatient(), []
    trained(Crew(together, CPU))
    for one, alone in zip(together, impatient(), strict=True):
        trained(Crew([alone], CPU))
        lengths.append(len(alone.curve))
        assert len(one.curve) == len(alone.curve)
    assert len(set(lengths)) > 1


@pytest.mark.parametrize("changes", [{}, {"optimizer__name": "adamw", "training__ema_decay": 0.9}], ids=str)
def test_a_stack_continues_from_the_states_of_its_copies(tiny_split: Split, changes: dict[str, Scalar]) -> None:
    whole, cut, again = (copies_of(tiny_split, 3, **changes) for _ in range(3))
    trained(Crew(whole, CPU))
    first = Crew(cut, CPU)
    first.run_epoch()
    first.run_epoch()
    trained(Crew(again, CPU, {number: first.state_of(one) for number, one in enumerate(cut)}))
    assert all(same_bits(one, other) for one, other in zip(whole, again, strict=True))


def test_copies_at_different_epochs_are_not_one_network(tiny_split: Split) -> None:
    cut, again = copies_of(tiny_split, 3), copies_of(tiny_split, 3)
    first = Crew(cut, CPU)
    first.run_epoch()
    crew = Crew(again, CPU, {1: first.state_of(cut[1])})
    assert sorted(len(stack.copies) for stack in crew.stacks) == [1, 2]
    trained(crew)
    assert [len(one.curve) for one in again] == [4, 4, 4]


@pytest.mark.parametrize("at_step", [1, 25])
def test_fewer_copies_if_the_memory_is_too_small(
    tiny_split: Split, monkeypatch: pytest.MonkeyPatch, at_step: int
) -> None:
    step, done = Stack._step, list[int]()

    def in_little_memory(stack: Stack, indices: torch.Tensor) -> None:
        done.append(len(stack.copies))
        if len(stack.copies) > 3 and len(done) >= at_step:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")
        step(stack, indices)

    monkeypatch.setattr(Stack, "_step", in_little_memory)
    copies, pairs = copies_of(tiny_split, 4), copies_of(tiny_split, 2)
    crew = trained(Crew(copies, CPU))
    said = crew.execution(copies[0], crew.stack_size(copies[0]))
    assert said == "eager, 2 networks as one (the memory is too small for 4 copies as one network)"
    trained(Crew(pairs, CPU))
    assert same_bits(copies[0], pairs[0])


def test_a_memory_too_small_for_one_copy_is_an_error(tiny_split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Stack, "_step", full)
    with pytest.raises(OutOfMemory, match=r"the memory is too small for training\.batch_size=20"):
        Crew(copies_of(tiny_split, 3), CPU).run_epoch()


@pytest.fixture
def folds_of_three(digits: Digits) -> Callable[[], Folded]:
    small = replace(digits, images=digits.images[:301], labels=digits.labels[:301])
    recipe = Recipe().with_overrides({**SMALL, "training.gradient_clip": 1.0, "training.epochs": 2})
    data = DeviceFolds.from_folds(fold_digits(small, 3), CPU)
    return lambda: Folded(folded(recipe), data)


def test_side_by_side_gives_the_bits_of_one_after_another(folds_of_three: Callable[[], Folded]) -> None:
    count = torch.get_num_threads()
    apart, beside = folds_of_three(), folds_of_three()
    torch.set_num_threads(1)
    try:
        trained(Crew([apart], CPU))
        torch.manual_seed(3)
        expected = torch.rand(3)
        torch.manual_seed(3)
        crew = trained(Crew([beside], CPU, side_by_side=2))
        assert torch.equal(torch.rand(3), expected)  # the global generator is left alone
    finally:
        torch.set_num_threads(count)
    assert crew.thread_count == 1
    assert same_bits(apart, beside)


def test_stacks_hold_folds_of_one_size(digits: Digits) -> None:
    small = replace(digits, images=digits.images[:301], labels=digits.labels[:301])
    recipe = folded(Recipe().with_overrides(SMALL))
    trial = Folded(recipe, DeviceFolds.from_folds(fold_digits(small, 3), CPU))
    sizes = {len(one.data.train.labels) for one in trial.copies}
    stacks = Crew([trial], CPU).stacks
    assert len(stacks) == len(sizes) == 2
    assert all(len({len(one.data.train.labels) for one in stack.copies}) == 1 for stack in stacks)


def test_ctrl_c_ends_all_that_train_side_by_side(
    folds_of_three: Callable[[], Folded], monkeypatch: pytest.MonkeyPatch
) -> None:
    step, done = Stack._step, list[Stack]()

    def counted(stack: Stack, indices: torch.Tensor) -> None:
        done.append(stack)
        if len(done) == 20:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        step(stack, indices)

    monkeypatch.setattr(Stack, "_step", counted)
    monkeypatch.setattr(Stack, "_batches", lambda stack, epoch: [torch.arange(20)] * 100_000)
    with pytest.raises(KeyboardInterrupt):
        Crew([folds_of_three()], CPU, side_by_side=2).run_epoch()
    assert 20 <= len(done) < 10_000
    assert len(set(done)) == 2  # the third was not begun


def test_networks_with_torch_s_own_dropout_do_not_train_side_by_side(digits: Digits) -> None:
    small = replace(digits, images=digits.images[:301], labels=digits.labels[:301])
    data = DeviceFolds.from_folds(fold_digits(small, 3), CPU)
    recipe = folded(Recipe().with_overrides({**SMALL, "training.compile": "on"}))
    assert Crew([Folded(recipe, data)], CPU, side_by_side=2).at_a_time == 1  # they share torch's generator
    assert Crew([Folded(recipe.with_overrides({"training.compile": "off"}), data)], CPU, side_by_side=2).at_a_time == 2
