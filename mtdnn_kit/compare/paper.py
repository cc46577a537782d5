"""What the paper reports, as plain data (paper.yaml): tables 1 to 3 (figures 3 and 4 plot the first two) and its three examples.

EM and F1 in percent on the 6,078 questions of the CS224N split of SQuAD 2.0's dev set, 3,168 of them unanswerable; one run per setting.
"""

from pathlib import Path
from typing import NamedTuple

from mtdnn_kit.files.yaml_files import read_yaml, text_of


class Example(NamedTuple):
    """An example of the paper's qualitative section: how to find its question (title, words of it), and what the paper reports on the
    models."""

    title: str
    words: list[str]
    gold: str
    says: str


_REPORTED = read_yaml(text_of(Path(__file__).with_suffix(".yaml")))
# name → {setting: (EM, F1)}
TABLES: dict[str, dict[str, tuple[float, float]]] = {
    table: {setting: (em, f1) for setting, (em, f1) in rows.items()} for table, rows in _REPORTED["tables"].items()
}
EXAMPLES = tuple(Example(**example) for example in _REPORTED["examples"])
