import numpy as np
import pytest

from digits_core.inference.projection import project


def clouds(count: int = 30) -> tuple[np.ndarray, np.ndarray]:
    stream = np.random.default_rng(0)
    centres = stream.normal(0, 30, size=(3, 20))
    labels = np.repeat(np.arange(3), count)
    return centres[labels] + stream.normal(size=(3 * count, 20)), labels


def test_groups_stay_together() -> None:
    vectors, labels = clouds()
    found = project(vectors)
    assert found is not None
    for plane in (found.components, found.neighbours):
        assert plane.shape == (90, 2)
        means = np.stack([plane[labels == group].mean(axis=0) for group in range(3)])
        nearest = np.linalg.norm(plane[:, None] - means, axis=2).argmin(axis=1)
        assert (nearest == labels).all()
    assert 0.9 < found.explained <= 1
    again = project(vectors)
    assert again is not None
    assert np.array_equal(found.neighbours, again.neighbours)


def test_components_are_those_of_the_covariance() -> None:
    vectors, _ = clouds()
    found = project(vectors)
    assert found is not None
    values = np.linalg.eigvalsh(np.cov(vectors.T))[::-1]
    assert found.explained == pytest.approx(values[:2].sum() / values.sum(), rel=1e-6)
    assert found.components.var(axis=0, ddof=1) == pytest.approx(values[:2], rel=1e-4)


def test_too_few_or_equal_points_are_not_projected() -> None:
    assert project(np.eye(5)) is None
    assert project(np.ones((50, 4))) is None
    assert project(np.arange(50.0)[:, None]) is None
    few = project(np.random.default_rng(0).normal(size=(10, 3)))
    assert few is not None
    assert few.neighbours.shape == (10, 2)
