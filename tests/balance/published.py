"""The published algorithms, written a second time for the tests: on the gradients themselves [K, n] in numpy, not on their Gram matrix.

Each gives the combined gradient [n]; ε, numbers of steps and orders are those that papers and `mtdnn_kit.balance` state.
"""

from itertools import chain, combinations

import numpy as np
from scipy.optimize import linprog, minimize, nnls


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


def gradvac(g: np.ndarray, orders: list[list[int]], targets: np.ndarray, beta: float, eps: float = 1e-8) -> np.ndarray:
    """Wang et al. 2021, algorithm 1, on gradients divided by √Σ‖gₖ‖²; ε in each denominator. targets [K, K] are updated in place."""
    scale = np.sqrt((g**2).sum()) or 1.0
    g, total = g / scale, np.zeros(g.shape[1])
    for i, order in enumerate(orders):
        mine = g[i].copy()
        for j in order:
            size, other, wanted = np.linalg.norm(mine), np.linalg.norm(g[j]), targets[i, j]
            cosine = mine @ g[j] / (size * other + eps)
            if cosine < wanted:
                sine = np.sqrt(1 - wanted**2)
                mine += size * (wanted * np.sqrt(max(1 - cosine**2, 0)) - cosine * sine) / (other * sine + eps) * g[j]
            targets[i, j] = (1 - beta) * wanted + beta * cosine
        total += mine
    return total * scale


def mgda(g: np.ndarray) -> list[np.ndarray]:
    """Sener & Koltun 2018, algorithm 2: Frank–Wolfe with exact line searches, from equal weights, 100 steps, until one is below 0.001.

    All results that rounding allows: weights are known to 2⁻⁵², so g·(w g) to 2⁻⁵² ‖g‖ Σ‖gₖ‖; where two directions are equal within that,
    both are followed.
    """
    sizes, found, begun = np.linalg.norm(g, axis=1), [], [np.full(len(g), 1 / len(g))]
    for _ in range(100):
        going = []
        for weights in begun:
            now = weights @ g
            along = g @ now
            rounding = np.finfo(float).eps * (sizes + sizes[along.argmin()]) * sizes.sum()
            for t in np.flatnonzero(along - along.min() <= rounding):
                best = g[t]
                if best @ best <= best @ now:
                    step = 1.0
                elif now @ now <= best @ now:
                    step = 0.0
                else:
                    step = (now - best) @ now / ((now - best) @ (now - best))
                moved = (1 - step) * weights + step * np.eye(len(g))[t]
                (found if step < 0.001 else going).append(moved)
        begun = going if len(going) < 2 else list(np.unique(going, axis=0))
    return [weights @ g for weights in found + begun]


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


def cagrad(g: np.ndarray, c: float = 0.5, eps: float = 1e-4) -> np.ndarray:
    """Liu et al. 2021, algorithm 1, solved as by its authors, with scipy on the simplex; 0 if the worst-off direction is shorter than ε."""
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
    size = np.linalg.norm(worst)
    return (mean + phi / size * worst) * np.sqrt((g**2).sum()) if size >= eps else np.zeros(g.shape[1])


def nash(g: np.ndarray) -> np.ndarray:
    """Navon et al. 2022, algorithm 1 on gradients of length 1 / √(how many are not 0), from w = 1; the update has length 1 at most.

    At most 20 times: min Σ Gw + φ′(w₀)w / f with wᵢ f (Gw)ᵢ ≥ 1, G = scaled Gram matrix, f its norm before it was scaled, φ = Σ log w +
    Σ log Gw linearised at the last w₀. It ends at w₀ where ‖Gw₀ − 1/w₀‖ < 10⁻³, where w moves by less than 10⁻⁶, and where the problem
    has no solution.
    """
    sizes = np.linalg.norm(g, axis=1, keepdims=True)
    scaled = g / np.where(sizes > 0, sizes, 1) / np.sqrt((sizes > 0).sum())
    gram = scaled @ scaled.T
    size = np.linalg.norm(gram)
    gram, w, inside = gram / size, np.ones(len(g)), bargained(gram / size)
    for _ in range(20):
        with np.errstate(all="ignore"):
            slope = gram.sum(0) + (1 / w + (1 / (gram @ w)) @ gram) / size
        if inside is None or not np.isfinite(slope).all() or unbounded(slope, gram):
            break
        best = cheapest(slope, gram, size, 1.5 * inside / np.sqrt(size))
        if np.linalg.norm(gram @ w - 1 / (w + 1e-10)) < 1e-3 or np.linalg.norm(best - w) < 1e-6:
            break
        w = best
    return w @ scaled / max(np.linalg.norm(w @ scaled), 1.0)


def bargained(gram: np.ndarray) -> np.ndarray | None:
    """The weights with G w = 1/w, w > 0, by Newton's steps on ½ wᵀGw − Σ log w; None if there are none."""
    w = np.ones(len(gram))
    for _ in range(500):
        slope, bend = gram @ w - 1 / w, gram + np.diag(1 / w**2)
        if w.max() > 1e9:
            break
        move = np.linalg.lstsq(bend, slope, rcond=None)[0]
        size = np.sqrt(max(move @ bend @ move, 0.0))
        w = w - move / (1 + size)
        if size < 1e-9:
            return w if (w > 0).all() and np.allclose(w * (gram @ w), 1, rtol=1e-6) else None
    return None


def unbounded(slope: np.ndarray, gram: np.ndarray) -> bool:
    """Whether slope @ w falls without end: along a direction d ≥ 0 with G d ≥ 0."""
    return linprog(slope, A_ub=-gram, b_ub=np.zeros(len(gram)), A_eq=np.ones((1, len(gram))), b_eq=[1.0]).fun < 0


def cheapest(slope: np.ndarray, gram: np.ndarray, size: float, w: np.ndarray) -> np.ndarray:
    """min slope @ w, wᵢ f (Gw)ᵢ ≥ 1 from a point inside, by Newton's steps with a barrier −Σ log log(wᵢ f (Gw)ᵢ) (f: size)."""

    def value(w: np.ndarray) -> float:
        y = gram @ w
        inside = (w > 0).all() and (y > 0).all() and (w * y * size > 1).all()
        return sharp * slope @ w - np.log(np.log(w * y * size)).sum() if inside else np.inf

    first = sharp = 1 / abs(slope @ w)
    while sharp < 1e10 * first:
        for _ in range(100):
            y = gram @ w
            room, rows = np.log(w * y * size), np.diag(1 / w) + gram / y[:, None]
            down = sharp * slope - rows.T @ (1 / room)
            bend = rows.T @ np.diag(1 / room**2) @ rows + np.diag(1 / (w**2 * room)) + gram.T @ np.diag(1 / (y**2 * room)) @ gram
            unit = 1 / np.sqrt(np.diag(bend))  # parameters of one scale
            move = -unit * np.linalg.lstsq(bend * np.outer(unit, unit), unit * down, rcond=None)[0]
            fall, step = -down @ move, 1.0
            while not value(w + step * move) <= value(w) - 0.1 * step * fall and step > 1e-12:
                step /= 2
            if fall < 1e-9 or step <= 1e-12:
                break
            w = w + step * move
        sharp *= 20
    return w
