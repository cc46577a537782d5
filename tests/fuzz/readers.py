"""A coverage-guided fuzzer for the readers of rows, parameters, studies and run folders: `make fuzz`, ten minutes, not in `make test`.

    python tests/fuzz/readers.py [SECONDS]

atheris (libFuzzer) mutates bytes, observes which lines of the readers they reach, and keeps inputs that reach new lines. The first byte
chooses the reader (and the format with its compression), the second the dataset; the rest is the file. The fuzzer stops at an error that
is not one of the kit's, is long or does not name the file, at an invalid row, and at an input that takes over 20 s; it leaves that input
in build/fuzz. Each finding becomes a case in tests/test_hostile_*.py.
Needs `pip install -e '.[fuzz]'`.
"""

import gzip
import os
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["mtdnn_kit", "json.decoder", "yaml"]):
    from mtdnn_kit import Run, config
    from mtdnn_kit.data import arrays, definitions, draft, registry, sources
    from mtdnn_kit.files import yaml_files
    from mtdnn_kit.runs import predictions
    from mtdnn_kit.studies import study

sys.path.insert(0, str(Path(__file__).parents[1]))
from hostile import refused
from hostile_formats import OFFICIAL, PACK, ROWS, WRITE, as_json

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "fuzz"
TASKS = ("squad", "cola", "mnli", "swag")
FILES = ("config.yaml", "manifest.json", "metrics.json", "log.jsonl", "predictions/squad_nbest.jsonl.gz", "predictions/mnli.jsonl")
ENDS = (".csv", ".tsv", ".parquet", ".json")
MINE = [*ROWS.items(), ("official", ({"type": "qa", "validation_ratio": 0.5}, None))]
KEPT = ROOT / "results" / "sample" / "qa-mcc-sc"
FOLDER = Path(tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
sources.kept = lambda key, make: arrays.gathered(make())  # without a cache: it would be read instead of the file
sources._key = lambda *of, **content: ""


def read_rows(number: int, data: bytes) -> None:
    """A dataset's file, plain or gzip."""
    task, ending = TASKS[number // 2 % len(TASKS)], ("jsonl", "jsonl.gz")[number % 2]
    dataset = registry.DATASETS[task]
    folder = FOLDER / ending / dataset.folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"train.{ending}").write_bytes(gzip.compress(data, 1) if ending.endswith("gz") and number % 4 == 1 else data)
    found, _ = refused(lambda: sources.load(task, dataset, "train", str(FOLDER / ending)), f"train.{ending}")
    for row in found.rows if found else ():
        assert task != "squad" or all(row.context.startswith(text, start) and text for start, text in row.answers)
        assert task == "squad" or 0 <= row.label < max(len(dataset.labels), 4)


def read_formats(number: int, data: bytes) -> None:
    """A custom file in any format, compressed first or as it is."""
    end, pack = ENDS[number % 4], list(PACK)[number // 4 % 4]
    which, packed = divmod(data[0] if data else 0, 16)
    name, (row, _) = MINE[which % len(MINE)]
    file = FOLDER / f"mine{end}{pack}"
    file.write_bytes(PACK[pack](data[1:]) if packed % 2 else data[1:])
    row = row | {"files": {"train": str(file)}, "quoted": (None, True, False)[number // 16 % 3]}
    dataset = definitions.dataset_from("x", row)
    splits = ("train", "validation") if dataset.validation_ratio else ("train",)
    found, _ = refused(lambda: [row for split in splits for row in sources.load("x", dataset, split, "sample").rows], file.name)
    assert str(draft.guess(file))
    for row in found or ():
        assert dataset.type != "qa" or all(row.context.startswith(text, start) and text for start, text in row.answers), name
        assert dataset.type == "qa" or 0 <= row.label < max(len(dataset.labels), len(getattr(row, "choices", ()))), name


def read_parameters(number: int, data: bytes) -> None:
    """A parameter file, or a study's."""
    file = FOLDER / "mine.yaml"
    file.write_bytes(data)
    if number % 2:
        refused(lambda: study.read_study(file), "mine.yaml")
    else:
        found, _ = refused(lambda: config.from_file(file), "mine.yaml", ":")
        assert found is None or yaml_files.read_yaml(found.to_yaml())["tasks"] == found.tasks


def read_run(number: int, data: bytes) -> None:
    """One file of a run folder without the other files."""
    name = FILES[number % len(FILES)]
    file = FOLDER / "run" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(gzip.compress(data, 1) if name.endswith(".gz") and number & 64 else data)
    run = Run(FOLDER / "run")
    whole = {
        "config.yaml": lambda: run.types,
        "manifest.json": lambda: run.manifest,
        "metrics.json": lambda: run.metrics,
        "log.jsonl": run.log,
        "predictions/mnli.jsonl": lambda: list(run.choices("mnli")),
    }.get(name, lambda: [predictions.wrong_entry(entry) for entry in run.nbest()])
    refused(whole, Path(name).name)
    file.unlink()


def one(data: bytes) -> None:
    """Runs the reader that an input chooses."""
    if not data:
        return
    readers = (read_rows, read_formats, read_formats, read_formats, read_parameters, read_run, read_formats, read_rows)
    readers[data[0] % 8](data[0] >> 3, data[1:])


def seeds(folder: Path) -> None:
    """Writes the initial inputs: valid files of each kind."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(256):
        for k, raw in enumerate(right(number % 8, number >> 3)):
            (folder / f"seed-{number}-{k}").write_bytes(bytes([number]) + raw)


def right(kind: int, rest: int) -> list[bytes]:
    """Valid files for the reader that `one` chooses."""
    if kind in (0, 7):
        dataset = registry.DATASETS[TASKS[rest // 2 % len(TASKS)]]
        return [b"\n".join((ROOT / "mtdnn_kit" / "data" / "sample" / dataset.folder / "train.jsonl").read_bytes().split(b"\n")[:2])]
    if kind == 4:
        return [(ROOT / "parameters" / ("ablations/demo.yaml" if rest % 2 else "demo.yaml")).read_bytes()]
    if kind == 5:
        return [(KEPT / FILES[rest % len(FILES)]).read_bytes()[:3000]]
    write, found = WRITE[ENDS[rest % 4]], [(which, records) for which, (_, (_, records)) in enumerate(MINE) if records]
    whole = [bytes([which * 16 + 1]) + write(records) for which, records in found]
    return whole + [bytes([16 * len(found) + 1]) + as_json(OFFICIAL)] * (ENDS[rest % 4] == ".json")


def main() -> None:
    """Runs for the seconds given as argument (default 600)."""
    seconds = sys.argv[1] if len(sys.argv) > 1 else "600"
    seeds(BUILD / "corpus")
    options = [
        f"-max_total_time={seconds}",
        "-max_len=4000",
        "-timeout=20",
        f"-artifact_prefix={BUILD}/",
        "-print_final_stats=1",
        "-verbosity=1",
    ]
    atheris.Setup([sys.argv[0], *options, str(BUILD / "corpus")], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
