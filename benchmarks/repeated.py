"""A data folder of as many questions as a benchmark needs: real rows, repeated under new ids. No two copies of a text are the same.

Passages are repeated with all their questions; both get the copy's number at their end, which defeats the tokenizer's cache. A passage has
as many questions as in the real data (SQuAD 2.0's training set: 6.8; these: 6.4).
"""

import gzip
import json
from pathlib import Path

SETS = ("squad/train", "squad1/train", "squad/validation")


def write(count: int, data: str, folder: Path) -> None:
    """FOLDER/squad/train.jsonl of `count` questions made from those in the folder `data`, and its validation set unchanged."""
    rows = [row for name in SETS for row in read(data, name)]
    (folder / "squad").mkdir(parents=True)
    with open(folder / "squad" / "train.jsonl", "w") as file:
        for number in range(count):
            copy, place = divmod(number, len(rows))
            row = rows[place]
            more = {"context": f"{row['context']} ({copy})", "question": f"{row['question']} ({copy})"} if copy else {}
            file.write(json.dumps({**row, "id": f"{number} {row['id']}", **more}, ensure_ascii=False) + "\n")
    (folder / "squad" / "validation.jsonl.gz").write_bytes(Path(data, "squad/validation.jsonl.gz").read_bytes())


def read(data: str, name: str) -> list[dict]:
    """The records of a split."""
    with gzip.open(Path(data, f"{name}.jsonl.gz"), "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]
