"""What the tests share: tiny encoders of several families, generated here, and small configurations on the packaged sample."""

import gc
import json
import os
import signal
import sys
import tempfile
from dataclasses import asdict
from functools import cache
from pathlib import Path

import pytest
import torch
import transformers
import yaml
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer
from warm import kernels, serving
from xdist.scheduler import LoadScopeScheduling

from mtdnn_kit import Run, train
from mtdnn_kit.compare import pairing
from mtdnn_kit.config import Config
from mtdnn_kit.model.encoders import find_encoder
from mtdnn_kit.studies import engines

gc.disable()  # until the tests are collected
signal.signal(signal.SIGINT, signal.default_int_handler)  # as at a terminal: what a shell starts in the background ignores it
sys.modules.setdefault("rfc3987_syntax", None)  # a grammar that takes 2 s to import, for addresses that no notebook has
ROOT = Path(__file__).parents[1]
LETTERS = st.one_of(
    st.sampled_from(
        [
            *"the Moon rose in 1973; 3.5% of it",
            "🌍",
            "👩‍🚀",
            "🇩🇪",
            "e\u0301",
            "ñ",
            "n\u0303\u0323",
            "東",
            "京都",
            "한국",
            "ﬁ",
            "ß",
            "İ",
            "Ǆ",
        ]
    ),
    st.sampled_from(
        ["שלום", "مرحبا", "\u202b", "\u200f", "\x00", "\x07", "\x1b", "\x7f", "\u200b", "\ufeff", "\u00ad", "—", "’", "…", "'"]
    ),
    st.sampled_from([*" \t\n\r\x0b\x0c\x85\u00a0\u1680\u2003\u2009\u2028\u2029\u202f\u205f\u3000"]),
    st.characters(exclude_categories=["Cs"]),
)
TEXTS = st.lists(LETTERS, min_size=1, max_size=60).map("".join)  # every kind of character that a tokenizer must handle
DIMENSIONS = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48, max_position_embeddings=514)
THREADS = int(os.environ.get("OMP_NUM_THREADS") or 1)  # of every training and every prediction in these tests
torch.set_num_threads(THREADS)
ANY_SPEED = dict(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # no example fails because a machine is slow
settings.register_profile("desk", **ANY_SPEED)
settings.register_profile("ci", **ANY_SPEED, derandomize=True)  # the same examples each time; on a developer's machine they vary
CACHE = tempfile.TemporaryDirectory(prefix="mtdnn-cache-")  # not the user's cache; deleted when the process ends
os.environ["MTDNN_CACHE"] = CACHE.name
settings.load_profile("ci" if os.environ.get("CI") else "desk")


PLACE = str(ROOT.parent if ROOT.parent.name else ROOT)  # of this clone on this machine; "/" would be in any text


def lacking(why: str) -> None:
    """Skips the test; in CI, where nothing may be missing, fails it."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(why)


# Files whose tests use an encoder but do not check what it computes, or check only that a run is bit-identical in another process, after a
# kill, under Jupyter or under Ray. test_training, test_checkpoints and test_failures check the numbers on every CPU kernel.
UNSCORED = ("cache", "encoders", "explorer_lab", "hostile_rows", "notebooks", "overview", "plan", "plots", "ray", "running")
UNSCORED += ("security", "survival", "wheel")


def given_an_encoder(item: pytest.Item) -> bool:
    return "tiny" in item.fixturenames


LONG = (
    "test_running",
    "test_commands",
    "test_notebooks",
    "test_ray",
    "test_survival",
    "test_everywhere",
)  # each takes at least half a minute


class Together(LoadScopeScheduling):
    """Which tests stay on one of several workers: those of one file, and all that share a browser and its server."""

    def _split_scope(self, nodeid: str) -> str:
        return "browser" if nodeid.startswith("tests/browser/") else nodeid.partition("::")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    return Together(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks with `scores` each test that uses an encoder, to train or to load it, except in the files of UNSCORED.

    The long files come first: otherwise one worker would still run them when the others have finished.
    """
    files = {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
    assert {f"test_{name}" for name in UNSCORED} | set(LONG) <= files, "a name here is of no file"
    items.sort(key=lambda item: item.path.stem not in LONG)
    for item in items:
        if given_an_encoder(item) and item.path.stem.removeprefix("test_") not in UNSCORED:
            item.add_marker("scores")


def pytest_collection_finish() -> None:
    """Modules and collected tests are no garbage; looking through all of them time and again takes as long as collecting them."""
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def scores_are_marked(request):
    """A test that uses no encoder fixture but runs a model fails without the mark: `make processors` would skip it."""
    ran = []
    if given_an_encoder(request.node) or request.node.get_closest_marker("scores"):
        yield
        return

    def note(module, _) -> None:
        if isinstance(module, transformers.PreTrainedModel):
            ran.append(type(module).__name__)

    hook = torch.nn.modules.module.register_module_forward_pre_hook(note)
    yield
    hook.remove()
    assert not ran, f"it runs a model ({ran[0]}): mark it, @pytest.mark.scores"


@pytest.fixture(scope="session")
def python():
    """The beginning of a command line that starts Python with the libraries already imported (tests/warm.py)."""
    with serving() as start:
        yield start


@pytest.fixture(scope="module")
def warm_kernels(python):
    """Kernels of notebooks start with the libraries already imported."""
    with kernels(python):
        yield


@pytest.fixture(scope="module")
def warm_workers(python):
    """The workers of studies that this process runs have the libraries imported already."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engines, "WORKER", (*python, *engines.WORKER[1:]))
        yield


@pytest.fixture(scope="session")
def tokenizer():
    """The default encoder's tokenizer: BERT's uncased wordpieces."""
    return AutoTokenizer.from_pretrained(find_encoder(Config().encoder).path)


def byte_level(special: tuple[str, str, str, str]):
    """A small byte-level tokenizer like RoBERTa's and ModernBERT's. special: first, separator, pad, unknown."""
    first, sep, pad, unknown = special
    tokenizer = Tokenizer(models.BPE(unk_token=unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=list(special), initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(["Where does the Rhine rise? In the Alps."] * 20, trainer)
    ids = [(name, tokenizer.token_to_id(name)) for name in (first, sep)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {sep}", pair=f"{first} $A {sep} {sep} $B {sep}", special_tokens=ids
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=first, cls_token=first, sep_token=sep, eos_token=sep, pad_token=pad, unk_token=unknown
    )


def cased():
    """Small wordpieces that keep capitals and accents, like BERT's cased ones, with token types."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    texts = [(ROOT / "mtdnn_kit" / "data" / "sample" / "squad" / "train.jsonl").read_text()]
    tokenizer.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=600, special_tokens=special))
    ids = [(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ids
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]", unk_token="[UNK]"
    )


def pieces(special: list[str]) -> list[tuple[str, float]]:
    """A small Unigram vocabulary as sentencepiece builds it, with ▁ for a space; special tokens first."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    texts = [(ROOT / "mtdnn_kit" / "data" / "sample" / "squad" / "train.jsonl").read_text()[:40_000]]
    tokenizer.train_from_iterator(texts, trainers.UnigramTrainer(vocab_size=400, special_tokens=special, unk_token=special[1]))
    return [(piece, score) for piece, score in json.loads(tokenizer.to_str())["model"]["vocab"]]


def albert():
    """ALBERT's tokenizer class: lower-case sentencepieces; several tokens may share a character."""
    return transformers.AlbertTokenizer(vocab=pieces(["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]))


def deberta():
    """DeBERTa-v3's tokenizer class: sentencepieces that keep capitals; a word's offsets include the space before it."""
    return transformers.DebertaV2Tokenizer(vocab=pieces(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]))


@pytest.fixture(scope="session", params=["uncased", "cased", "byte level", "albert", "deberta"])
def any_tokenizer(request, tokenizer):
    """The default encoder's wordpieces; cased ones; byte-level tokens without token types, several of which may share a character;
    sentencepieces."""
    others = {"cased": cased, "byte level": lambda: byte_level(("<s>", "</s>", "<pad>", "<unk>")), "albert": albert, "deberta": deberta}
    return others[request.param]() if request.param in others else tokenizer


@pytest.fixture(scope="session")
def small_tokenizer(tokenizer):
    """The default encoder's wordpieces that occur in the packaged sample, and those of one character: a seventh, which loads faster."""
    known, files = tokenizer.get_vocab(), sorted((ROOT / "mtdnn_kit" / "data" / "sample").rglob("*.jsonl"))
    texts = tokenizer([line for file in files for line in file.read_text().splitlines()], add_special_tokens=False)["input_ids"]
    needed = {*tokenizer.all_special_tokens, *tokenizer.convert_ids_to_tokens({number for text in texts for number in text})}
    needed |= {piece for piece in known if len(piece.removeprefix("##")) == 1}
    kept = sorted(needed, key=known.get)
    return transformers.BertTokenizer(vocab={piece: number for number, piece in enumerate(kept)}, do_lower_case=True)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory, small_tokenizer) -> str:
    """Folder of a BERT of two layers and 32 dimensions, with the wordpieces that the packaged sample needs."""
    size = transformers.BertConfig(vocab_size=len(small_tokenizer), **DIMENSIONS)
    return make_encoder(tmp_path_factory.mktemp("tiny"), size, small_tokenizer)


def make_encoder(folder: Path, config, tokenizer) -> str:
    """Saves an encoder with random weights (the same each time) and a tokenizer."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        transformers.AutoModel.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


FAMILIES = ("bert", "distilbert", "roberta", "modernbert", "electra", "albert", "deberta-v2")  # MiniLM is a BERT


@pytest.fixture(scope="session")
def families(tmp_path_factory, tiny, tokenizer) -> dict[str, str]:
    """Folders of tiny encoders, one per family. They differ in token types, special tokens, position limits and kind of tokenizer."""
    roberta = byte_level(("<s>", "</s>", "<pad>", "<unk>"))
    modern = byte_level(("[CLS]", "[SEP]", "[PAD]", "[UNK]"))
    electra = transformers.ElectraTokenizer(vocab=cased().get_vocab(), do_lower_case=False)
    ids = dict(pad_token_id=2, cls_token_id=0, bos_token_id=0, eos_token_id=1, sep_token_id=1)
    distil = dict(dim=32, n_layers=2, n_heads=2, hidden_dim=48, vocab_size=len(tokenizer), max_position_embeddings=514)
    narrow = {**DIMENSIONS, "embedding_size": 16, "max_position_embeddings": 140}
    relative = dict(relative_attention=True, position_biased_input=False, pos_att_type=["c2p", "p2c"], position_buckets=16)
    relative |= dict(share_att_key=True, norm_rel_ebd="layer_norm", type_vocab_size=0)  # as in DeBERTa-v3
    made = {
        "distilbert": (transformers.DistilBertConfig(**distil), tokenizer),
        "roberta": (transformers.RobertaConfig(vocab_size=len(roberta), type_vocab_size=1, **DIMENSIONS, **ids), roberta),
        "modernbert": (transformers.ModernBertConfig(vocab_size=len(modern), **DIMENSIONS, **ids), modern),
        "electra": (transformers.ElectraConfig(vocab_size=len(electra), **narrow), electra),
        "albert": (transformers.AlbertConfig(vocab_size=400, **narrow, pad_token_id=0, bos_token_id=2, eos_token_id=3), albert()),
        "deberta-v2": (transformers.DebertaV2Config(vocab_size=400, **DIMENSIONS, **relative), deberta()),
    }
    return {"bert": tiny, **{name: make_encoder(tmp_path_factory.mktemp(name), *parts) for name, parts in made.items()}}


@pytest.fixture(scope="session")
def trained(families, tmp_path_factory):
    """trained(family): its run of a few steps on the packaged sample, round robin over the tasks, with the tiny encoder; trained once
    per session."""
    from mtdnn_kit import train

    @cache
    def make(family: str):
        settings = dict(sampler="round_robin", qa_weight=None, sharing=None, max_steps=8, batch_size=4, max_length=96, overlap=10)
        limits = dict(train_limit=40, eval_limit=6, threshold_articles=[], precision="fp32", device="cpu", threads=THREADS, log_every=4)
        folder = str(tmp_path_factory.mktemp("trained") / family)
        return train(Config(run_dir=folder, encoder=families[family], tasks=["squad", "swag", "cola", "mrpc"], **settings, **limits))

    return make


@pytest.fixture
def config(tiny, tmp_path):
    """config(**changes): a run of a few steps on the sample with the tiny encoder, in fp32, in its own folder. No article is held out."""

    def make(**changes) -> Config:
        small = dict(run_dir=str(tmp_path / "run"), encoder=tiny, batch_size=4, max_steps=6, max_length=96, overlap=10, precision="fp32")
        return Config(
            **{**small, "device": "cpu", "threads": THREADS, "eval_limit": 6, "log_every": 3, "threshold_articles": [], **changes}
        )

    return make


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data that MTDNN_DATA names; skips the test where the variable is not set."""
    if not os.environ.get("MTDNN_DATA"):
        pytest.skip("MTDNN_DATA names no folder of real data")
    return Path(os.environ["MTDNN_DATA"])


def changed(config: Config, **changes) -> Config:
    """`config` with these changes."""
    return Config(**{**asdict(config), **changes})


def study_text(content: dict) -> str:
    """The text of a study file."""
    return "# Is a test\n# a study?\n" + yaml.safe_dump(content, sort_keys=False)


def plain_token_span(tokens, start: int, end: int) -> tuple[int, int] | None:
    """`spans.token_spans` of one answer, as defined. Candidates are the tokens that touch characters [start, end). If several
    contain the first character, take those that begin latest, and of them the first; at the end those that end soonest, and the last."""
    inside = [i for i in range(len(tokens.ids)) if tokens.ends[i] > start and tokens.starts[i] < end and tokens.ends[i] > tokens.starts[i]]
    if not inside:
        return None
    begin = max((tokens.starts[i] for i in inside if tokens.starts[i] <= start), default=tokens.starts[inside[0]])
    close = min((tokens.ends[i] for i in inside if tokens.ends[i] >= end), default=tokens.ends[inside[-1]])
    first = next(i for i in inside if tokens.starts[i] == begin)
    return first, max(first, next(i for i in inside[::-1] if tokens.ends[i] == close))


def plain_windows(n_tokens: int, room: int, overlap: int) -> list[tuple[int, int]]:
    """`spans.windows` of one text: each window begins `overlap` tokens before the end of the previous one."""
    found = [(0, min(room, n_tokens))]
    while found[-1][1] < n_tokens:
        first = found[-1][1] - overlap
        found.append((first, min(first + room, n_tokens)))
    return found


@pytest.fixture(scope="module")
def runs(tiny, tmp_path_factory) -> dict[str, Run]:
    """Two runs of the tiny encoder on the sample, with all questions scored."""
    folder, made = tmp_path_factory.mktemp("runs"), []
    small = dict(encoder=tiny, max_steps=3, batch_size=4, precision="fp32", device="cpu", threads=THREADS, threshold_articles=["Cork"])
    for name, tasks in (("one", ["squad"]), ("two", ["squad", "cola"])):
        weight = 1.0 if name == "one" else 0.5
        made.append(train(Config(**small, tasks=tasks, qa_weight=weight, run_dir=str(folder / name), seed=len(made))))
    return pairing.named(made)
