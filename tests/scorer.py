"""A second implementation of the official SQuAD 2.0 scores, written from their definition; it shares no code with the kit.

records: the dataset's rows as dicts with `id` and `answers: {"text": [...]}`; predictions: {id: text}. Slow and simple on purpose.
"""

import re
from functools import cache

ASCII_PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"


@cache
def words_of(text: str) -> list[str]:
    kept = "".join(letter for letter in text.lower() if letter not in ASCII_PUNCTUATION)
    return re.sub(r"\b(?:an?|the)\b", " ", kept).split()


def score(records: list[dict], predictions: dict[str, str]) -> dict[str, float]:
    em = f1 = 0.0
    for record in records:
        golds = [words for words in map(words_of, record["answers"]["text"]) if words] or [[]]
        said = words_of(predictions[record["id"]])
        em += said in golds
        f1 += max(overlap(said, gold) for gold in golds)
    return {"em": 100 * em / len(records), "f1": 100 * f1 / len(records), "n": len(records)}


def overlap(said: list[str], gold: list[str]) -> float:
    if not said or not gold:
        return float(said == gold)
    left, common = list(gold), 0
    for word in said:
        if word in left:
            left.remove(word)
            common += 1
    return 2 * common / (len(said) + len(gold))
