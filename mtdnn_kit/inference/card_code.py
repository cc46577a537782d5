"""How an exported model is called with transformers alone, as code to copy, a template a task type. Knows no run and no model."""


def use(kind: str, pairs: bool, threshold: float, max_answer: int) -> str:
    """Markdown: the call of a model of task type `kind` (sc: of pairs or of single texts), and the one that uploads its folder.

    threshold: above which null − best means nothing; max_answer: tokens of the longest answer (qa).
    """
    code = {"qa": QA, "mcc": MCC, "sc": PAIR if pairs else SENTENCE}[kind]
    code = code.replace("THRESHOLD", repr(float(threshold))).replace("MAX_ANSWER", str(max_answer))
    parts = [f"```python\n{code}```", NOTE] if kind == "qa" else [f"```python\n{code}```"]
    return "\n\n".join([*parts, UPLOAD])


UPLOAD = """To upload this folder:

```python
from huggingface_hub import HfApi

HfApi().upload_folder(folder_path=".", repo_id="your-name/your-model")  # after create_repo, and logged in
```"""

NOTE = """A text that is longer than one window is cut here; `mtdnn_kit.load(run).answer(question, context)` reads all its windows."""

SENTENCE = """from transformers import pipeline

folder = "."  # this folder, or its name on the hub
classify = pipeline("text-classification", model=folder, truncation=True)
print(classify("The oak stood alone in the field."))
"""

PAIR = """from transformers import pipeline

folder = "."  # this folder, or its name on the hub
classify = pipeline("text-classification", model=folder, truncation=True)
print(classify({"text": "The oak stood alone in the field.", "text_pair": "There was a tree."}))
"""

MCC = """import torch
from transformers import AutoModelForMultipleChoice, AutoTokenizer

folder = "."  # this folder, or its name on the hub
tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForMultipleChoice.from_pretrained(folder)
context, start, choices = "The cook cuts the onions.", "Then she", ["fries them in butter.", "flies to the moon.", "is an onion."]
endings = [f"{start} {choice}".strip() for choice in choices]
inputs = tokenizer([context] * len(choices), endings, truncation=True, padding=True, return_tensors="pt")
with torch.inference_mode():
    logits = model(**{name: x[None] for name, x in inputs.items()}).logits[0]
print(choices[int(logits.argmax())], logits.softmax(0).tolist())
"""

QA = """import torch
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

folder, threshold, longest = ".", THRESHOLD, MAX_ANSWER  # this folder, or its name on the hub; nothing if null - best is more; in tokens
tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForQuestionAnswering.from_pretrained(folder)
question, context = "What gives cork?", "Cork is the bark of an oak."
inputs = tokenizer(question, context, truncation="only_second", return_offsets_mapping=True, return_tensors="pt")
offsets = inputs.pop("offset_mapping")[0].tolist()
read = zip(inputs.sequence_ids(0), inputs.tokens(0), offsets)  # a token can begin or end an answer if it holds a letter of the context
inside = torch.tensor([part == 1 and token != "▁" and context[a:b].strip() != "" for part, token, (a, b) in read])
with torch.inference_mode():
    out = model(**inputs)
start, end = (x[0].masked_fill(~inside, -torch.inf) for x in (out.start_logits, out.end_logits))
allowed = torch.ones(len(start), len(end), dtype=torch.bool).triu().tril(longest - 1)
scores = (start[:, None] + end).masked_fill(~allowed, -torch.inf)
i, j = divmod(int(scores.argmax()), len(end))
null = out.start_logits[0, 0] + out.end_logits[0, 0]  # at the first token, [CLS]
answer = context[offsets[i][0] : offsets[j][1]].strip() if null - scores[i, j] <= threshold else ""
print(repr(answer))
"""
