"""Exported models need only transformers: a process without this kit loads them, with equal inputs and logits; their model cards."""

import ast
import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import FAMILIES, ROOT, THREADS
from huggingface_hub import ModelCard
from ties import most, of_entry, of_reply

from mtdnn_kit import Run, RunError, export, import_run, load
from mtdnn_kit.inference import exporting
from mtdnn_kit.inference.model_card import card
from mtdnn_kit.model.encoders import licence
from mtdnn_kit.model.multitask import takes_token_types
from mtdnn_kit.tasks import TYPES
from mtdnn_kit.training.setup import read_rows

KIT = Run(ROOT / "results" / "sample" / "qa-mcc-sc")
ALONE = """
import contextlib, io, json, os, re, sys
sys.modules["mtdnn_kit"] = None  # importing it fails
import torch, transformers

transformers.utils.logging.disable_progress_bar()
torch.set_num_threads(int(sys.argv[3]))
told = []
for case in json.load(open(sys.argv[1])):
    model, info = getattr(transformers, case["auto"]).from_pretrained(case["folder"], output_loading_info=True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(case["folder"])
    inputs = tokenizer(*case["texts"], return_tensors="pt", truncation=True, padding=True)
    inputs = {name: x[None] if case["auto"].endswith("MultipleChoice") else x for name, x in inputs.items()}
    with torch.inference_mode():
        out = model.eval()(**inputs)
    logits = torch.stack([out.start_logits, out.end_logits], -1) if "start_logits" in out else out.logits
    said = {"inputs": {name: x.tolist() for name, x in inputs.items()}, "logits": logits.tolist()}
    said["wrong"] = sorted(map(str, [*info["missing_keys"], *info["unexpected_keys"], *info["mismatched_keys"]]))
    if case["auto"].endswith("SequenceClassification"):
        classify = transformers.pipeline("text-classification", model=case["folder"], top_k=None, truncation=True)
        first, second = (case["texts"] + [None])[:2]
        found = classify(dict(text=first[0], text_pair=second[0]) if second else first[0])
        said["labels"] = found[0] if isinstance(found[0], list) else found
    os.chdir(case["folder"])
    code = re.findall(r"```python\\n(.*?)```", open("README.md").read(), re.DOTALL)[0]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(code, {})
    told.append({**said, "printed": printed.getvalue()})
json.dump(told, open(sys.argv[2], "w"))
assert sys.modules["mtdnn_kit"] is None
"""


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory, python) -> dict[tuple[str, str], dict]:
    """(family, task) → the kit's inputs and logits for a row, and those of a process that has only the exported folder."""
    cases, folder = {}, tmp_path_factory.mktemp("exported")
    for family in FAMILIES:
        model = load(trained(family), "cpu")
        (_, _, scored), _ = read_rows(model.config, training=False)
        for task in model.net.specs:
            row = scored[task][1]
            row = row._replace(context=row.context[:80], answers=()) if task == "squad" else row  # fits one window in each family
            cases[family, task] = case(model, task, row) | {"folder": str(export(trained(family), task, folder / family / task))}
    (folder / "cases.json").write_text(json.dumps(list(cases.values())))
    command = [*python, "-c", ALONE, folder / "cases.json", folder / "told.json", str(THREADS)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return {key: ours | {"theirs": x} for (key, ours), x in zip(cases.items(), json.loads((folder / "told.json").read_text()), strict=True)}


def case(model, task: str, row) -> dict:
    """A row as texts for a tokenizer, and the kit's inputs and logits."""
    kind, types = TYPES[model.net.specs[task]["type"]], takes_token_types(model.net.encoder.config)
    batch = kind.features([row], model.config.datasets[task], model.tokenizer, model.config, types).collate(np.array([0]))
    with torch.inference_mode():
        logits = model.net(task, batch.inputs)
    if task == "squad":
        texts = [[row.question], [row.context]]
    elif task == "swag":
        texts = [[row.context] * len(row.choices), [f"{row.start} {choice}".strip() for choice in row.choices]]
    else:
        texts = [[row.first]] if row.second is None else [[row.first], [row.second]]
    inputs = {name: x.tolist() for name, x in batch.inputs.items()}
    return {"auto": kind.HEAD, "texts": texts, "inputs": inputs, "logits": logits.tolist()}


@pytest.mark.parametrize("task", ["squad", "swag", "cola", "mrpc"])
@pytest.mark.parametrize("family", FAMILIES)
def test_13_transformers_without_the_kit_gives_the_same_inputs_and_logits(exported, family, task):
    ours, theirs = exported[family, task], exported[family, task]["theirs"]
    assert theirs["wrong"] == [] and set(theirs["inputs"]) == set(ours["inputs"])
    assert theirs["inputs"] == ours["inputs"]
    assert np.allclose(theirs["logits"], ours["logits"], rtol=1e-5, atol=1e-6) and np.std(ours["logits"]) > 0


@pytest.mark.parametrize("task", ["cola", "mrpc"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_pipeline_classifies_with_the_labels_names_and_the_kits_probabilities(exported, trained, family, task):
    first, second = [*exported[family, task]["texts"], [None]][:2]
    said = load(trained(family), "cpu").classify(first[0], second[0], task=task)
    assert {x["label"]: x["score"] for x in exported[family, task]["theirs"]["labels"]} == pytest.approx(said.probabilities, abs=1e-5)


def may_be(said, passage: str, threshold: float) -> set[str]:
    """The texts that another process may give as the answer: the same one, or one that ties with it."""
    scored = of_reply(said)
    return {"" if span is None else passage[slice(*span)] for span in (None, *scored.spans) if scored.says(span, threshold)}


@pytest.mark.parametrize("family", ["bert", "albert", "roberta"])
def test_the_code_on_the_card_gives_the_kits_reply(exported, trained, family):
    model = load(trained(family), "cpu")
    printed = {task: exported[family, task]["theirs"]["printed"] for task in ("squad", "swag", "cola", "mrpc")}
    passage = "Cork is the bark of an oak."
    said = model.answer("What gives cork?", passage)
    assert ast.literal_eval(printed["squad"]) in may_be(said, passage, said.threshold)
    endings = ["fries them in butter.", "flies to the moon.", "is an onion."]
    shares = model.choose("The cook cuts the onions.", "Then she", endings).probabilities
    assert printed["swag"].startswith(tuple(endings[i] for i in most(shares)))
    for task, second in (("cola", None), ("mrpc", "There was a tree.")):
        said = model.classify("The oak stood alone in the field.", second, task=task)
        found = ast.literal_eval(printed[task])
        found = found[0] if isinstance(found, list) else found  # the format differs between a single text and a pair
        assert found["score"] == pytest.approx(said.probabilities[found["label"]], abs=1e-5)
        assert found["score"] == pytest.approx(said.probability, abs=1e-5), "the most probable label"


def test_the_code_on_the_card_finds_the_best_span(trained, tmp_path, monkeypatch, capsys):
    """At a threshold that lets every answer through."""
    folder = export(trained("deberta-v2"), "squad", tmp_path / "it")
    code = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)[0]
    assert '".", 0.0, 30' in code
    monkeypatch.chdir(folder)
    exec(code.replace('".", 0.0, 30', '".", 1e9, 30'), {})
    passage = "Cork is the bark of an oak."
    said = load(trained("deberta-v2"), "cpu").answer("What gives cork?", passage, threshold=1e9)
    assert said.text and ast.literal_eval(capsys.readouterr().out) in may_be(said, passage, 1e9)


def test_the_hub_can_read_a_card_and_it_describes_the_run(trained):
    run = trained("bert")
    folder = export(run, "mrpc")
    assert folder == run.path / "export" / "mrpc"
    read = ModelCard.load(folder / "README.md")
    data = read.data.to_dict()
    assert data["library_name"] == "transformers" and data["pipeline_tag"] == "text-classification" and data["language"] == "en"
    assert not {"license", "datasets", "model-index", "base_model"} & set(data), "an encoder from a folder has no known source"
    for said in (
        f"| f1 | {run.metrics['mrpc']['f1']:.2f} |",
        "| n | 6 |",
        f"sha256 `{run.manifest['code']}`, version {run.manifest['kit']}",
        "max_length: 96",
        "Apache-2.0, written for",
    ):
        assert said in read.text
    assert all(record["fingerprint"] in read.text for record in run.manifest["data"].values())
    assert str(run.path.parent) not in read.content and str(Path.home()) not in read.content


def test_a_card_has_licence_base_model_and_scores_and_no_text_of_the_data():
    read = ModelCard(card(KIT, "squad"))
    assert read.data.license == "apache-2.0" and read.data.base_model == "sentence-transformers/all-MiniLM-L6-v2"
    assert read.data.pipeline_tag == "question-answering" and read.data.tags == ["mtdnn-kit", "multi-task"]
    found = json.loads((KIT.path / "metrics.json").read_text())["squad"]
    scores = (f"| f1 | {found['f1']:.2f} |", "| n | 132 |", f'threshold, longest = ".", {found["threshold"]}, 30')
    for said in (*scores, "trained together with swag, cola, mrpc, mnli"):
        assert said in read.text
    assert "held out to tune the threshold: 60 questions, 20 of them unanswerable (threshold_articles)" in read.text
    assert "Glacier" not in read.text
    assert "- It was trained on mtdnn-kit's packaged sample" in read.text
    texts = [row["context"] for row in map(json.loads, (ROOT / "mtdnn_kit/data/sample/squad/validation.jsonl").read_text().splitlines())]
    assert not any(text[:40] in read.text for text in texts)
    assert ModelCard(card(KIT, "swag")).data.pipeline_tag is None and "multiple-choice" in ModelCard(card(KIT, "swag")).data.tags


def test_a_card_lists_the_hubs_datasets_with_the_scores(tmp_path):
    manifest = KIT.manifest
    manifest["data"]["squad/validation"]["origin"] = "hub rajpurkar/squad_v2 validation (cs224n)"
    manifest["data"]["cola/train"]["origin"] = "hub nyu-mll/glue cola train"
    for name, text in {"manifest.json": json.dumps(manifest), "metrics.json": json.dumps(KIT.metrics)}.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(KIT.config))
    data = ModelCard(card(Run(tmp_path), "squad")).data
    assert data.datasets == ["rajpurkar/squad_v2", "nyu-mll/glue"]
    assert {(x.metric_type, round(x.metric_value, 2), x.dataset_split, x.dataset_args["n"]) for x in data.eval_results} == {
        (name, round(KIT.metrics["squad"][key], 2), "validation", 132) for name, key in (("exact_match", "em"), ("f1", "f1"))
    }  # fmt: skip
    text = card(Run(tmp_path), "squad")
    assert "| squad/validation | 132 | hub rajpurkar/squad_v2 validation (cs224n) | `6991415dceb2dcca` | CC BY-SA 4.0 |" in text
    assert "| cola/train | 240 | hub nyu-mll/glue cola train | `3e5ff87d454d67e8` | its authors' terms, for research |" in text


def test_a_runs_text_is_never_rendered_as_a_template(tmp_path):
    """The kit's template is rendered once: a run's text that looks like a template or a header stays text."""
    manifest, odd = KIT.manifest, "{{ 7 * 7 }} {% include '/etc/passwd' %}"
    manifest["encoder"]["name"] = manifest["machine"] = odd
    manifest["data"]["squad/train"]["origin"] = f"{odd}\n---\nlicense: mit"
    for name, text in {"manifest.json": json.dumps(manifest), "metrics.json": json.dumps(KIT.metrics)}.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(KIT.config))
    read = ModelCard(card(Run(tmp_path), "squad"))
    for said in (f"on `{odd}`", f"- machine: {odd}", f"| squad/train | 534 | {odd} --- license: mit | `a6b3d3c59aa4ac12` |"):
        assert said in read.text
    header = ModelCard(card(KIT, "squad")).data.to_dict()
    assert read.data.to_dict() == {key: value for key, value in header.items() if key != "base_model"}


def test_an_existing_folder_is_left_unchanged_and_a_failure_leaves_none(trained, tmp_path, monkeypatch):
    run = trained("bert")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("precious")
    with pytest.raises(RunError, match="mine exists already; delete it, or name another one"):
        export(run, "cola", tmp_path / "mine")
    assert [x.name for x in (tmp_path / "mine").iterdir()] == ["notes"]

    def full(*args, **options):
        raise OSError("no space left")

    monkeypatch.setattr(exporting, "write_whole", full)  # the last step of writing
    with pytest.raises(OSError, match="no space left"):
        export(run, "cola", tmp_path / "new")
    assert sorted(x.name for x in tmp_path.iterdir()) == ["mine"]


def test_a_failure_to_export_states_a_remedy(trained, tmp_path):
    with pytest.raises(RunError, match="task: 'mnli' is not a task of .*; choose from squad, swag, cola, mrpc"):
        export(trained("bert"), "mnli", tmp_path / "new")
    with pytest.raises(RunError, match="has no model/ to ask"):
        export(KIT, "squad", tmp_path / "new")
    with pytest.raises(RunError, match="there is no such folder; correct the path"):
        export(tmp_path / "nowhere", "squad", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_exporting_does_not_change_the_shared_model(trained, tmp_path):
    """Replies before and after, in one process, are equal bit for bit."""
    model = load(trained("distilbert"), "cpu")
    before = model.classify("A cat sat.", task="cola"), list(model.tokenizer.model_input_names), model.tokenizer.model_max_length
    export(trained("distilbert"), "cola", tmp_path / "it")
    assert before == (model.classify("A cat sat.", task="cola"), model.tokenizer.model_input_names, model.tokenizer.model_max_length)


def test_an_imported_model_can_be_exported_and_its_card_says_so(trained, tmp_path):
    folder = export(trained("electra"), "squad", tmp_path / "one")
    theirs = import_run(folder, tmp_path / "run", eval_limit=4, max_length=96, overlap=10, device="cpu", precision="fp32")
    text = (export(theirs, "squad") / "README.md").read_text()
    assert "imported into mtdnn-kit and not trained by it" in text and ModelCard(text).data.pipeline_tag == "question-answering"
    ours = {entry["id"]: of_entry(entry) for entry in trained("electra").nbest()}
    assert len(theirs.answers()) == 4 and all(of_entry(entry).like(ours[entry["id"]]) for entry in theirs.nbest())


def test_an_encoders_licence_comes_from_its_card(tmp_path, monkeypatch):
    assert licence("sentence-transformers/all-MiniLM-L6-v2") == "apache-2.0"
    assert licence(str(tmp_path / "nowhere")) is None and licence("nobody/nothing") is None
    for text, found in {
        "---\nlicense: mit\n---\n": "mit", "# no header\nlicense: mit": None, "---\nlicense: [a, b]\n---": None, "---\n: [\n---": None,
        "---\ntags: x\n---\nlicense: mit": None, "": None,
    }.items():  # fmt: skip
        (tmp_path / "README.md").write_text(text)
        assert licence(str(tmp_path)) == found, text
    monkeypatch.setenv("MTDNN_ENCODERS", str(tmp_path))
    (tmp_path / "my" / "encoder").mkdir(parents=True)
    (tmp_path / "my" / "encoder" / "README.md").write_text("---\nlicense: cc0-1.0\n---\n")
    assert licence("my/encoder") == "cc0-1.0"
