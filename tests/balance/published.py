"""The published algorithms, written a second time for the tests: on the gradients themselves [K, n] in numpy, not on their Gram matrix.

Each gives the combined gradient [n]; ε, numbers of steps and orders are those that papers and `mtdnn_kit.balance` state.
"""

from itertools import chain, combinations

import numpy as np
from scipy.optimize import minimize, nnls


def pcgrad(g: np.ndarray, orders: list[list[int]]) -> np.ndarray:
    """Yu et al. 2020, algorithm 1. orders[i]: in which the other tasks are met for task i."""
    total = np.zeros(g.shape[1])
    for mine, order in zip(g, orders, strict=True):
        mine = mine.copy()
        for other in g[order]:
            if mine @ other < 0:
                mine -= mine @ other / (other @ other) * other
        total += mine
    return total


def gradvac(g: np.ndarray, orders: list[list[int]], targets: np.ndarray, beta: float) -> np.ndarray:
    """Wang et al. 2021, algorithm 1; targets [K, K] are moved in place."""
    total = np.zeros(g.shape[1])
    for i, order in enumerate(orders):
        mine = g[i].copy()
        for j in order:
            size, other = np.linalg.norm(mine), np.linalg.norm(g[j])
            cosine = mine @ g[j] / (size * other) if size * other > 0 else 0.0
            wanted = targets[i, j]
            if cosine < wanted and other > 0:
                by = size * (wanted * np.sqrt(max(1 - cosine**2, 0)) - cosine * np.sqrt(1 - wanted**2)) / (other * np.sqrt(1 - wanted**2))
                mine += by * g[j]
            targets[i, j] = (1 - beta) * wanted + beta * cosine
        total += mine
    return total


def mgda(g: np.ndarray) -> np.ndarray:
    """Sener & Koltun 2018, algorithm 2: Frank–Wolfe with exact line searches, from equal weights, 100 steps, until one is below 0.001."""
    weights = np.full(len(g), 1 / len(g))
    for _ in range(100):
        now = weights @ g
        best = g[np.argmin(g @ now)]
        t = int(np.argmin(g @ now))
        if best @ best <= best @ now:
            step = 1.0
        elif now @ now <= best @ now:
            step = 0.0
        else:
            step = (now - best) @ now / ((now - best) @ (now - best))
        weights = (1 - step) * weights + step * np.eye(len(g))[t]
        if step < 0.001:
            break
    return weights @ g


def shortest(g: np.ndarray) -> np.ndarray:
    """The shortest vector of the gradients' convex hull (Désidéri 2012), by non-negative least squares."""
    scale = np.abs(g).max() or 1.0
    heavy = 1e4
    weights, _ = nnls(np.vstack([g.T / scale, heavy * np.ones(len(g))]), np.append(np.zeros(g.shape[1]), heavy), maxiter=1000)
    return weights / weights.sum() @ g


def imtl_g(g: np.ndarray) -> np.ndarray:
    """Liu et al. 2021, equation 6: α₂… = g₁ Uᵀ (D Uᵀ)⁻¹, α₁ = 1 − Σ; linearly independent gradients."""
    unit = g / np.linalg.norm(g, axis=1, keepdims=True)
    u, d = unit[0] - unit[1:], g[0] - g[1:]
    others = np.linalg.solve((d @ u.T).T, u @ g[0])
    return (1 - others.sum()) * g[0] + others @ g[1:]


def aligned_mtl(g: np.ndarray) -> tuple[np.ndarray, float]:
    """Senushkin et al. 2023, algorithm 1, by the singular values of the gradients; and the square of the largest by the smallest."""
    u, sizes, v = np.linalg.svd(g, full_matrices=False)
    rank = int((sizes**2 > sizes[0] ** 2 * len(g) * np.finfo(float).eps).sum())
    if rank == 0:
        return g.mean(0), 1.0
    aligned = sizes[rank - 1] * u[:, :rank] @ v[:rank]
    return aligned.mean(0), float((sizes[0] / sizes[rank - 1]) ** 2)


def pcd(g: np.ndarray, sizes: np.ndarray, calls: int, tau: float = 0.02, beta: float = 0.999, eps: float = 1e-8) -> np.ndarray:
    """Priority-Constrained Descent by its reference's enumeration of active sets (appendix B.2). sizes [K]: moving average, in place."""
    sizes *= beta
    sizes += (1 - beta) * (g**2).sum(1)
    scaled = g / np.sqrt(sizes / (1 - beta**calls) + eps)[:, None]
    if not g[0].any():
        return np.zeros(g.shape[1])
    main, others = scaled[0], scaled[1:]
    wanted = tau * (others**2).sum(1)
    least, found = np.inf, main
    numbers = range(len(others))
    for active in chain.from_iterable(combinations(numbers, n) for n in range(len(others) + 1)):
        a = others[list(active)]
        by = np.linalg.lstsq(a @ a.T, wanted[list(active)] - a @ main, rcond=1e-12)[0] if active else np.zeros(0)
        d = main + by @ a
        # d may be made by other multipliers where the active gradients depend on each other: those of the others' subsets
        fits = (others @ d >= wanted - 1e-9 * max(1.0, (scaled**2).sum(1).max())).all() and (
            by >= -1e-9 * (1 + np.abs(by).max(initial=0))
        ).all()
        if fits and np.linalg.norm(d - main) < least - 1e-12:
            least, found = np.linalg.norm(d - main), d
    size = np.linalg.norm(found)
    return found / size * np.linalg.norm(g[0]) if size > 1e-7 else np.zeros(g.shape[1])


def upgrad(g: np.ndarray) -> np.ndarray:
    """Quinton & Rey 2024, definition 1 and proposition 1: min vᵀ G v, v ≥ u, for each u = eₖ / K, G normalised and its diagonal + 10⁻⁴."""
    k, trace = len(g), (g**2).sum()
    root = np.linalg.cholesky(g @ g.T / (trace or 1.0) + 1e-4 * np.eye(k)).T
    weights = sum(u + nnls(root, -root @ u, maxiter=1000)[0] for u in np.eye(k) / k)
    return weights @ g


def cagrad(g: np.ndarray, c: float = 0.5) -> np.ndarray:
    """Liu et al. 2021, algorithm 1, solved as its authors do, by scipy on the simplex, from equal weights."""
    scaled = g / np.sqrt((g**2).sum())
    k, mean = len(g), scaled.mean(0)
    phi = c * np.linalg.norm(mean)
    best = min(
        (
            minimize(
                lambda w: w @ scaled @ mean + phi * np.sqrt((w @ scaled) @ (w @ scaled) + 1e-16),
                start, bounds=[(0, 1)] * k, constraints={"type": "eq", "fun": lambda w: 1 - w.sum()}, tol=1e-14,
            )
            for start in [np.full(k, 1 / k), *np.eye(k)]
        ),
        key=lambda found: found.fun,
    )  # fmt: skip
    worst = best.x @ scaled
    return (mean + phi / np.linalg.norm(worst) * worst) * np.sqrt((g**2).sum())


def nash(g: np.ndarray) -> np.ndarray:
    """Navon et al. 2022: the weights with G w = 1/w, w > 0, by Newton on ½ wᵀGw − Σ log w; linearly independent gradients."""
    gram = g @ g.T / np.linalg.norm(g @ g.T)
    w = np.ones(len(g))
    for _ in range(200):
        slope, bend = gram @ w - 1 / w, gram + np.diag(1 / w**2)
        move = np.linalg.solve(bend, slope)
        size = np.sqrt(move @ bend @ move)
        w = w - move / (1 + size)
    return w @ g
