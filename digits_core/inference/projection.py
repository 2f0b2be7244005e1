"""Projects vectors onto a plane: principal components and t-SNE. Arrays in, arrays out; scikit-learn."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FEWEST_POINTS = 10
KEPT_COMPONENTS = 30  # t-SNE starts from these: distances hardly change, and it is much faster
PERPLEXITY = 30.0
ITERATIONS = 500


@dataclass(frozen=True, kw_only=True)
class Projection:
    """The same points on two planes."""

    components: npt.NDArray[np.float32]  # (N, 2): the first two principal components
    explained: float  # the share of the variance in these two
    neighbours: npt.NDArray[np.float32]  # (N, 2): t-SNE (van der Maaten and Hinton 2008, JMLR 9)


def project(vectors: npt.NDArray[np.floating]) -> Projection | None:
    """Project vectors (N, D), reproducibly. None for fewer than ten points or two dimensions, or if all are equal."""
    if len(vectors) < FEWEST_POINTS or vectors.shape[1] < 2 or not np.ptp(vectors, axis=0).any():
        return None
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    exact = vectors.astype(np.float64)
    component_count = min(KEPT_COMPONENTS, *exact.shape)
    analysis = PCA(component_count, svd_solver="full").fit(exact)
    reduced = analysis.transform(exact)
    perplexity = min(PERPLEXITY, (len(vectors) - 1) / 3)
    tsne = TSNE(init="pca", perplexity=perplexity, max_iter=ITERATIONS, random_state=0, learning_rate="auto")
    return Projection(
        components=reduced[:, :2].astype(np.float32),
        explained=float(analysis.explained_variance_ratio_[:2].sum()),
        neighbours=tsne.fit_transform(reduced.astype(np.float32)).astype(np.float32),
    )
