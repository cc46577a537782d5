"""The promises of SECURITY.md, each with an attack: a trap is a file that smuggled code would create; it must never appear."""

import hashlib
import html.parser
import io
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import mistune
import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from conftest import ROOT, study_text
from safetensors import safe_open

from mtdnn_kit import Config, ConfigError, Run, train
from mtdnn_kit.config import from_file
from mtdnn_kit.data import arrays, cache
from mtdnn_kit.errors import EncoderError, LockedError, RunError, StudyError
from mtdnn_kit.explorer.replies import safe_name
from mtdnn_kit.files.atomic import write_whole
from mtdnn_kit.files.locks import held
from mtdnn_kit.model.encoders import find_encoder
from mtdnn_kit.model.multitask import load_model
from mtdnn_kit.studies.page import as_page, write_plain_page
from mtdnn_kit.studies.study import read_study
from mtdnn_kit.training.setup import prepare
from mtdnn_kit.views import tables
from mtdnn_kit.views.study_plots import points_figure

OUTWARD = ["../../outside", "/tmp/outside", "a/b", "a\\b", "nul\0nul", ".", "..", "", "x" * 5000]
MARKUP = "<script>alert(1)</script> | a_b_ _c_ *d* `e` $f$ \\g & [h](javascript:i) \n# ~~j~~ \u202ekcab"
HOME = ROOT / "mtdnn_kit" / "data" / "sample"


@pytest.fixture
def trap(tmp_path) -> Path:
    """A file that does not exist and must not be created."""
    file = tmp_path / "TRAP"
    yield file
    assert not file.exists(), "smuggled code was run"


class Smuggled:
    """Creates the trap when it is unpickled."""

    def __init__(self, trap: Path):
        self.trap = trap

    def __reduce__(self):
        return open, (str(self.trap), "w")


def pickled(kind: str, trap: Path) -> bytes:
    """A malicious pickle: bare, or in the zip archive that torch.save writes."""
    if kind == "bare":
        return pickle.dumps(Smuggled(trap))
    made = io.BytesIO()
    torch.save({"weight": Smuggled(trap)}, made)
    return made.getvalue()


@pytest.fixture(scope="module")
def made(tiny, tmp_path_factory) -> Run:
    """A finished run on the packaged sample, with its checkpoints."""
    small = dict(encoder=tiny, batch_size=4, max_steps=5, max_length=96, overlap=10, precision="fp32", device="cpu", threads=1)
    kept = dict(eval_limit=4, checkpoint_every=2, keep_checkpoints=True)
    return train(Config(run_dir=str(tmp_path_factory.mktemp("made") / "run"), **small, **kept))


@pytest.fixture
def copied(made, tmp_path) -> Run:
    """A copy of the run to tamper with."""
    return Run(shutil.copytree(made.path, tmp_path / "copy"))


# Weights: safetensors, never a pickle


def test_the_trap_works(tmp_path):
    pickle.loads(pickled("bare", tmp_path / "TRAP")).close()
    assert (tmp_path / "TRAP").exists()


@pytest.mark.parametrize("kind", ["bare", "zip"])
def test_an_encoder_with_only_pickled_weights_is_refused(tiny, tmp_path, trap, kind):
    folder = Path(shutil.copytree(tiny, tmp_path / "encoder"))
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickled(kind, trap))
    with pytest.raises(EncoderError, match="pickled weights are not read"):
        find_encoder(str(folder))
    (folder / "pytorch_model.bin").rename(folder / "model.safetensors")
    with pytest.raises(EncoderError, match="not a complete safetensors file .*the only format read"):
        find_encoder(str(folder))


def test_a_pickle_next_to_safetensors_is_not_opened(tiny, config, tmp_path, trap):
    folder = Path(shutil.copytree(tiny, tmp_path / "encoder"))
    for name in ("pytorch_model.bin", "optimizer.pt", "training_args.bin", "rng_state.pth", "scheduler.pt"):
        (folder / name).write_bytes(pickled("zip", trap))
    assert train(config(encoder=str(folder), max_steps=1, tasks=["squad"], qa_weight=1.0, eval_limit=2)).finished


def test_a_run_folder_contains_no_pickle(made):
    files = [file for file in made.path.rglob("*") if file.is_file()]
    assert [file for file in files if "checkpoints" in file.parts]
    for file in files:
        assert file.suffix in (".safetensors", ".json", ".jsonl", ".yaml", ".gz", ".txt") or file.name.startswith("."), file
        assert not zipfile.is_zipfile(file), file
        if file.suffix == ".safetensors":
            with safe_open(file, "numpy") as opened:
                assert list(opened.keys())
        else:
            assert not re.match(rb"\x80[\x02-\x05]", file.read_bytes()), file


@pytest.mark.parametrize("kind", ["bare", "zip"])
def test_a_pickle_in_place_of_a_runs_model_is_refused(copied, trap, kind):
    (copied.path / "model" / "model.safetensors").write_bytes(pickled(kind, trap))
    with pytest.raises(EncoderError, match="not a complete safetensors file"):
        load_model(copied.path / "model")
    with pytest.raises(EncoderError, match="not a complete safetensors file"):
        prepare(Config(**{**copied.config, "init_from": str(copied.path), "run_dir": None}))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json"])
def test_a_pickle_in_place_of_a_checkpoint_is_never_opened(copied, trap, name):
    """`checkpoints` decides whether the previous checkpoint is loaded or the run stops."""
    newest = max((copied.path / "checkpoints").iterdir())
    (newest / name).write_bytes(pickled("bare", trap))
    manifest = json.loads((copied.path / "manifest.json").read_text())
    (copied.path / "manifest.json").write_text(json.dumps({**manifest, "status": "running"}))
    try:
        assert train(Config(**{**copied.config, "run_dir": str(copied.path), "resume": True})).finished
    except RunError as error:
        assert "checkpoint" in str(error)


def test_truncated_weights_are_refused(copied):
    file = copied.path / "model" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(EncoderError, match="not a complete safetensors file"):
        load_model(copied.path / "model")


def test_a_pickle_in_the_cache_is_refused(monkeypatch, tmp_path, trap):
    monkeypatch.setenv("MTDNN_CACHE", str(tmp_path / "cache"))

    def parts():
        yield {"numbers": np.arange(3)}

    cache.kept("rows-x", parts)
    file = tmp_path / "cache" / "rows-x" / "numbers.npy"
    np.save(file, np.array([Smuggled(trap)], dtype=object), allow_pickle=True)
    sums = {
        "key": "rows-x",
        "files": {"numbers.npy": hashlib.sha256(file.read_bytes()).hexdigest()},
    }  # anyone who can write there can write the sums, too
    (file.parent / cache.SUMS).write_text(json.dumps(sums))
    for opened in (lambda: cache.kept("rows-x", parts), lambda: arrays.read(file.parent)):
        with pytest.raises(ValueError, match="Python objects in dtype"):
            opened()


# YAML and the code of models


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.mkdir", "!!python/object/new:os.mkdir", "!!python/name:os.mkdir"])
def test_yaml_makes_no_objects(tmp_path, trap, copied, tag):
    attack = f"{tag} [{str(trap)!r}]" if "name" not in tag else f"{tag} ''"
    file = tmp_path / "attack.yaml"
    file.write_text(f"seed: {attack}\n")
    with pytest.raises(ConfigError, match=re.escape(tag.removeprefix("!!")[:18])):
        from_file(file)
    file.write_text(f"# A question?\nbase: parameters/demo.yaml\nvariants: {{a: {{seed: {attack}}}}}\n")
    with pytest.raises(StudyError, match=re.escape(tag.removeprefix("!!")[:18])):
        read_study(file)
    (copied.path / "config.yaml").write_text(f"seed: {attack}\n")
    with pytest.raises((RunError, yaml.YAMLError), match=re.escape(tag.removeprefix("!!")[:18])):
        _ = copied.config


@pytest.mark.parametrize("kind", ["smuggled", "bert"])
def test_a_models_custom_code_is_not_run(tiny, tmp_path, trap, kind):
    """If transformers knows the type, its own class is used; otherwise the encoder is refused."""
    folder = Path(shutil.copytree(tiny, tmp_path / "encoder"))
    code = (
        f"open({str(trap)!r}, 'w')\nfrom transformers import BertConfig, BertModel\nclass C(BertConfig): pass\nclass M(BertModel): pass\n"
    )
    (folder / "smuggled.py").write_text(code)
    settings = json.loads((folder / "config.json").read_text())
    mapped = {"AutoConfig": "smuggled.C", "AutoModel": "smuggled.M", "AutoModelForQuestionAnswering": "smuggled.M"}
    (folder / "config.json").write_text(json.dumps({**settings, "model_type": kind, "auto_map": mapped}))
    given = Config(encoder=str(folder), run_dir=str(tmp_path / "run"), max_length=96, overlap=10, max_steps=1, eval_limit=2, threads=1)
    if kind == "bert":
        assert train(given).finished
    else:
        with pytest.raises(EncoderError, match="code is not run|trust_remote_code|custom code"):
            train(given)


def test_a_tokenizers_custom_code_is_not_run(tiny, tmp_path, trap):
    folder = Path(shutil.copytree(tiny, tmp_path / "encoder"))
    (folder / "smuggled.py").write_text(f"open({str(trap)!r}, 'w')\nfrom transformers import BertTokenizerFast as T\n")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    mapped = {"AutoTokenizer": [None, "smuggled.T"]}
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "tokenizer_class": "T", "auto_map": mapped}))
    try:  # it is read by transformers' class, or refused
        setup = prepare(Config(encoder=str(folder), max_length=96, overlap=10, max_steps=1, train_limit=4, eval_limit=2))
        assert type(setup.tokenizer).__module__.startswith("transformers.")
    except EncoderError as error:
        assert "tokenizer" in str(error)


# Names that would lead out of a folder


@pytest.mark.parametrize("name", OUTWARD)
def test_a_tasks_name_cannot_be_a_path(name):
    row = {"type": "sc", "columns": {"first": "a", "label": "b"}, "labels": ["x", "y"]}
    with pytest.raises(ConfigError, match="define|tasks: .*NUL"):
        Config(tasks=["squad", name], define={name: row})


@pytest.mark.parametrize("name", OUTWARD)
def test_a_studys_runs_stay_in_its_folder(tmp_path, name):
    (tmp_path / "study.yaml").write_text(study_text({"base": "parameters/demo.yaml", "variants": {f"{name}A": {}, "B": {"seed": 3}}}))
    if len(name) > 200 or "\0" in name:
        with pytest.raises(StudyError, match="a run's name may have at most 150 characters|has a NUL"):
            read_study(tmp_path / "study.yaml")
        return
    for config in read_study(tmp_path / "study.yaml").configs(tmp_path / "runs").values():
        assert Run(config.run_dir).path.parent == tmp_path / "runs"


@pytest.mark.parametrize("variant", [{"run_dir": "/tmp/outside"}, {"resume": True}])
def test_a_studys_variant_cannot_set_the_folder(tmp_path, variant):
    (tmp_path / "study.yaml").write_text(study_text({"base": "parameters/demo.yaml", "variants": {"A": variant}}))
    with pytest.raises(StudyError, match="is set by the study itself"):
        read_study(tmp_path / "study.yaml")


@pytest.mark.parametrize("name", ["nul\0nul", "x" * 5000, f"{'y' * 300}/run"])
def test_an_invalid_folder_name_is_refused(config, tmp_path, name):
    with pytest.raises(ConfigError, match="run_dir: .*(NUL|not a valid path)"):
        train(config(run_dir=str(tmp_path / name)))


@pytest.mark.parametrize("place", [".lock", "log.jsonl", "log.jsonl.partial", "predictions", "model.partial", "checkpoints", "model/x"])
def test_nothing_is_written_through_a_link_in_a_run_folder(config, tmp_path, place):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("mine")
    link = tmp_path / "run" / place
    link.parent.mkdir(parents=True)
    link.symlink_to(outside if "." not in place or place == "model.partial" else outside / "file")
    with pytest.raises(ConfigError, match=rf"{re.escape(str(link))} is a symbolic link"):
        train(config(checkpoint_every=1, max_steps=2))
    assert (outside / "file").read_text() == "mine" and len(list(outside.iterdir())) == 1


def test_nothing_is_written_through_a_link_at_a_partial_file_or_a_lock(tmp_path):
    (tmp_path / "mine").write_text("mine")
    for name in ("table.md.partial", ".lock"):
        (tmp_path / name).symlink_to(tmp_path / "mine")
    write_whole(tmp_path / "table.md", "theirs")
    with pytest.raises(LockedError, match="is a symbolic link"), held(tmp_path / ".lock", "nothing"):
        pass
    assert (tmp_path / "mine").read_text() == "mine" and (tmp_path / "table.md").read_text() == "theirs"


def test_a_name_in_a_runs_scores_cannot_lead_out_of_its_folder(copied, tmp_path):
    """A run from another person: its metrics.json names a file outside, which `keep` would have copied to a place outside."""
    (tmp_path / "secret_nbest.jsonl.gz").write_bytes(b"secret")
    scores = json.loads((copied.path / "metrics.json").read_text())
    (copied.path / "metrics.json").write_text(json.dumps({**scores, "../../secret": scores["squad"]}))
    copied.keep(tmp_path / "kept" / "deep" / "run")
    kept = {file.relative_to(tmp_path / "kept").as_posix() for file in (tmp_path / "kept").rglob("*") if file.is_file()}
    assert kept and all(name.startswith("deep/run/") for name in kept) and not any("secret" in name for name in kept)


def test_ids_and_titles_of_questions_are_not_used_as_paths(config, tmp_path):
    folder = Path(shutil.copytree(HOME, tmp_path / "data"))
    for file in (folder / "squad").iterdir():
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        named = [{**row, "id": f"{OUTWARD[i % len(OUTWARD)]}{i}", "title": OUTWARD[i % len(OUTWARD)]} for i, row in enumerate(rows)]
        file.write_text("".join(json.dumps(row) + "\n" for row in named))
    before = set(tmp_path.iterdir())
    run = train(config(data=str(folder), tasks=["squad"], qa_weight=1.0, max_steps=1, eval_limit=20))
    assert set(tmp_path.iterdir()) - before == {run.path} and len(run.answers()) == 20
    names = {file.relative_to(run.path).as_posix() for file in (run.path / "predictions").rglob("*")}
    assert names == {"predictions/squad.json", "predictions/squad_nbest.jsonl.gz"}


@pytest.mark.parametrize("name", OUTWARD)
def test_an_exports_name_is_a_file_name(name):
    made = f"squad-{safe_name(name)}.html"
    assert Path(made).name == made and "\0" not in made and len(os.fsencode(made)) < 200


# The network

QUIET = """
import sys
asked = []

def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.bind"):
        asked.append((event, str(arguments)))
        raise ConnectionError(event)

sys.addaudithook(refuse)
import json, socket
from mtdnn_kit import Config, ask, train
run = train(Config(**json.loads(sys.argv[1])))
ask(run, "Who?", "Ada did it.")
import datasets, huggingface_hub
assert huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY and not datasets.config.HF_UPDATE_DOWNLOAD_COUNTS
try:
    socket.create_connection(("127.0.0.1", 9))  # the hook is there
except ConnectionError:
    asked.pop()
print(json.dumps({"finished": run.finished, "asked": asked}))
"""


def test_a_run_uses_no_network(tmp_path):
    """The sample with the default encoder, in its own process, including imports."""
    small = dict(
        run_dir=str(tmp_path / "run"), max_steps=2, max_length=96, overlap=10, batch_size=2, train_limit=8, eval_limit=2, threads=1
    )
    settled = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "TRANSFORMERS_")) and "TRACK" not in key}
    command = [sys.executable, "-W", "ignore", "-c", QUIET, json.dumps({**small, "device": "cpu"})]
    done = subprocess.run(command, cwd=ROOT, env=settled, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {"finished": True, "asked": []}


def test_jupyterlab_does_not_fetch_news():
    """test_commands checks that it listens only on this machine, and asks for its token."""
    from jupyterlab.handlers.announcements import NeverCheckForUpdate
    from jupyterlab.labapp import LabApp

    told = subprocess.run(["make", "-n", "--no-print-directory", "lab"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    app = LabApp()
    app.parse_command_line([word for word in told.split() if word.startswith("--LabApp.")])
    assert app.news_url is None and app.check_for_updates_class is NeverCheckForUpdate and app.extension_manager == "readonly"
    assert "--ServerApp.ip=127.0.0.1" in told and "token" not in told and "password" not in told


# Text from names and data is shown as text


class Seen(html.parser.HTMLParser):
    """Collects tags and text of a page."""

    def __init__(self, page: str):
        super().__init__()
        self.tags, self.text, self.addresses = set(), [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "href") and value]
        assert not [name for name, _ in attributes if name.startswith("on")]

    def handle_data(self, data):
        self.text.append(data)


def rendered(text: str) -> Seen:
    """Markdown rendered as HTML, by an implementation that supports tables, bare addresses, mathematics and HTML."""
    return Seen(mistune.create_markdown(escape=False, plugins=["table", "strikethrough", "math", "url"])(text))


def test_names_stay_text_in_a_table_of_markdown():
    seen = rendered(tables.markdown([{"run": MARKUP, MARKUP: "1", "F1": 2.0}, {"run": "QA+SC"}]))
    assert seen.tags == {"table", "thead", "tbody", "tr", "th", "td"}
    wanted = MARKUP.replace("\n", " ").replace("\u202e", r"\u202e")
    assert [text for text in seen.text if text.strip()].count(wanted) == 2 or "".join(seen.text).count(wanted) == 2


def test_names_stay_text_in_a_table_of_latex():
    made = tables.latex([{"run": MARKUP + " %#{}~^"}])
    assert (
        r"$<$script$>$alert(1)$<$/script$>$ $|$ a\_b\_ \_c\_ *d* `e` \$f\$ \textbackslash g \& [h](javascript:i)  \# "
        r"\textasciitilde \textasciitilde j\textasciitilde \textasciitilde \space \textbackslash u202ekcab "
        r"\%\#\{\}\textasciitilde \textasciicircum" in made
    )


def test_names_stay_text_on_a_page_without_a_notebook(tmp_path):
    """Headings, a table, a list and lines, as in the sections of a report; with the content security policy of the other page."""
    line, table = MARKUP.splitlines()[0], tables.markdown([{"run": MARKUP, "F1": 2.0}, {"run": "QA | SC", "F1": None}])
    sections = [f"{MARKUP}\n\nnext\n", f"## {line}\n\n{table}", f"{table}after\n", f"## Needs\n\n- {line}\n- two\n"]
    page = write_plain_page(tmp_path, MARKUP, MARKUP, {MARKUP: b"\x89PNG"}, sections).read_text()
    seen = Seen(page)
    assert {"h1", "h2", "p", "img", "td", "li"} <= seen.tags and not seen.tags & {"script", "a", "em", "code", "strong"}
    assert seen.addresses == ["data:image/png;base64,iVBORw=="]
    assert "".join(seen.text).count("<script>alert(1)</script>") == 8 and {"QA | SC", "after", "two", "2.0"} <= set(seen.text)
    assert page.index("Content-Security-Policy") < page.index("<title>") and page.count("<tr>") == 6


def test_a_studys_page_runs_and_loads_no_script(tmp_path):
    """Names as notebook 03 shows them: in tables and printed lines. The page's policy would block a script that got through."""
    cell = nbformat.v4.new_code_cell("")
    frame = pd.DataFrame({MARKUP: [MARKUP]}, index=[MARKUP]).to_html()
    cell.outputs = [
        nbformat.v4.new_output("display_data", {"text/html": frame}),
        nbformat.v4.new_output("stream", text=MARKUP),
        nbformat.v4.new_output("display_data", {"text/html": "<script>open('x')</script ><p>left</p>"}),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "made.ipynb")
    page = as_page(tmp_path / "made.ipynb")
    seen = Seen(page)
    assert "script" not in seen.tags and [x for x in seen.addresses if not x.startswith(("data:", "#"))] == []
    assert "".join(seen.text).count("<script>alert(1)</script>") == 4 and "left" in seen.text
    policy = re.search(r'<head>\s*<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="([^"]*)">', page)
    assert policy and policy[1].startswith("default-src 'none';") and "script" not in policy[1]


def test_names_stay_text_in_figures():
    name = r"costs $\frac$ or $5"
    figure = points_figure({name: {"em": 1.0, "f1": 2.0}}, {}, [name], "runs")
    figure.canvas.draw()
    assert name in [label.get_text() for axes in figure.axes for label in axes.get_xticklabels()]
