"""Custom functions, as docs/plugins.md shows them: two samplers and a score."""


def by_root(sizes, epoch, epochs, rng):
    """Each task with a probability proportional to the square root of its number of batches."""
    return {task: n**0.5 for task, n in sizes.items()}


def main_last(sizes, epoch, epochs, rng):
    """In each epoch one batch in four is of a random other task; the main task ends the epoch."""
    main, *others = sizes
    order = []
    for number in range(sizes[main]):
        if others and number % 3 == 0:
            order.append(str(rng.choice(others)))
        order.append(main)
    return order


def kappa(task, gold, said):
    """Cohen's kappa, in percent, of tasks with one label per row."""
    if not isinstance(gold[0], int):
        return None
    n = len(gold)
    agreed = sum(a == b for a, b in zip(gold, said, strict=True)) / n
    by_chance = sum(gold.count(label) * said.count(label) for label in set(gold)) / n**2
    return 100 * (agreed - by_chance) / (1 - by_chance) if by_chance < 1 else 0.0


def answered(task, gold, said):
    """The share of questions that got an answer, in percent."""
    return 100 * sum(text != "" for text in said) / len(said) if isinstance(gold[0], list) else None


def helpful(losses, gram, memory, rng):
    """Weights each other task by how far its gradient agrees with the main task's, a mean over steps (after Du et al. 2018)."""
    main, *others = losses
    size = gram.diagonal() ** 0.5 + 1e-30
    agreed = gram[0] / (size[0] * size)
    memory["agreed"] = 0.9 * memory.get("agreed", agreed) + 0.1 * agreed
    return {main: 1.0, **{task: max(0.0, float(a)) for task, a in zip(others, memory["agreed"][1:], strict=True)}}
