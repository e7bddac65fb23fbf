"""scikit-learn at the gate."""

import numpy as np
from adapter.prior_case import read
from adapter.protocol import serve
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import Kernel


class Precomputed(Kernel):
    """A Gram matrix as a kernel of indices."""

    def __init__(self, gram=None):
        self.gram = gram

    def __call__(self, X, Y=None, eval_gradient=False):
        rows = X[:, 0].astype(int)
        columns = rows if Y is None else Y[:, 0].astype(int)
        matrix = self.gram[np.ix_(rows, columns)]
        return (matrix, np.zeros((*matrix.shape, 0))) if eval_gradient else matrix

    def diag(self, X):
        return np.diag(self.gram)[X[:, 0].astype(int)]

    def is_stationary(self):
        return False


def answer(request):
    gram, labels, _ = read(request)
    if len(set(labels)) < 2:
        return {"skip": "labels of one class are refused by the package: at least two classes are needed"}
    x = np.arange(len(labels), dtype=float)[:, None]
    work = GaussianProcessClassifier(Precomputed(gram), optimizer=None, max_iter_predict=1000)
    work.fit(x, labels)
    return {"value": float(work.log_marginal_likelihood_value_)}


serve(answer)
