"""Encoders of every family: training on the three task types, decoding, position limits; unsuitable ones are refused before training."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import transformers
from conftest import DIMENSIONS, FAMILIES, ROOT, albert, cased, make_encoder
from safetensors.torch import save_file
from test_model import SPECS, batch_of
from ties import TIE, plain_spans
from tokenizers import pre_tokenizers, processors

from mtdnn_kit import load, train
from mtdnn_kit.errors import EncoderError
from mtdnn_kit.inference.exporting import write_task
from mtdnn_kit.model.multitask import build_model, load_encoder_config, load_model, load_tokenizer, takes_token_types
from mtdnn_kit.tasks.tokens import tokenize

LIMITS = {"bert": 514, "distilbert": 514, "roberta": 511, "modernbert": 514, "electra": 140, "albert": 140}  # DeBERTa's are relative


@pytest.fixture(params=FAMILIES)
def family(request) -> str:
    return request.param


def records(count: int) -> list[dict]:
    lines = (ROOT / "mtdnn_kit/data/sample/squad/validation.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines[:count]]


def model_of(path: str, encoder_dropout: float = 0.0, head_dropout: float = 0.0):
    return build_model(Path(path), SPECS, encoder_dropout, head_dropout, 64, seed=0), load_tokenizer(Path(path))


def test_each_family_trains_on_the_three_task_types(family, families, trained):
    run = trained(family)
    assert run.finished and run.manifest["draws"] == dict.fromkeys(("squad", "swag", "cola", "mrpc"), 2)
    assert set(run.metrics) == {"squad", "swag", "cola", "mrpc"}
    before, after = transformers.AutoModel.from_pretrained(families[family]), load_model(run.path / "model")[0].encoder
    felt = {name: p for name, p in after.named_parameters() if not name.endswith("key.bias")}  # softmax ignores key biases
    moved = {name: not torch.equal(p, dict(before.named_parameters())[name]) for name, p in felt.items()}
    assert len(moved) > 10 and all(moved.values()), [name for name, it in moved.items() if not it]


def test_each_family_is_decoded_like_transformers_with_a_plain_double_loop(family, trained, tmp_path):
    """The best score of each question is equal up to rounding, and the answer has that score up to ties."""
    run, rows = trained(family), records(132)[::19]
    write_task(*load_model(run.path / "model"), "squad", tmp_path)
    model, tokenizer = (
        transformers.AutoModelForQuestionAnswering.from_pretrained(tmp_path),
        transformers.AutoTokenizer.from_pretrained(tmp_path),
    )
    said = load(run).answer([row["question"] for row in rows], [row["context"] for row in rows], threshold=1e9)
    for x, row in zip(said, rows, strict=True):
        plain = plain_spans(model.eval(), tokenizer, row, max_length=96, overlap=10)
        assert plain.says((x.start, x.end), 1e9) and x.text == row["context"][x.start : x.end]
        assert x.diff == pytest.approx(plain.null - max(plain.spans.values()), abs=TIE)
        assert len([score for score in plain.spans.values() if score < max(plain.spans.values()) - 10 * TIE]) > len(plain.spans) / 2
    assert len({x.text for x in said}) > 4


def test_5_leading_white_space_shifts_no_span_in_any_family(family, families):
    tokenizer = load_tokenizer(Path(families[family]))
    text = "The Rhine rises in Graubünden."
    plain, later = tokenize(tokenizer, [text])[0], tokenize(tokenizer, [" \t\n" + text])[0]

    def words(tokens, shift: int) -> list[tuple[int, int]]:
        return [(a - shift, b - shift) for a, b in zip(tokens.starts.tolist(), tokens.ends.tolist(), strict=True) if b > a]

    assert words(plain, 0)[0][0] == 0 and words(plain, 0)[-1][1] == len(text)
    assert {x for pair in words(later, 3) for x in pair} >= {0, len(text)} and all(a >= 0 for a, _ in words(later, 3))
    assert text[words(later, 3)[0][0] :].startswith("T")


@pytest.mark.parametrize("text", ["the Rhine", "a  Rhine", "\tRhine"])
def test_a_token_of_only_a_space_does_not_include_the_next_letter(text):
    """ALBERT's ▁ before r has the offsets of R: an answer that ends there would end inside a word."""
    tokens = tokenize(albert(), [text])[0]
    mark = albert().convert_tokens_to_ids("▁")
    assert mark in tokens.ids and all(a == b for x, a, b in zip(tokens.ids, tokens.starts, tokens.ends, strict=True) if x == mark)
    assert text[tokens.starts[tokens.ids != mark][-3]] == "R"


@pytest.mark.parametrize("task", SPECS)
def test_dropout_is_applied_to_encoder_and_heads_in_each_family(family, families, task):
    """Without dropout two passes are equal; the encoder's changes every task, the head's all except question answering."""
    changes = {}
    for rates in ((0.0, 0.0), (0.3, 0.0), (0.0, 0.3)):
        model, tokenizer = model_of(families[family], *rates)
        batch = batch_of(tokenizer, task, takes_token_types(model.encoder.config))
        with torch.no_grad():
            one, two = (model.train()(task, batch) for _ in range(2))
        changes[rates] = not torch.equal(one, two)
    assert changes == {(0.0, 0.0): False, (0.3, 0.0): True, (0.0, 0.3): task != "squad"}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_gradient_of_each_task_reaches_the_encoders_words(family, families, precision):
    model, tokenizer = model_of(families[family], 0.1, 0.1)
    for task in SPECS:
        batch = batch_of(tokenizer, task, takes_token_types(model.encoder.config))
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            model.train()(task, batch).nan_to_num(neginf=0).float().pow(2).sum().backward()
        words = model.encoder.get_input_embeddings().weight
        reached = words.grad.abs().sum(dim=1) > 0
        assert torch.isfinite(words.grad).all() and reached[batch["input_ids"].unique()].float().mean() > 0.8
        model.zero_grad(set_to_none=True)


def test_each_family_reads_at_most_as_many_tokens_as_it_has_positions(family, families):
    path, limit = Path(families[family]), LIMITS.get(family, 700)
    assert load_encoder_config(path, limit)
    model = build_model(path, {"squad": SPECS["squad"]}, 0.0, 0.0, limit, seed=0).eval()
    ids = torch.full((1, limit + 1), 5)
    with torch.no_grad():
        found = model("squad", {"input_ids": ids[:, 1:], "attention_mask": ids[:, 1:] * 0 + 1})
    assert found.shape == (1, limit, 2) and torch.isfinite(found).all()
    if family in LIMITS:
        with pytest.raises(EncoderError, match=f"max_length: {limit + 1} is more than the {limit} positions of encoder"):
            load_encoder_config(path, limit + 1)
    if family not in ("modernbert", "deberta-v2"):  # these compute their positions: ModernBERT's limit is the length it was trained for
        with pytest.raises((IndexError, RuntimeError)), torch.no_grad():
            model("squad", {"input_ids": ids, "attention_mask": ids * 0 + 1})


def bare(folder: Path, config, tokenizer) -> Path:
    """An encoder's folder with dummy weights, which are never read."""
    config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    save_file({"nothing": torch.zeros(1)}, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


SMALL = dict(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
BERT = dict(vocab_size=600, **DIMENSIONS)
NO_ENCODERS = {
    "GPT-2": (
        transformers.GPT2Config(n_embd=8, n_layer=1, n_head=1),
        r"\(gpt2\) is a decoder, in which a token attends only to earlier",
    ),
    "Llama": (transformers.LlamaConfig(**SMALL), r"\(llama\) is a decoder"),
    "a decoding BERT": (transformers.BertConfig(is_decoder=True, **BERT), r"\(bert\) is a decoder"),
    "T5": (transformers.T5Config(d_model=8, num_layers=1), r"\(t5\) is an encoder-decoder"),
    "BART": (transformers.BartConfig(d_model=8), r"\(bart\) is an encoder-decoder"),
    "XLNet": (
        transformers.XLNetConfig(d_model=8, n_layer=1, n_head=1),
        r"\(xlnet\) puts \[CLS\] last, but the null answer needs it first",
    ),
    "ViT": (transformers.ViTConfig(**SMALL), r"\(vit\) has no question-answering head"),
    "few positions": (transformers.BertConfig(**{**BERT, "max_position_embeddings": 64}), "max_length: 96 is more than the 64 positions"),
    "few words": (
        transformers.BertConfig(**{**BERT, "vocab_size": 90}),
        r"tokenizer has ids up to \d+, but config.json has vocab_size 90",
    ),
    "no multiple choice": (
        transformers.DebertaConfig(**BERT),
        r"\(deberta\) cannot serve tasks of type mcc: transformers has no AutoModelForMultipleChoice for its family; leave the mcc tasks",
    ),
}


@pytest.mark.parametrize("what", NO_ENCODERS)
def test_an_encoder_that_cannot_serve_is_refused_before_training(what, config, tmp_path):
    kind, why = NO_ENCODERS[what]
    with pytest.raises(EncoderError, match=why):
        train(config(encoder=str(bare(tmp_path / "it", kind, cased()))))
    assert not (tmp_path / "run").exists()


def without_pad():
    tokenizer = cased()
    tokenizer.pad_token = None
    return tokenizer


def without_bars():
    tokenizer = cased()
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.CharDelimiterSplit("|")
    return tokenizer


def framed(pair: str | None):
    """A tokenizer with this template for pairs; None: without special tokens."""
    tokenizer, ids = cased(), [("[CLS]", 2), ("[SEP]", 3)]
    template = processors.TemplateProcessing(single="[CLS] $A", pair=pair or "$A $B", special_tokens=ids)
    tokenizer.backend_tokenizer.post_processor = template if pair else processors.ByteLevel(trim_offsets=False)
    return tokenizer


NO_TOKENIZERS = {
    "no pad": (without_pad, "its tokenizer has no pad token"),
    "no special token": (lambda: framed(None), "puts no special token first"),
    "no [CLS]": (lambda: framed("$A [SEP] $B [SEP]"), "puts no special token first"),
    "no letter |": (without_bars, "the tokenizer leaves '|' of .* in no token, so answers would lose it: .*; use one with another"),
    "no separator": (lambda: framed("[CLS] $A $B [SEP]"), "puts no separator between the two texts of a pair; tokenizer.json needs"),
}


@pytest.mark.parametrize("what", NO_TOKENIZERS)
def test_a_tokenizer_that_cannot_serve_is_refused_before_training(what, config, tmp_path):
    make, why = NO_TOKENIZERS[what]
    with pytest.raises(EncoderError, match=f"'it': .*{why}"):
        train(config(encoder=str(bare(tmp_path / "it", transformers.BertConfig(**BERT), make()))))
    assert not (tmp_path / "run").exists()


def test_a_slow_tokenizer_and_pickled_weights_are_refused_before_training(config, tmp_path):
    slow = bare(tmp_path / "slow", transformers.CanineConfig(**SMALL), transformers.CanineTokenizer())
    with pytest.raises(EncoderError, match="'slow' has a slow tokenizer, without character offsets"):
        train(config(encoder=str(slow)))
    japanese = bare(tmp_path / "japanese", transformers.BertConfig(**BERT), cased())
    (japanese / "tokenizer.json").unlink()
    (japanese / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n東\n")
    (japanese / "tokenizer_config.json").write_text('{"tokenizer_class": "BertJapaneseTokenizer", "word_tokenizer_type": "mecab"}')
    with pytest.raises(EncoderError, match="'japanese' has a slow tokenizer, without character offsets; add tokenizer.json"):
        train(config(encoder=str(japanese)))
    pickled = shutil.copytree(slow, tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(EncoderError, match=r"must hold config.json and \*.safetensors \(pickled weights are not read\)"):
        train(config(encoder=str(pickled)))
    (slow / "config.json").write_text('{"model_type": "none such"}')
    with pytest.raises(EncoderError, match=r"'slow': its config.json belongs to no model that transformers knows"):
        train(config(encoder=str(slow)))
    assert not (tmp_path / "run").exists()


def test_a_family_without_multiple_choice_trains_on_the_other_tasks(config, tmp_path):
    encoder = make_encoder(tmp_path / "deberta", transformers.DebertaConfig(**BERT, relative_attention=True), cased())
    run = train(config(encoder=encoder, tasks=["squad", "cola"], train_limit=12, max_steps=2))
    assert set(run.metrics) == {"squad", "cola"}


def test_a_head_on_another_base_model_is_refused(config, tmp_path):
    """Funnel's classifier has a base model without the decoder that restores the full length."""
    kind = transformers.FunnelConfig(vocab_size=600, block_sizes=[1, 1], d_model=16, n_head=2, d_head=8, d_inner=16)
    kind.architectures = ["FunnelModel"]
    encoder = make_encoder(tmp_path / "funnel", kind, cased())
    with pytest.raises(EncoderError, match="FunnelForSequenceClassification has another base model than FunnelModel"):
        train(config(encoder=encoder, tasks=["squad", "cola"], train_limit=12))
    assert not (tmp_path / "run").exists()
