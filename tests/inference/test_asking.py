"""Custom questions: a reply equals the run's prediction, heat equals transformers' softmax, models are loaded once."""

import gc
import os
import shutil
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TEXTS, THREADS
from hypothesis import given, settings
from hypothesis import strategies as st
from ties import Scored, of_entry

from mtdnn_kit import Config, Run, RunError, ask, train
from mtdnn_kit.compare import pairing
from mtdnn_kit.inference.asking import Model, answer, heat, load
from mtdnn_kit.inference.asking import ask as reply_of
from mtdnn_kit.metrics import exact
from mtdnn_kit.model import evaluation
from mtdnn_kit.model.multitask import build_model, load_tokenizer, takes_token_types

PASSAGE = "Cork is the bark of an oak. In Portugal farmers strip it every nine years, with axes; it is light, and floats."
QUESTION = "Where do farmers strip cork?"


@pytest.fixture(scope="module")
def run(tiny, tmp_path_factory) -> Run:
    """A run of the tiny encoder with a tuned threshold; some passages need several windows."""
    small = dict(encoder=tiny, max_steps=30, batch_size=4, precision="fp32", device="cpu", threads=THREADS, max_length=96, overlap=10)
    folder = str(tmp_path_factory.mktemp("asking") / "run")
    return train(Config(**small, tasks=["squad", "cola"], qa_weight=0.9, threshold_articles=["Cork"], run_dir=folder))


def model_of(path: str, **settings) -> Model:
    """A model of an encoder family with an untrained head and windows of 64 tokens."""
    config = Config(max_length=64, max_question=20, overlap=10, **settings)
    net = build_model(Path(path), {"squad": {"type": "qa", "labels": 2}}, 0.0, 0.0, 64, seed=3).eval()
    return Model("family", net, load_tokenizer(Path(path)), config, "fp32", {"squad": 0.0}, "squad")


@pytest.fixture(params=["bert", "distilbert", "roberta", "modernbert"])
def model(request, families) -> Model:
    return model_of(families[request.param])


def plain_windows(model: Model, question: str, context: str) -> list[list[tuple]]:
    """Without the kit's code: per window (part, start, end, P(start), P(end)) of each position, by transformers' tokenizer and head."""
    coded = model.tokenizer(
        question,
        context,
        truncation="only_second",
        max_length=model.config.max_length,
        stride=model.config.overlap,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        return_token_type_ids=takes_token_types(model.net.encoder.config),
    )
    found = []
    for w, ids in enumerate(coded["input_ids"]):
        inputs = {k: torch.tensor([coded[k][w]]) for k in ("input_ids", "attention_mask", "token_type_ids") if k in coded}
        with torch.inference_mode():
            out = model.net.heads["squad"](**inputs)
        start, end = (x[0].double().softmax(0).tolist() for x in (out.start_logits, out.end_logits))
        found.append([(coded.sequence_ids(w)[i], *coded["offset_mapping"][w][i], start[i], end[i]) for i in range(len(ids))])
    return found


def test_a_question_of_the_data_gets_the_runs_answer(run):
    """Single here, batched in the run: scores are equal up to rounding, answers at any threshold up to ties."""
    model, questions, entries = load(run), pairing.pair({"it": run}), {entry["id"]: entry for entry in run.nbest()}
    assert {q.windows > 1 for q in questions} == {False, True}
    for q in questions[::5]:
        asked, wrote, entry = (q.row.question, q.row.context), q.replies["it"], of_entry(entries[q.row.id])
        found = answer(model, *asked)
        assert Scored(found.null, {span[:2]: span.score for span in found.spans}).like(entry)
        for threshold in (model.threshold, wrote.diff - 0.01, wrote.diff + 0.01):
            said = reply_of(model, *asked, threshold)
            assert entry.says(None if said.start is None else (said.start, said.end), threshold)
            assert said.text == ("" if said.start is None else q.row.context[said.start : said.end])
            assert said.diff == pytest.approx(wrote.diff, abs=1e-4) and said.nothing == pytest.approx(wrote.nothing, abs=1e-5)
            assert said.probability == pytest.approx(said.nothing if said.start is None else wrote.best[0][2], abs=1e-5)
            assert len(said.best) == len(wrote.best) and said.em is said.f1 is said.span_em is None


def test_the_threshold_decides_and_the_runs_is_the_default(run):
    """The same computation repeated in one process: equal bit for bit."""
    model = load(run)
    assert model.threshold == run.metrics["squad"]["threshold"] != 0
    diff, said = answer(model, QUESTION, PASSAGE).diff, reply_of(model, QUESTION, PASSAGE)
    assert (said.start is None) == (diff > model.threshold)
    at, below = (reply_of(model, QUESTION, PASSAGE, threshold) for threshold in (diff, np.nextafter(diff, -np.inf)))
    assert (at.start, at.end) == at.best[0][:2] and at.text == PASSAGE[at.start : at.end] and at.probability == at.best[0][2]
    assert (below.start, below.end, below.text, below.probability) == (None, None, "", below.nothing)
    assert ask(run, QUESTION, PASSAGE)[0] == said.text and ask(run, QUESTION, PASSAGE, "squad")[1] == answer(model, QUESTION, PASSAGE)


def test_a_model_is_loaded_once_and_again_if_its_file_changes(run, tmp_path):
    folder = shutil.copytree(run.path, tmp_path / "run")
    first = load(Run(folder))
    assert load(Run(folder), "squad").net is first.net and not first.net.training
    weights = folder / "model" / "model.safetensors"
    os.utime(weights, ns=(1, 1))
    assert load(Run(folder)).net is not first.net


def test_at_most_six_models_stay_in_memory(run, tmp_path):
    folders = [shutil.copytree(run.path, tmp_path / str(i)) for i in range(7)]
    held = [weakref.ref(load(Run(folder)).net) for folder in folders]
    gc.collect()
    assert [ref() is None for ref in held] == [True] + [False] * 6


def test_a_run_without_a_usable_model_is_refused_with_a_remedy(run, tmp_path):
    run.keep(tmp_path / "kept")
    with pytest.raises(RunError, match=r"kept has no model/ to ask: .* copy the folder model/ from where the run was made"):
        load(Run(tmp_path / "kept"))
    with pytest.raises(RunError, match=": task 'cola' does not answer questions"):
        load(run, "cola")
    with pytest.raises(RunError, match="there is no such folder; correct the path"):
        load(Run(tmp_path / "nowhere"))
    other = shutil.copytree(run.path, tmp_path / "other")
    (other / "model" / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(RunError, match=r"other: its model cannot be loaded .*copy model/ again"):
        load(Run(other))


def test_an_unpaired_surrogate_is_refused_with_its_place(run):
    with pytest.raises(ValueError, match="the question has an unpaired surrogate at character 4"):
        reply_of(load(run), "What\ud83d?", PASSAGE)
    with pytest.raises(ValueError, match="the passage has an unpaired surrogate at character 0"):
        heat(load(run), "What?", "\ude00")


def test_heat_equals_transformers_softmax_in_one_window(model):
    passage = "In the Alps, in the Swiss canton."
    found, (window,) = heat(model, "Where?", passage), plain_windows(model, "Where?", passage)
    tokens = [x for x in window if x[0] == 1]
    assert [passage[a:b] for a, b in zip(found.starts, found.ends, strict=True)] == [passage[a:b].strip() for _, a, b, *_ in tokens]
    for mine, nothing, at in ((found.p_start, found.nothing_start, 3), (found.p_end, found.nothing_end, 4)):
        assert mine == pytest.approx([x[at] for x in tokens], abs=1e-5) and nothing == pytest.approx(window[0][at], abs=1e-5)
        rest = sum(x[at] for i, x in enumerate(window) if i and x[0] != 1)
        assert mine.sum() + nothing + rest == pytest.approx(1, abs=1e-5) and rest > 0


def test_heat_is_the_maximum_over_windows_and_for_no_answer_the_minimum(model):
    passage, question = f"{PASSAGE} {PASSAGE[::-1]} {PASSAGE}", "Where does it rise?"
    found, windows = heat(model, question, passage), plain_windows(model, question, passage)
    assert len(windows) > 2
    for mine, nothing, at in ((found.p_start, found.nothing_start, 3), (found.p_end, found.nothing_end, 4)):
        step, most = sum(x[0] == 1 for x in windows[0]) - model.config.overlap, np.zeros(len(found.starts))
        for w, window in enumerate(windows):
            values = np.array([x[at] for x in window if x[0] == 1])
            most[w * step : w * step + len(values)] = np.maximum(most[w * step : w * step + len(values)], values)
        assert mine == pytest.approx(most, abs=1e-5) and nothing == pytest.approx(min(x[0][at] for x in windows), abs=1e-5)
    assert found.nothing_start < max(x[0][3] for x in windows)


def test_a_passage_of_25000_characters_is_read_in_few_batches(run):
    model, passage = load(run), (PASSAGE + " ") * 228
    calls = []
    hook = model.net.encoder.register_forward_hook(lambda module, args, kwargs, out: calls.append(len(out[0])), with_kwargs=True)
    found = heat(model, QUESTION, passage[:25_000])
    hook.remove()
    assert len(found.starts) > 5000 and (found.p_start > 0).all() and (found.p_end > 0).all()
    assert sum(calls) > 70 and len(calls) == -(-sum(calls) // (8192 // 96))
    said = reply_of(model, QUESTION, passage[:25_000], threshold=1e9)
    assert said.text and said.start in found.starts and said.end in found.ends


@pytest.mark.parametrize("tokens", [1, 200])
def test_windows_give_the_same_result_in_any_batches(run, monkeypatch, tokens):
    passage, model = f"{PASSAGE} {PASSAGE[::-1]} {PASSAGE}", load(run)
    said, found = answer(model, QUESTION, passage), heat(model, QUESTION, passage)
    monkeypatch.setattr(evaluation, "TOKENS", tokens)
    again, warmth = answer(model, QUESTION, passage), heat(model, QUESTION, passage)
    assert again.null == pytest.approx(said.null, abs=1e-4)
    assert [span.score for span in again.spans] == pytest.approx([span.score for span in said.spans], abs=1e-4)
    assert warmth.p_start == pytest.approx(found.p_start, abs=1e-5) and warmth.p_end == pytest.approx(found.p_end, abs=1e-5)


@pytest.mark.parametrize("passage", ["", " ", "\n\t", "\u200b", ".", "👩‍🚀", "x" * 300])
def test_odd_passages_have_an_answer_and_a_heat(model, passage):
    said, found = reply_of(model, "Who?", passage), heat(model, "Who?", passage)
    assert len(found.starts) == len(found.ends) == len(found.p_start) == len(found.p_end) and 0 < found.nothing_start < 1
    assert said.text == ("" if said.start is None else passage[said.start : said.end])
    if not passage.strip():
        assert said.start is None and not said.best and said.nothing == 1
    assert reply_of(model, "", passage).diff is not None


@settings(max_examples=25, deadline=None)
@given(question=TEXTS, passage=TEXTS, name=st.sampled_from(["bert", "roberta"]))
def test_any_text_gets_an_answer_and_a_heat(families, question, passage, name):
    if name not in MODELS:
        MODELS[name] = model_of(families[name])
    model = MODELS[name]
    said, found = reply_of(model, question, passage, threshold=1e9), heat(model, question, passage)
    assert ((found.starts >= 0) & (found.starts <= found.ends) & (found.ends <= len(passage))).all()
    assert all(passage[a:b] == passage[a:b].strip() for a, b in zip(found.starts.tolist(), found.ends.tolist(), strict=True))
    assert ((found.p_start > 0) & (found.p_start < 1)).all() and ((found.p_end > 0) & (found.p_end < 1)).all()
    assert (said.start is None) == (not said.best) and exact(said.text, [passage[said.start or 0 : said.end or 0]])


MODELS: dict[str, Model] = {}
