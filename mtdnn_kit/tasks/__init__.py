"""Task types, one file each: rows → features → loss → predictions.

A task type is a module with
  `HEAD`                                         the transformers class that its head is, as an Auto class's name
  `SETTINGS`                                     the parameters that its columns depend on
  `encode(rows, tokenizer, **settings)`          what is costly to make of rows, as columns that can be kept
  `features(rows, dataset, tokenizer, config, types, columns)`  items that fit into the encoder: `lengths` [N], `collate(items) -> Batch`
  `loss(logits, targets, config)`                mean over the batch's items
  `Reader(features, config)`                     `add(items, logits)` batch by batch, then `predictions()`, one a row
Scores: `qa.scores`, `labels.scores`. A new type is one new file here, its roles in `registry`, its rows in `rows`.
"""

from mtdnn_kit.tasks import mcc, qa, sc

TYPES = {"qa": qa, "sc": sc, "mcc": mcc}
