import pytest
from hypothesis import given
from hypothesis import strategies as st

from digits_core.errors import UsageError
from sweeps.space.generations import Generations, shapes_state, with_one_network
from sweeps.space.known_good import default_recipe
from sweeps.space.spaces import Choice, default_space, is_active, narrowed, point_of


def test_a_hundred_trials_are_five_generations() -> None:
    generations = Generations.of(100, 40)
    assert (generations.members, generations.count, generations.trial_count) == (19, 5, 96)
    assert [generations.last_epoch(trial) for trial in (1, 19, 20, 39, 58, 77, 95)] == [8, 8, 16, 24, 32, 40, 40]
    assert (generations.before(19), generations.before(20), generations.before(95)) == (None, 1, 76)
    assert generations.peers(20) == generations.peers(38) == range(20, 39)


@given(st.integers(9, 3000), st.integers(2, 200))
def test_every_member_lives_through_all_epochs(trial_count: int, epochs: int) -> None:
    generations = Generations.of(trial_count, epochs)
    assert generations.trial_count <= trial_count
    ends = [generations.last_epoch(1 + k * generations.members) for k in range(generations.count)]
    assert ends == sorted(set(ends))
    assert ends[0] > 0
    assert ends[-1] == epochs
    assert generations.last_epoch(generations.trial_count - 1) == epochs


@pytest.mark.parametrize(("trial_count", "epochs"), [(8, 40), (100, 1)])
def test_too_few_trials_or_epochs_for_two_generations_are_refused(trial_count: int, epochs: int) -> None:
    with pytest.raises(UsageError, match="2 generations of 4 members: at least 9 trials of 2 epochs"):
        Generations.of(trial_count, epochs)


def test_a_generation_begins_where_enough_of_the_one_before_is_known() -> None:
    generations = Generations.of(9, 4)  # members 1-4, then 5-8
    assert generations.may_begin(3, set())
    assert not generations.may_begin(5, {1})
    assert not generations.may_begin(5, {2, 3})
    assert generations.may_begin(5, {1, 3})


def test_states_are_dropped_once_the_next_generation_is_over() -> None:
    generations = Generations.of(13, 6)  # 1-4, 5-8, 9-12
    assert list(generations.outlived({1, 2, 3, 4, 5, 6, 7})) == []
    assert list(generations.outlived({*range(1, 9)})) == [1, 2, 3, 4]
    assert list(generations.outlived({*range(1, 13)})) == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_one_network_leaves_no_choice_that_shapes_the_state(device: str) -> None:
    _, space = default_space(device, 28)
    default = default_recipe(device, 28, 6)
    one = narrowed(space, with_one_network(space, default.as_overrides()))
    for name, parameter in one.items():
        if shapes_state(name):
            assert isinstance(parameter, Choice)
            assert len(parameter.options) == 1
    assert not shapes_state("model.dropout")
    point = point_of(one, default)
    assert point["model.name"] == default.model.name
    assert is_active(one["optimizer.learning_rate"], point)
