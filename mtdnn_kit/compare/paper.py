"""What the paper reports, as plain data: tables 1 to 3 (figures 3 and 4 plot the first two) and its three examples.

EM and F1 in percent on the 6,078 questions of the CS224N split of SQuAD 2.0's dev set, 3,168 of them unanswerable; one run a setting.
"""

from typing import NamedTuple

QUESTIONS, UNANSWERABLE = 6078, 3168
TABLES = {  # name → {setting: (EM, F1)}
    "table 1": {  # weight of question answering, BERT-base, QA+MCC+SC
        "0.5": (72.08, 75.224),
        "0.7": (73.445, 76.426),
        "0.8": (74.58, 77.15),
        "0.9": (73.92, 76.47),
        "1.0": (73.544, 76.18),
    },
    "table 2": {  # mixtures at weight 0.8, BERT-base
        "QA": (73.544, 76.18),
        "QA+MCC": (73.988, 76.754),
        "QA+SC": (73.56, 76.435),
        "QA+MCC+SC": (74.58, 77.15),
    },
    "table 3": {"QA": (77.902, 80.831), "QA+MCC+SC": (78.578, 81.573)},  # BERT-large
}


class Example(NamedTuple):
    """An example of the paper's qualitative section: how to find its question (title, words of it), and what the models are said to do."""

    title: str
    words: tuple[str, ...]
    gold: str
    says: str


EXAMPLES = (
    Example("Normans", ("ruined", "Roussel"), "Alexius Komnenos", "models with SC answer, the others return nothing"),
    Example("Normans", ("Anglo-Norman", "final form"), "Modern English", "models with SC answer, the others return nothing"),
    Example("1973_oil_crisis", ("times more", "pay"), "ten times more", "models with SC answer “ten times more”, the others “ten”"),
)
