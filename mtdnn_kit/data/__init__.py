"""Where rows come from: sources and readers, the registry of datasets and definitions of one's own, the hub, the cache, the sample."""

from mtdnn_kit.data.registry import DATASETS, Dataset

__all__ = ["DATASETS", "Dataset"]
