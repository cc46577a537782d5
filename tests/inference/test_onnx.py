"""The lines of docs/trained-models.md (test_documents compares them): an exported model as ONNX gives the logits of torch's."""

import inspect

import numpy as np
import pytest
import torch
from conftest import FAMILIES
from ties import of_reply
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

from mtdnn_kit import export, load

pytest.importorskip("onnx", reason="torch.onnx.export needs onnx, which the kit does not install")
pytest.importorskip("onnxruntime", reason="needs onnxruntime, which the kit does not install")
pytestmark = pytest.mark.filterwarnings("ignore")  # torch's tracer warns of each shape that Python reads; the tests compare results
QUESTION, PASSAGE = "What gives cork?", "Cork is the bark of an oak. It floats, and it burns slowly."


def to_onnx(folder):
    """Writes model.onnx into the folder of an exported question answering model: from tokens to logits of start and end."""
    model, tokenizer = AutoModelForQuestionAnswering.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    batch = tokenizer(["Who sat?"] * 2, ["A cat sat."] * 2, return_tensors="pt")
    names = [name for name in inspect.signature(model.forward).parameters if name in batch]  # the model's order, not the tokenizer's
    axes = {name: {0: "batch", 1: "tokens"} for name in (*names, "start", "end")}
    options = dict(input_names=names, output_names=["start", "end"], dynamic_axes=axes, opset_version=18, dynamo=False)
    torch.onnx.export(model, tuple(batch[name] for name in names), f"{folder}/model.onnx", **options)


def answer(folder, question, context, threshold, longest=30):
    """What the call in the folder's README.md answers, by onnxruntime; threshold and longest stand there."""
    import onnxruntime

    session, tokenizer = onnxruntime.InferenceSession(f"{folder}/model.onnx"), AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(question, context, truncation="only_second", return_offsets_mapping=True, return_tensors="np")
    offsets = inputs.pop("offset_mapping")[0].tolist()
    read = enumerate(zip(inputs.sequence_ids(0), inputs.tokens(0), offsets))
    inside = [i for i, (part, token, (a, b)) in read if part == 1 and token != "▁" and context[a:b].strip()]
    start, end = (logits[0] for logits in session.run(None, dict(inputs)))
    i, j = max(((i, j) for i in inside for j in inside if i <= j < i + longest), key=lambda span: start[span[0]] + end[span[1]])
    return context[offsets[i][0] : offsets[j][1]].strip() if start[0] + end[0] - start[i] - end[j] <= threshold else ""


@pytest.fixture(scope="module", params=FAMILIES)
def exported(request, trained, tmp_path_factory):
    """A family's run, and its question answering model in a folder with model.onnx."""
    folder = export(trained(request.param), "squad", tmp_path_factory.mktemp("onnx") / request.param)
    to_onnx(folder)
    return trained(request.param), folder


def test_onnx_gives_torchs_logits_for_any_number_of_texts_and_tokens(exported):
    """One text and several padded ones, other than the two traced ones."""
    import onnxruntime

    folder = exported[1]
    model, tokenizer = AutoModelForQuestionAnswering.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    session = onnxruntime.InferenceSession(f"{folder}/model.onnx")
    assert {x.name for x in session.get_inputs()} == set(tokenizer.model_input_names)
    for contexts in ([PASSAGE], ["An oak.", PASSAGE, "Nothing burns."], [PASSAGE * 4]):
        inputs = tokenizer([QUESTION] * len(contexts), contexts, padding=True, truncation="only_second", return_tensors="np")
        with torch.inference_mode():
            out = model(**{name: torch.tensor(x) for name, x in inputs.items()})
        start, end = session.run(None, dict(inputs))
        assert start.shape == end.shape == inputs["input_ids"].shape
        assert np.allclose(start, out.start_logits, rtol=0, atol=1e-4) and np.allclose(end, out.end_logits, rtol=0, atol=1e-4)
        assert min(start.std(), end.std()) > 1e-3, "constant logits would agree anyway"


def test_onnx_answers_like_the_kit(exported):
    """The best span at a threshold that admits every answer, and none at one that admits no answer."""
    run, folder = exported
    reply = of_reply(load(run, "cpu").answer(QUESTION, PASSAGE, threshold=1e9))
    said = answer(folder, QUESTION, PASSAGE, 1e9)
    assert said and said in {PASSAGE[slice(*span)] for span in reply.spans if reply.says(span, 1e9)}
    assert answer(folder, QUESTION, PASSAGE, -1e9) == ""
