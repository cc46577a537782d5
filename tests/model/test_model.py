"""Parity with transformers' classes, token types, one head per step (design, statements 11, 13 and 14)."""

import shutil
from pathlib import Path

import pytest
import torch
import transformers
from conftest import DIMENSIONS, FAMILIES
from safetensors.torch import load_file, save_file

from mtdnn_kit.errors import EncoderError
from mtdnn_kit.inference.exporting import write_task
from mtdnn_kit.model.multitask import build_model, load_encoder_config, load_model, load_tokenizer, save_model, takes_token_types
from mtdnn_kit.tasks import TYPES, spans
from mtdnn_kit.tasks.tokens import tokenize
from mtdnn_kit.training.optim import make_optimizer

SPECS = {
    "squad": {"type": "qa", "labels": 2},
    "swag": {"type": "mcc", "labels": 1},
    "mnli": {"type": "sc", "labels": 3, "names": ["entailment", "neutral", "contradiction"]},
}


@pytest.fixture(params=FAMILIES)
def family(request, families):
    return families[request.param]


def model_of(path: str, seed: int = 0, **dropouts):
    rates = {"encoder_dropout": 0.1, "head_dropout": 0.3, **dropouts}
    return build_model(Path(path), SPECS, max_length=64, seed=seed, **rates).eval(), load_tokenizer(Path(path))


def batch_of(tokenizer, task: str, types: bool) -> dict[str, torch.Tensor]:
    """Two rows, the second padded; for mcc, two rows of three choices."""
    pairs = [("Where does the Rhine rise?", "In the Alps, in the Swiss canton of Graubünden."), ("Where?", "In the Alps.")]
    pairs = [(q, c + " x" * n) for q, c in pairs for n in range(3)] if task == "swag" else pairs
    batch = tokenizer(*map(list, zip(*pairs, strict=True)), padding=True, return_tensors="pt", return_token_type_ids=types)
    return {name: x.view(2, 3, -1) if task == "swag" else x for name, x in batch.items()}


def logits_of(out) -> torch.Tensor:
    return torch.stack([out.start_logits, out.end_logits], -1) if hasattr(out, "start_logits") else out.logits


@pytest.mark.parametrize("task", SPECS)
def test_13_logits_equal_those_of_transformers_class_with_the_same_weights(family, task, tmp_path):
    """transformers' class for that head loads the exported folder, without the kit."""
    model, tokenizer = model_of(family)
    write_task(model, tokenizer, task, tmp_path)
    theirs, info = getattr(transformers, TYPES[SPECS[task]["type"]].HEAD).from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    batch = batch_of(tokenizer, task, takes_token_types(model.encoder.config))
    with torch.no_grad():
        ours, wanted = model(task, batch), logits_of(theirs.eval()(**batch))
    if task == "squad":
        real = batch["attention_mask"].bool()
        assert torch.isinf(ours[~real]).all()
        ours, wanted = ours[real], wanted[real]
    torch.testing.assert_close(ours, wanted, rtol=1e-5, atol=1e-6)
    assert ours.std() > 0


def test_13_an_exported_classifier_names_its_labels(tiny, tmp_path):
    model, tokenizer = model_of(tiny)
    write_task(model, tokenizer, "mnli", tmp_path)
    assert transformers.AutoConfig.from_pretrained(tmp_path).id2label == {0: "entailment", 1: "neutral", 2: "contradiction"}


def test_14_token_types_are_used_only_by_the_families_that_take_them(families):
    takes = {name: takes_token_types(load_encoder_config(Path(path), 64)) for name, path in families.items()}
    assert {name for name, types in takes.items() if types} == {"bert", "electra", "albert"}


def test_14_token_types_change_berts_logits(tiny):
    model, tokenizer = model_of(tiny)
    batch = batch_of(tokenizer, "mnli", True)
    with torch.no_grad():
        assert not torch.allclose(model("mnli", batch), model("mnli", {**batch, "token_type_ids": batch["token_type_ids"] * 0}))


def test_14_a_pair_has_each_familys_special_tokens(family):
    _, tokenizer = model_of(family)
    frame = spans.pair_frame(tokenizer)
    q, c = tokenize(tokenizer, ["Where?", "In the Alps."])
    assert [*frame.prefix, *q.ids, *frame.middle, *c.ids, *frame.suffix] == tokenizer("Where?", "In the Alps.")["input_ids"]


def test_padding_changes_nothing(family):
    model, tokenizer = model_of(family)
    batch = batch_of(tokenizer, "mnli", takes_token_types(model.encoder.config))
    length = int(batch["attention_mask"][1].sum())
    alone = {name: x[1:, :length] for name, x in batch.items()}
    with torch.no_grad():
        torch.testing.assert_close(model("mnli", batch)[1:], model("mnli", alone), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("optimizer", ["adamax", "adamw"])
@pytest.mark.parametrize("task", SPECS)
def test_11_a_step_changes_only_the_encoder_and_the_tasks_head(tiny, task, optimizer):
    model, tokenizer = model_of(tiny)
    model.train()
    update = make_optimizer(optimizer, model, 0.1, weight_decay=0.5)
    for other in SPECS:  # gives every head optimizer moments, which must then stay unchanged
        model(other, batch_of(tokenizer, other, True)).nan_to_num(neginf=0).pow(2).sum().backward()
    update.step(), update.zero_grad(set_to_none=True)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    moments = {name: {k: torch.as_tensor(v).clone() for k, v in update.state[p].items()} for name, p in model.named_parameters()}
    model(task, batch_of(tokenizer, task, True)).nan_to_num(neginf=0).pow(2).sum().backward()
    update.step()
    for name, p in model.named_parameters():
        mine = name.startswith(("encoder.", f"heads.{task}."))
        mine = mine and not (task == "squad" and "pooler" in name)  # question answering does not use the pooler
        assert (p.grad is not None) == mine, name
        if not name.endswith("key.bias"):  # softmax ignores it: its gradient is 0 up to rounding
            assert torch.equal(p, before[name]) != mine, name
        assert all(torch.equal(torch.as_tensor(update.state[p][k]), v) for k, v in moments[name].items()) != mine, name


def test_one_encoder_is_shared_and_saved_once(tiny, tmp_path):
    model, tokenizer = model_of(tiny)
    assert all(getattr(head, head.base_model_prefix) is model.encoder for head in model.heads.values())
    save_model(model, tokenizer, tmp_path)
    names = set(load_file(tmp_path / "model.safetensors"))
    assert {name.partition(".")[0] for name in names} == {"encoder", "heads"}
    assert {name for name in names if name.startswith("heads.")} == {
        f"heads.{task}.{head}.{kind}" for task, head in (("squad", "qa_outputs"), ("swag", "classifier"), ("mnli", "classifier"))
        for kind in ("weight", "bias")
    }  # fmt: skip


def test_a_saved_model_is_restored(family, tmp_path):
    """Bit for bit: the same batch through both models in one process."""
    model, tokenizer = model_of(family)
    save_model(model, tokenizer, tmp_path)
    again, tokenizer = load_model(tmp_path)
    for task in SPECS:
        batch = batch_of(tokenizer, task, takes_token_types(model.encoder.config))
        with torch.no_grad():
            assert torch.equal(model(task, batch), again(task, batch))


def test_a_heads_initial_weights_depend_only_on_seed_and_task(tiny):
    def head(model, task="mnli"):
        return model.heads[task].classifier.weight

    torch.manual_seed(7)
    one = model_of(tiny)[0]
    torch.manual_seed(8)
    same, other = model_of(tiny)[0], model_of(tiny, seed=1)[0]
    assert torch.equal(head(one), head(same)) and not torch.equal(head(one), head(other))


def test_two_tasks_of_a_type_start_from_different_weights(tiny):
    """A task's initial weights depend neither on the other tasks nor on their order."""
    pairs = {"type": "sc", "labels": 2, "names": ["no", "yes"]}
    specs = {"squad": SPECS["squad"], "again": SPECS["squad"], "cola": pairs, "mrpc": pairs, "swag": SPECS["swag"], "codah": SPECS["swag"]}

    def heads(specs: dict) -> dict[str, torch.Tensor]:
        model = build_model(Path(tiny), specs, 0.1, 0.3, max_length=64, seed=3)
        weights = {task: dict(model.heads[task].named_parameters()) for task in specs}
        return {task: own["qa_outputs.weight" if "qa_outputs.weight" in own else "classifier.weight"] for task, own in weights.items()}

    found = heads(specs)
    for one, two in (("squad", "again"), ("cola", "mrpc"), ("swag", "codah")):
        assert found[one].shape == found[two].shape and not torch.equal(found[one], found[two])
    for task in specs:
        assert torch.equal(heads({task: specs[task]})[task], found[task])
    assert all(torch.equal(x, found[task]) for task, x in heads(dict(reversed(specs.items()))).items())


def test_encoder_and_heads_have_their_dropout_rates(tiny):
    model, _ = model_of(tiny, encoder_dropout=0.25, head_dropout=0.5)
    rates = {m.p for m in model.encoder.modules() if isinstance(m, torch.nn.Dropout)}
    assert rates == {0.25} and model.heads["mnli"].dropout.p == model.heads["swag"].dropout.p == 0.5


def test_a_model_that_is_not_a_suitable_encoder_is_refused(tmp_path, tiny):
    transformers.T5Config().save_pretrained(tmp_path / "t5")
    with pytest.raises(EncoderError, match=r"'t5' \(t5\) is an encoder-decoder"):
        load_encoder_config(tmp_path / "t5", 64)
    with pytest.raises(EncoderError, match="max_length: 600 is more than the 514 positions"):
        load_encoder_config(Path(tiny), 600)


def test_weights_of_another_model_are_refused(tiny, tmp_path):
    shutil.copytree(tiny, tmp_path / "other")
    save_file({"nonsense.weight": torch.zeros(2)}, tmp_path / "other" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(EncoderError, match=r"'other': its weights do not match its config.json: \d+ are missing, the first embeddings"):
        model_of(str(tmp_path / "other"))


def test_15_a_pooler_missing_from_the_weights_depends_only_on_the_seed(tmp_path, tokenizer):
    transformers.BertForMaskedLM(transformers.BertConfig(vocab_size=len(tokenizer), **DIMENSIONS)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    poolers = [model_of(str(tmp_path), seed=seed)[0].encoder.pooler.dense.weight for seed in (0, 0, 1)]
    assert torch.equal(poolers[0], poolers[1]) and not torch.equal(poolers[0], poolers[2])


def test_robertas_positions_begin_after_the_pad_id(families):
    assert load_encoder_config(Path(families["roberta"]), 511) and load_encoder_config(Path(families["bert"]), 514)
    with pytest.raises(EncoderError, match="max_length: 512 is more than the 511 positions"):
        load_encoder_config(Path(families["roberta"]), 512)
