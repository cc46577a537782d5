"""Task types, one file each: rows → features → loss → predictions → scores.

A task type is a module with
  `HEAD`                                         the transformers Auto class of its head, by name; or a class of its own,
                                                 whose `HEAD(config)` takes the encoder's states and gives logits (docs/task-types.md)
  `OUTPUTS`                                      the head's number of outputs, if it is not the number of labels
  `SETTINGS`                                     the parameters that the columns of `encode` depend on
  `encode(rows, tokenizer, **settings)`          the costly part (tokens), as columns that can be cached
  `features(rows, dataset, tokenizer, config, types, columns)`  items for the encoder: `lengths` [N], `collate(items) -> Batch`
  `logits(out, inputs)`                          the logits from the head's output, if they are not `out.logits`
  `loss(logits, targets, config)`                mean over the batch's items
  `Reader(features, config)`                     `add(items, logits)` batch by batch, then `predictions()`, one per row
  `scores(rows, predictions, metrics)`           {score: percent, "n": rows}
`registry` holds the roles of the built-in types, `rows` their rows. A custom type is one file, anywhere, that defines these too and is
registered: see `register`, and docs/task-types.md.
"""

import hashlib
from pathlib import Path
from types import ModuleType
from typing import Any

from mtdnn_kit.data import registry, rows, table

TYPES: dict[str, Any]  # name → module; made on first access, because the built-in types import torch
NEEDED = ("HEAD", "KIND", "SETTINGS", "Reader", "Row", "encode", "features", "loss", "parse", "scores")


def __getattr__(name: str) -> Any:
    """TYPES, filled with the built-in types."""
    if name != "TYPES":
        raise AttributeError(f"mtdnn_kit.tasks has no {name!r}")
    from mtdnn_kit.tasks import mcc, qa, sc

    globals()["TYPES"] = {"qa": qa, "sc": sc, "mcc": mcc}
    return globals()["TYPES"]


def register(name: str, module: ModuleType) -> None:
    """Registers a module as a task type, which a parameter file can then name (`define: {TASK: {type: NAME, …}}`).

    Besides the names that every type has, the module needs `KIND`, a `registry.Kind` with its roles, labels and metrics; `Row`, a
    NamedTuple of JSON values and tuples of them, with `id` first; and `parse(dataset, record, number) -> Row`, which raises DataError.
    Registering a name again replaces the type. Raises ValueError for a built-in or invalid name, and for a module that lacks something.
    """
    from mtdnn_kit.tasks import TYPES

    if name in ("qa", "sc", "mcc") or not name.isidentifier():
        raise ValueError(
            f"task type {name!r}: {'it is built in; rename yours' if name in TYPES else 'use letters, digits and _, and no digit first'}"
        )
    lacking = [part for part in NEEDED if not hasattr(module, part)]
    if lacking or module.Row._fields[0] != "id":
        raise ValueError(f"task type {name!r}: {module.__name__} has no {lacking[0] if lacking else 'Row with id as first field'}")
    file = Path(module.__file__ or "")
    registry.REGISTERED[name] = {"file": file.name, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    registry.KINDS[name], rows.PARSERS[name], table.ROWS[name], TYPES[name] = module.KIND, module.parse, module.Row, module
