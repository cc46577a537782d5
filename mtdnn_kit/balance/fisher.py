"""How much each weight mattered at the anchor: the diagonal of the empirical Fisher information, F = mean of (∂ loss of one row / ∂ θ)².

Per row (Kirkpatrick et al. 2017): in the square of a batch's mean gradient the rows' signs would cancel. Labels are the rows'
own, not sampled from the model (Kunstner et al. 2019 discuss the difference). Without dropout, in fp32, row by row: one forward and one
backward pass each. Each window of a question counts as a row, as in the loss. Knows no device and no folder.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from mtdnn_kit.sampler import generator


def drawn_rows(seed: int, sizes: Mapping[str, int], rows: int) -> dict[str, np.ndarray]:
    """Item numbers of at most `rows` of each task, drawn by the seed. sizes: task → items."""
    return {task: np.sort(generator(seed, "fisher", task).permutation(size)[:rows]) for task, size in sizes.items()}


def squared_gradients(model: nn.Module, names: Sequence[str], rows: Mapping[str, np.ndarray], loss: Callable) -> dict[str, Tensor]:
    """F of the encoder's weights in `names`, each of the weight's shape: the mean over all rows. loss(task, items) → (mean loss, …)."""
    named = dict(model.encoder.named_parameters())
    weights = [named[name] for name in names]
    total = [torch.zeros_like(w) for w in weights]
    model.eval()
    for task, items in rows.items():
        for i in range(len(items)):
            found = torch.autograd.grad(loss(task, items[i : i + 1])[0], weights, allow_unused=True)
            for sum_, gradient in zip(total, found, strict=True):
                if gradient is not None:
                    sum_.addcmul_(gradient, gradient)
    count = sum(map(len, rows.values()))
    return {name: x / count for name, x in zip(names, total, strict=True)}
