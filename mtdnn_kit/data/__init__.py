"""Where rows come from: sources and readers, the registry of datasets, definitions of one's own and their drafts, the hub, the cache, the
sample."""

from mtdnn_kit.data.draft import guess
from mtdnn_kit.data.registry import DATASETS, Dataset

__all__ = ["DATASETS", "Dataset", "guess"]
