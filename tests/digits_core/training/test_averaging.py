import pytest
import torch

from digits_core.training.averaging import WeightAverage


def test_the_average_is_that_of_the_weights() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    average = WeightAverage(model, 0.5)
    values, expected = [1.0, 2.0, 4.0, 8.0], 1.0
    for count, value in enumerate(values):
        average.advance()
        with torch.no_grad():
            model.weight.fill_(value)
        average.update(model)
        decay = min(0.5, (1 + count) / (10 + count))
        expected = value if count == 0 else decay * expected + (1 - decay) * value
    assert average.module.weight.item() == pytest.approx(expected)
    assert model.weight.item() == 8.0


def test_statistics_are_averaged_and_counters_copied() -> None:
    model = torch.nn.BatchNorm1d(1)
    average = WeightAverage(model, 0.9)
    for mean in (1.0, 3.0):
        average.advance()
        model.running_mean.fill_(mean)  # type: ignore[operator, union-attr]
        model.num_batches_tracked.add_(1)  # type: ignore[operator, union-attr]
        average.update(model)
    assert average.module.running_mean.item() == pytest.approx(2 / 11 * 1.0 + 9 / 11 * 3.0)  # type: ignore[operator, union-attr]
    assert average.module.num_batches_tracked.item() == 2  # type: ignore[operator, union-attr]


def test_the_average_takes_no_gradient() -> None:
    average = WeightAverage(torch.nn.Linear(2, 2), 0.9)
    assert not any(parameter.requires_grad for parameter in average.module.parameters())
