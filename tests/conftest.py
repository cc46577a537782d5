"""What the tests share: tiny encoders of several families, made here, and small configurations on the packaged sample."""

import os
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
import transformers
import yaml
from hypothesis import settings
from transformers import AutoTokenizer

from mtdnn_kit.config import Config
from mtdnn_kit.encoders import find_encoder

ROOT = Path(__file__).parents[1]
DIMENSIONS = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48, max_position_embeddings=514)
torch.set_num_threads(1)
settings.register_profile("ci", derandomize=True)  # the same examples each time; at a desk they are new ones
settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.fixture(scope="session")
def tokenizer():
    """The default encoder's own: BERT's uncased wordpieces."""
    return AutoTokenizer.from_pretrained(find_encoder(Config().encoder).path)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory, tokenizer) -> str:
    """Folder of a BERT of two layers and 32 dimensions, with the default encoder's vocabulary."""
    return make_encoder(tmp_path_factory.mktemp("tiny"), transformers.BertConfig(vocab_size=len(tokenizer), **DIMENSIONS), tokenizer)


def make_encoder(folder: Path, config, tokenizer) -> str:
    """Saves an encoder with random weights (the same each time) and a tokenizer."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        transformers.AutoModel.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def config(tiny, tmp_path):
    """config(**changes): a run of a few steps on the packaged sample with the tiny encoder, in fp32, in a folder of its own."""

    def make(**changes) -> Config:
        small = dict(run_dir=str(tmp_path / "run"), encoder=tiny, batch_size=4, max_steps=6, max_length=96, overlap=10, precision="fp32")
        return Config(**{**small, "device": "cpu", "threads": 1, "eval_limit": 6, "log_every": 3, **changes})

    return make


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data that MTDNN_DATA names; the test is skipped where it names none."""
    if not os.environ.get("MTDNN_DATA"):
        pytest.skip("MTDNN_DATA names no folder of real data")
    return Path(os.environ["MTDNN_DATA"])


def changed(config: Config, **changes) -> Config:
    """`config` with changes."""
    return Config(**{**asdict(config), **changes})


def study_text(content: dict) -> str:
    """A study file."""
    return "# Is a test\n# a study?\n" + yaml.safe_dump(content, sort_keys=False)
