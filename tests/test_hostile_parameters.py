"""Damaged parameter and study files: reading them raises an error of the kit, or gives the same values as PyYAML."""

from dataclasses import fields

import pytest
import yaml
from conftest import ROOT
from hostile import cases, each, ends, refused
from hostile_data import BOMB, bytes_of, plain_yaml, text_of, value_of
from hypothesis import strategies as st

from mtdnn_kit.config import Config, from_file
from mtdnn_kit.errors import YamlError
from mtdnn_kit.files.yaml_files import read_yaml
from mtdnn_kit.studies.study import read_study
from mtdnn_kit.studies.variants import slug

RTE = {"type": "sc", "columns": {"first": "premise", "second": "hypothesis", "label": "label"}, "labels": ["no", "yes"], "metrics": ["f1"]}
FULL = Config(tasks=["squad", "swag", "rte"], define={"rte": RTE}, loss_weights={"rte": 0.5}, threshold_articles=["Cork"]).to_yaml()
FILES = [*((ROOT / "parameters" / f"{name}.yaml").read_text() for name in ("demo", "bert-base")), FULL]
STUDY = """# Does the mixture help?
base: parameters/demo.yaml
fixed: {epochs: 2}
variants:
  QA: {tasks: [squad], qa_weight: 1.0}
  mixture: {}
vary: {learning_rate: [1.0e-4, 3.0e-4]}
seeds: [0, 1]
compare: {baseline: QA learning_rate=0.0001, others: [mixture learning_rate=0.0001]}
paper: table 2
"""
KEYS = [field.name for field in fields(Config)]


def hostile(text: str) -> st.SearchStrategy[bytes]:
    return st.one_of(
        text_of(text).map(lambda t: t.encode("utf-8", "surrogatepass")),
        value_of(yaml.safe_load(text)).map(lambda value: plain_yaml(value).encode()),
        bytes_of(text.encode()),
    )


def same(ours, theirs) -> bool:
    """A whole number may equal a float; no other types are mixed up."""
    return ours == theirs and (type(ours) is type(theirs) or {type(ours), type(theirs)} == {int, float})


@cases(60)
def test_a_damaged_parameter_file_is_read_literally_or_refused(tmp_path, cases):
    file, again = tmp_path / "mine.yaml", tmp_path / "again.yaml"

    def check(raw: bytes):
        file.write_bytes(raw)
        found, message = refused(lambda: from_file(file), "mine.yaml", *KEYS, "no such parameter")
        if message is None:
            plain = yaml.safe_load(raw.decode("utf-8-sig"))
            plain |= {"threshold_articles": found.threshold_articles} if plain.get("threshold_articles", ...) is None else {}  # resolved
            assert set(plain) <= set(KEYS) and all(same(getattr(found, key), value) for key, value in plain.items())
            again.write_text(found.to_yaml(), encoding="utf-8")
            assert from_file(again) == found and list(found.datasets) == found.tasks

    each(cases, check, st.sampled_from(FILES).flatmap(hostile))


@cases(40)
def test_a_damaged_study_file_is_read_literally_or_refused(tmp_path, cases):
    file = tmp_path / "mine.yaml"

    def check(raw: bytes):
        file.write_bytes(raw)
        study, message = refused(lambda: read_study(file), "mine.yaml")
        if message is not None:
            return
        plain, count = yaml.safe_load(raw.decode("utf-8-sig")), 1
        for values in plain.get("vary", {}).values():
            count *= len(values)
        variants = 1 if plain.get("variants") is None else len(plain["variants"])
        assert len(study.runs) == variants * count * len(plain.get("seeds") or [0])
        assert len({slug(run) for run in study.runs}) == len(study.runs)
        configs, message = refused(lambda: study.configs(tmp_path), "mine", "run ", *KEYS, "no such parameter", "no path", "cannot be read")
        if message is None:
            for name, config in configs.items():
                assert all(same(getattr(config, key), value) for key, value in study.runs[name].changes.items())

    each(cases, check, hostile(STUDY))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, r"line \d+: its aliases expand to more than 50,000 values"),
        ("a: &a [*a]", "line 1: the value contains itself"),
        ("a: &a {b: *a}", "line 1: the value contains itself"),
        ("[" * 3000, "line 1: more than 40 levels of lists"),
        (
            "\n".join(["a0: &a0 []", *(f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 60))]),
            "more than 40 levels of lists, mappings or aliases",
        ),
        ("a: 1\nb: 2\na: 3", "line 3: 'a' is given twice"),
        ("a: {c: 1, c: 1}", "'c' is given twice"),
        ("d: {x: {labels: {1: a, true: b}}}", r"line 1: 'true' is given twice .it equals True."),
        ("d: {x: {labels: {no: a, 0: b}}}", r"line 1: '0' is given twice .it equals 0."),
        ("d: {x: {labels: {1: a, 0x1: b}}}", r"line 1: '0x1' is given twice .it equals 1."),
        ("a: 1\n0.8: 2", "line 2: the key '0.8' is not text; a key must be text"),
        ("{[1]: 2}", "the key a list or mapping is not text"),
        ("on: 1", "the key 'on' is not text"),
        ("x: 2001-01-01", "'2001-01-01' is read as a date; write it in quotes"),
        ("x: 2001-99-99", "is read as a date"),
        ("x: !!binary aGk=", "is read as bytes"),
        ("x: !!python/object/apply:os.system [ls]", "is not a type that parameters have"),
        ("x: !!set {a, b}", "is not a type that parameters have"),
        ("x: !!int x", "invalid literal"),
        ("x: !!int ''", "index out of range"),
        ("x: !!bool maybe", "maybe"),
        ('x: "a\\0b"', "has a NUL or an unpaired surrogate"),
        ('x: "\\ud800"', "has a NUL or an unpaired surrogate"),
        ("x: a\0b", "special characters are not allowed"),
        (f"x: {'9' * 5000}", "a whole number of 5,000 digits is too large"),
        (f"x: 0x{'f' * 5000}", "a whole number of 5,002 digits is too large"),
        ("a: 1\n---\nb: 2", "expected a single document"),
        ("x" * 100_001, "more than 100,000 characters"),
    ],
)
def test_invalid_yaml_is_reported_with_its_place(text, message):
    with ends(), pytest.raises(YamlError, match=message) as error:
        read_yaml(text)
    assert len(str(error.value)) < 900


def test_valid_yaml_is_read_as_by_pyyaml():
    text = "base: &b {x: 1, y: [a, ~]}\nmine: {<<: *b, x: 2}\nword: 'on'\nlong: |\n  two\n  lines\nnumber: 3.0e-5\nflag: no\n"
    assert read_yaml(text) == yaml.safe_load(text) and read_yaml(text)["mine"] == {"x": 2, "y": ["a", None]}
    assert read_yaml("") is None and read_yaml("\ufeffa: 1\r\nb: 2\r\n") == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"tasks": ["squad", *[f"task-{i}" for i in range(900)]]}, "unknown task 'task-0'"),
        ({"run_dir": ["x" * 900] * 900}, r"^run_dir: \['xxx"),
        ({"seed": 10**9000}, r"^seed: 10\^\d+ or more is a whole number; it must be a whole number. It has more than 64 bits"),
        ({"learning_rate": 10**400}, r"^learning_rate: 10\^\d+ or more"),
        ({"loss_weights": {"squad": 10**400}}, "^loss_weights: "),
        ({"n_best": 10**9}, "^n_best: 1000000000 is too large: at most 10,000"),
        ({"data": "a\0b"}, "^data: .* Remove its NUL"),
        (
            {"define": '{"mine": {}}'},
            "each value a mapping. A mapping given with papermill's -p arrives as text: use -y or a parameter file.$",
        ),
        ({"loss_weights": '{"swag": 0.5}'}, "a number. A mapping given with papermill's -p arrives as text: use -y or a parameter file.$"),
        ({"tasks": '["squad"]'}, "each item text. A list given with papermill's -p arrives as text: use -y or a parameter file.$"),
        ({"encoder": "\ud800"}, "^encoder: .* unpaired surrogate"),
        ({"scored_also": ["m"]}, r"^scored_also: \['m'\] is a list; it must be a mapping, each value a mapping\.$"),
        ({"define": {"a": {}, "m": None}}, "^define: .* it must be a mapping, each value a mapping. The value of 'm' is not.$"),
        ({"define": {"x" * 90: RTE}}, "^define: 'xxx.*at most 40 characters"),
        ({"define": {"rte": {**RTE, 3: 4}}}, "^define.rte.3: no such key"),
        ({"define": {"rte": {**RTE, "type": ["sc"]}}}, r"^define.rte.type is \['sc'\]"),
        ({"define": {"rte": {**RTE, "labels": [["a"] * 999] * 999}}}, "^define.rte.labels is"),
        ({"define": {"rte": {**RTE, "columns": {"label": "label"}, "template": True}}}, "^define.rte.columns lacks 'first'"),
        ({"define": {"rte": {**RTE, "\ud800": "sc"}}}, r"^define.rte: '\\ud800' has a NUL or an unpaired surrogate"),
        (
            {"define": {"rte": {**RTE, "columns": {"first": "x" * 6000, "label": "y"}}}},
            "^define.rte.columns.first: .* than 1,000 characters",
        ),
        (
            {"tasks": ["rte"], "qa_weight": 1.0, "define": {"rte": {**RTE, "files": {"train": "x" * 999 + ".csv"}, "score": None}}},
            "^define.rte.files.train: .*not a valid path",
        ),
        ({"x" * 9000: 1}, "^xxx.* … xxx.*: no such parameter"),
    ],
)
def test_an_invalid_value_is_named_in_a_short_message(params, message):
    """For an earlier version, one parameter file gave a message of 5,499 characters."""
    from mtdnn_kit.config import from_params
    from mtdnn_kit.errors import ConfigError

    with pytest.raises(ConfigError, match=message) as error:
        from_params(params)
    assert len(str(error.value)) < 1500


@pytest.mark.parametrize("path", ["a" * 300, "a/" * 2000, "a\0b", "~nobody-is-called-so/x"])
def test_a_path_that_cannot_exist_is_refused(path):
    from mtdnn_kit.errors import ConfigError
    from mtdnn_kit.files.paths import resolve

    with pytest.raises(ConfigError, match="not a valid path|no such user"):
        resolve(path)
    with pytest.raises(ConfigError):
        from_file(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            f"base: x.yaml\nvary: {{epochs: {list(range(3000))}}}",
            "there are 3,000 combinations; a study has at most 2,000",
        ),
        (
            f"base: x.yaml\nvariants: {{{', '.join(f'v{i}: {{}}' for i in range(100))}}}\nvary: {{epochs: {list(range(100))}}}",
            "there would be 10,000 runs",
        ),
        (f"base: x.yaml\nvary: {{epochs: [1, 2]}}\nseeds: {list(range(1500))}", "there would be 3,000 runs"),
        (f"base: x.yaml\nvariants: {{{'v' * 200}: {{}}}}", "a run's name may have at most 150 characters"),
        ("base: x.yaml\nvariants: {a: {}, b: {}}\ncompare: {baseline: [c]}", "compare: there is no variant 'c'"),
        ("base: x.yaml\nfixed: {1: 2}\nvariants: {a: {}}", "the key '1' is not text"),
    ],
)
def test_an_impossible_study_is_refused_by_key(tmp_path, text, message):
    from mtdnn_kit.errors import StudyError

    (tmp_path / "mine.yaml").write_text(text)
    with ends(), pytest.raises(StudyError, match=rf"mine\.yaml: .*{message}"):
        read_study(tmp_path / "mine.yaml")
