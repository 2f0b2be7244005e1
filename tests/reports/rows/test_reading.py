import numpy as np

from reports.rows.reading import nearest


def test_an_image_is_nearest_to_itself() -> None:
    images = np.random.default_rng(0).integers(0, 256, (500, 8, 8)).astype(np.uint8)
    places, distances = nearest(images[[7, 499]], images, 3)
    assert places[:, 0].tolist() == [7, 499]
    assert np.allclose(distances[:, 0], 0, atol=0.01)
    brute = np.sqrt((((images[7].astype(float) - images.astype(float)) / 255) ** 2).sum(axis=(1, 2)))
    assert places[0].tolist() == np.argsort(brute, kind="stable")[:3].tolist()
    assert np.allclose(distances[0, 1:], np.sort(brute)[1:3], atol=1e-3)
