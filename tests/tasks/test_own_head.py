"""A task type whose head is not a transformers class: tests/san.py, MT-DNN's stochastic answer network."""

from pathlib import Path

import numpy as np
import pytest
import san
import torch
from conftest import changed
from sameness import Stopped, log_of, weights_of

from mtdnn_kit import Config, ConfigError, Run, prepare, train
from mtdnn_kit.errors import EncoderError, RunError
from mtdnn_kit.inference.exporting import export
from mtdnn_kit.inference.loading import load
from mtdnn_kit.model.multitask import build_model
from mtdnn_kit.training.log import Recorder

DEFINE = {"type": "san", "folder": "mrpc", "columns": {"first": "sentence1", "second": "sentence2", "label": "label"}}
DEFINE |= {"labels": ["no", "yes"], "metrics": ["f1", "accuracy"]}
PAIRS = dict(tasks=["pairs", "cola"], define={"pairs": DEFINE}, qa_weight=0.7, max_steps=6)


@pytest.fixture
def model_and_inputs(config):
    setup = prepare(config(**PAIRS))
    return build_model(setup.encoder.path, setup.specs, 0.0, 0.4, 96, 0), setup.train["pairs"].collate(np.arange(3)).inputs


def whole_and_resumed(made: Config, folder: Path) -> tuple[Run, Run]:
    """A run, and the same one stopped after its fifth step and resumed."""
    broken, add = changed(made, run_dir=str(folder / "broken")), Recorder.add

    def until(self, step, *figures):
        add(self, step, *figures)
        if step + 1 == 5:
            raise Stopped

    with pytest.MonkeyPatch.context() as patched, pytest.raises(Stopped):
        patched.setattr(Recorder, "add", until)
        train(broken)
    return train(changed(made, run_dir=str(folder / "whole"))), train(changed(broken, resume=True))


def test_it_is_trained_scored_loaded_and_resumed_bit_for_bit(config, tmp_path):
    made = config(**PAIRS, checkpoint_every=2, log_every=1, learning_rate=1e-3)
    whole, again = whole_and_resumed(made, tmp_path)
    one, two = weights_of(whole), weights_of(again)
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one) and log_of(whole) == log_of(again)
    assert "heads.pairs.layers.cell.weight_hh" in one and whole.metrics == again.metrics and whole.metrics["pairs"]["n"] == 6
    net = load(whole, "cpu").net
    start = build_model(prepare(made).encoder.path, prepare(made).specs, 0.1, 0.3, 96, 0)
    moved = [not torch.equal(p, start.get_parameter(name)) for name, p in net.named_parameters() if name.startswith("heads.pairs.")]
    assert len(moved) == 8 and all(moved), "every parameter of the head changes"

    with pytest.raises(RunError) as refused:
        export(whole, "pairs")
    assert str(refused.value).startswith("task: 'pairs' cannot be exported: its head, StochasticAnswer, is not a transformers class")
    assert not (whole.path / "export").exists() and export(whole, "cola").is_dir(), "its other tasks can be exported"
    assert Run(whole.path).types == {"pairs": "san", "cola": "sc"}


def test_its_answer_is_the_mean_of_its_steps_by_the_papers_formula(model_and_inputs):
    """In numpy, one sentence at a time, without padding."""
    model, inputs = model_and_inputs
    layers = model.eval().heads["pairs"].layers
    with torch.no_grad():
        found, states = model("pairs", inputs).exp().numpy(), model.encoder(**inputs).last_hidden_state.numpy()
    w = {name: p.detach().numpy().astype(float) for name, p in layers.named_parameters()}

    def softmax(x):
        return np.exp(x - x.max()) / np.exp(x - x.max()).sum()

    def gru(s, x):
        gates_x, gates_s = (np.split(w[f"cell.weight_{k}"] @ v + w[f"cell.bias_{k}"], 3) for k, v in (("ih", x), ("hh", s)))
        reset, update = (1 / (1 + np.exp(-a - b)) for a, b in zip(gates_x[:2], gates_s[:2], strict=True))
        return (1 - update) * np.tanh(gates_x[2] + reset * gates_s[2]) + update * s

    for i in range(3):
        real, types = inputs["attention_mask"][i].numpy() == 1, inputs["token_type_ids"][i].numpy()
        one, two = states[i][real & (types == 0)], states[i][real & (types == 1)]
        s, answers = softmax(two @ w["start.weight"][0]) @ two, []
        for _ in range(5):
            x = softmax(one @ (w["look.weight"] @ s)) @ one
            s = gru(s, x)
            answers.append(softmax(w["answer.weight"] @ np.concatenate([s, x, abs(s - x), s * x]) + w["answer.bias"]))
        assert found[i] == pytest.approx(np.mean(answers, axis=0), abs=1e-5) and found[i].sum() == pytest.approx(1, abs=1e-5)


def test_training_drops_answers_and_the_rest_is_a_probability(model_and_inputs):
    model, inputs = model_and_inputs
    layers = model.heads["pairs"].layers
    assert layers.dropout.p == 0.4, "head_dropout"
    model.train()
    torch.manual_seed(0)
    with torch.no_grad():
        several = torch.stack([model("pairs", inputs).exp() for _ in range(4)])
        assert torch.allclose(several.sum(-1), torch.ones(4, 3), atol=1e-5) and several.std(0).max() > 0
        layers.dropout.p = 0.99999
        all_dropped = model("pairs", inputs)
        layers.dropout.p = 0.0
        assert torch.allclose(all_dropped, model("pairs", inputs), atol=1e-6), "if all would be dropped, all are kept"


def test_a_single_sentence_serves_as_both_texts():
    inputs = {"attention_mask": torch.tensor([[1, 1, 0], [1, 1, 1]]), "token_type_ids": torch.tensor([[0, 0, 0], [0, 1, 1]])}
    first, second = san.masks(inputs)
    assert first.tolist() == [[True, True, False], [True, False, False]]
    assert second.tolist() == [[True, True, False], [False, True, True]]


def test_encoders_without_token_types_are_refused_by_name(config, families):
    with pytest.raises(EncoderError, match="^type 'san': its head tells two texts apart by token types, and this encoder has none"):
        train(config(**PAIRS, encoder=families["distilbert"]))
    with pytest.raises(ConfigError, match="^define.pairs.labels must name at least two"):
        config(**{**PAIRS, "define": {"pairs": {**DEFINE, "labels": []}}})


class Counted(san.StochasticAnswer):
    """Its head also keeps what no gradient changes."""

    def __init__(self, config) -> None:
        super().__init__(config)
        self.register_buffer("shift", torch.randn(1))
        self.register_buffer("scratch", torch.zeros(2), persistent=False)

    def forward(self, states, inputs):
        with torch.no_grad():
            self.shift += 0.25 * self.training
        return super().forward(states, inputs) + torch.cat([self.shift, -self.shift])


def test_what_a_head_keeps_besides_weights_is_saved_loaded_and_resumed(config, tmp_path, monkeypatch):
    monkeypatch.setattr(san, "HEAD", Counted)
    whole, again = whole_and_resumed(config(**PAIRS, checkpoint_every=2, log_every=1), tmp_path)
    kept = weights_of(whole)
    assert "heads.pairs.layers.shift" in kept and "heads.pairs.layers.scratch" not in kept
    assert all(torch.equal(x, weights_of(again)[name]) for name, x in kept.items())
    assert list(whole.choices("pairs")) == list(again.choices("pairs"))
    net = load(whole, "cpu").net
    assert torch.equal(net.heads["pairs"].layers.shift, kept["heads.pairs.layers.shift"])
