"""A main task and three others that help it to a known degree: its own rows, the same rows with permuted labels, and unrelated rows."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

TASKS = ["main", "own", "permuted", "unrelated"]
ANIMALS = ["otter", "heron", "badger", "lynx", "stoat", "plover", "marten", "newt"]
COLOURS = ["red", "blue", "green", "white", "black", "brown", "pink", "grey"]
TOOLS = ["saw", "chisel", "plane", "rasp", "gouge", "mallet", "awl", "vise"]
PLACES = ["attic", "cellar", "porch", "barn", "shed", "loft", "hall", "yard"]


def written(folder: Path, seed: int, rows: int = 256) -> dict[str, dict]:
    """Writes the rows and returns the definitions of the four tasks. An animal's label says whether it is in the first half of the
    list; a tool's label is random."""
    rng = np.random.default_rng(seed)

    def lines(first: list[str], second: list[str]) -> str:
        made = []
        for number in range(rows):
            a, b, c = rng.choice(first), rng.choice(second), rng.choice(second)
            words = [a, b, c] if rng.random() < 0.5 else [b, a, c]
            label = first.index(a) < len(first) // 2 if first is ANIMALS else rng.random() < 0.5
            made.append({"id": str(number), "sentence": " ".join(words), "label": int(label)})
        return "".join(json.dumps(row) + "\n" for row in made)

    for name, words in (("main", (ANIMALS, COLOURS)), ("unrelated", (TOOLS, PLACES))):
        (folder / name).mkdir(parents=True)
        (folder / name / "train.jsonl").write_text(lines(*words))
    task: dict[str, Any] = {"type": "sc", "columns": {"first": "sentence", "label": "label"}, "labels": ["no", "yes"], "score": None}
    files = {name: {"train": str(folder / place / "train.jsonl")} for name, place in zip(TASKS, ["main"] * 3 + ["unrelated"], strict=True)}
    return {name: {**task, "files": files[name], **({"permute_labels": True} if name == "permuted" else {})} for name in TASKS}


def encoder(folder: Path) -> str:
    """The folder of a BERT of one layer and 32 dimensions whose vocabulary is the words of the rows."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    words = [*special, *ANIMALS, *COLOURS, *TOOLS, *PLACES]  # not trained: a trainer may number the words differently in another run
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    ids = [(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ids
    )
    names = dict(cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]", unk_token="[UNK]")
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)
    size = dict(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64, max_position_embeddings=32)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        transformers.AutoModel.from_config(transformers.BertConfig(vocab_size=len(fast), **size)).save_pretrained(folder)
    fast.save_pretrained(folder)
    return str(folder)


def settings(folder: Path, encoder: str, seed: int) -> dict[str, Any]:
    """Parameters of a training on these tasks that measures affinities."""
    small = dict(encoder=encoder, tasks=TASKS, define=written(folder / "rows", seed), qa_weight=0.25, threshold_articles=[], batch_size=16)
    small |= dict(max_steps=160, epochs=100, max_length=16, max_question=8, overlap=0, learning_rate=1e-2, encoder_dropout=0.0)
    return {
        **small,
        "precision": "fp32",
        "device": "cpu",
        "threads": 1,
        "seed": seed,
        "interference_every": 8,
        "run_dir": str(folder / "run"),
    }
