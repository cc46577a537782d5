"""Task types, one file each: rows → features → loss → predictions.

A task type is a module with
  `features(rows, dataset, tokenizer, config)`  items that fit into the encoder, with `lengths` [N] and `collate(items) -> Batch`
  `loss(logits, targets, config)`               mean over the batch's items
  `Reader(features, config)`                    `add(items, logits)` batch by batch, then `predictions()` and `scores(...)`
and a head that transformers builds (`HEAD`, the name of an Auto class). A new type is one new file and one line here.
"""

from mtdnn_kit.tasks import mcc, qa, sc

TYPES = {"qa": qa, "sc": sc, "mcc": mcc}
