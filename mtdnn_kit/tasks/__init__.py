"""Task types, one file each: rows → features → loss → predictions → scores.

A task type is a module with
  `HEAD`                                         the transformers class that its head is, as an Auto class's name; or a class of its own,
                                                 whose `HEAD(config)` takes the encoder's states and gives logits (docs/task-types.md)
  `OUTPUTS`                                      the head's number of outputs, where it is not that of the dataset's labels
  `SETTINGS`                                     the parameters that its columns depend on
  `encode(rows, tokenizer, **settings)`          what is costly to make of rows, as columns that can be kept
  `features(rows, dataset, tokenizer, config, types, columns)`  items that fit into the encoder: `lengths` [N], `collate(items) -> Batch`
  `logits(out, inputs)`                          of what the head gives, where it is not `out.logits`
  `loss(logits, targets, config)`                mean over the batch's items
  `Reader(features, config)`                     `add(items, logits)` batch by batch, then `predictions()`, one a row
  `scores(rows, predictions, metrics)`           {score: percent, "n": rows}
The kit's own have their roles in `registry` and their rows in `rows`. A type of one's own is one file anywhere that has those too and is
registered: see `register`, and docs/task-types.md.
"""

from types import ModuleType
from typing import Any

from mtdnn_kit.data import registry, rows, table

TYPES: dict[str, Any]  # name → module; made when first asked for, since the kit's own bring torch
NEEDED = ("HEAD", "KIND", "SETTINGS", "Reader", "Row", "encode", "features", "loss", "parse", "scores")


def __getattr__(name: str) -> Any:
    """TYPES, with the kit's own types."""
    if name != "TYPES":
        raise AttributeError(f"mtdnn_kit.tasks has no {name!r}")
    from mtdnn_kit.tasks import mcc, qa, sc

    globals()["TYPES"] = {"qa": qa, "sc": sc, "mcc": mcc}
    return globals()["TYPES"]


def register(name: str, module: ModuleType) -> None:
    """Makes a module a task type, which a parameter file can name from then on (`define: {TASK: {type: NAME, …}}`).

    Besides what every type has: `KIND`, a `registry.Kind`, its roles, labels and metrics; `Row`, a NamedTuple with `id` first, of JSON's
    values and tuples of them; `parse(dataset, record, number) -> Row`, which raises DataError. Registered again, it takes the old one's
    place. Raises ValueError: a name that is the kit's or no word, a module that lacks something.
    """
    from mtdnn_kit.tasks import TYPES

    if name in ("qa", "sc", "mcc") or not name.isidentifier():
        raise ValueError(f"task type {name!r}: {'is the kit’s own' if name in TYPES else 'a name has letters, digits and _ only'}")
    lacking = [part for part in NEEDED if not hasattr(module, part)]
    if lacking or module.Row._fields[0] != "id":
        raise ValueError(f"task type {name!r}: {module.__name__} has no {lacking[0] if lacking else 'row that begins with its id'}")
    registry.KINDS[name], rows.PARSERS[name], table.ROWS[name], TYPES[name] = module.KIND, module.parse, module.Row, module
