"""SQuAD 2.0 in the layout of the hub, with rows of a few words."""

from mtdnn_kit.data.split import CS224N_TITLES

QA = {
    "id": "q1",
    "title": "Rhine",
    "context": "It rises in the Alps.",
    "question": "Where?",
    "answers": {"text": ["the Alps"], "answer_start": [12]},
}
NO_ANSWER = {"text": [], "answer_start": []}


def official(monkeypatch, others: int = 5795) -> None:
    """6,078 questions on the 16 articles and `others` on another article, in shuffled order."""
    import datasets

    rows = [
        {**QA, "id": f"q{i}", "title": CS224N_TITLES[i % 16], "answers": QA["answers"] if i >= 3168 else NO_ANSWER} for i in range(6078)
    ]
    rows[100:100] = [{**QA, "id": f"o{i}"} for i in range(others)]
    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", lambda *a, **k: None)
    monkeypatch.setattr("datasets.load_dataset", lambda name, config, split: datasets.Dataset.from_list(rows))
