"""Where rows come from: sources and readers, the registry of datasets, custom definitions and drafts of them, the hub, the cache, the
sample."""

from mtdnn_kit.data.draft import guess
from mtdnn_kit.data.registry import DATASETS, Dataset

__all__ = ["DATASETS", "Dataset", "guess"]
