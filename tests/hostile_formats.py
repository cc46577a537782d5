"""Valid datasets of every format, and hostile forms of their files. `hostile_readings` gives their expected content."""

import bz2
import gzip
import io
import lzma
from copy import deepcopy

import pyarrow as pa
import pyarrow.parquet
from hostile_data import as_json, bytes_of, places, value_of
from hypothesis import strategies as st

PASSAGE = 'Cork is the bark of an "oak", cut\nevery nine years; ñ and 😀 stay.'
TICKETS = [
    {
        "no": i,
        "who": f"c{i % 3}",
        "message": f'My "{topic}", please,\n{i}\tfails.',
        "topic": topic,
        "due": i % 2 == 0,
        "grade": 1 + 4 * (i % 2),
    }
    for i, topic in enumerate(["BILL", "SHIP", "TECH", "BILL", "SHIP", "TECH"])
]
EXAM = [
    {"stem": f"{i} + 2 is", "a": f"{i + 1}", "b": f"{i + 2}", "c": "ñ, or \"x\"", "key": "B", "right": f"{i + 2}"} for i in range(4)
]  # fmt: skip
LISTS = [{"stem": row["stem"], "options": [row["a"], row["b"], row["c"]], "key": 1} for row in EXAM]
ASKED = [
    {"id": f"q{i}", "part": i, "context": PASSAGE, "question": f"What, {i}?", "text": word, "first": PASSAGE.index(word)}
    for i, word in enumerate(["Cork", '"oak"', "nine years", "😀"])
]
HUB = [
    {"id": row["id"], "title": "T", "context": PASSAGE, "question": row["question"], "answers": answers}
    for row, answers in zip(ASKED, [{"text": ["Cork", "bark"], "answer_start": [0, 12]}, {"text": [], "answer_start": []}] * 2, strict=True)
]
OFFICIAL = {
    "version": "v2.0",
    "data": [
        {"title": f"T{a}", "paragraphs": [{"context": PASSAGE, "qas": [
            {"id": f"{a}-{k}", "question": f"Which, {k}?", "is_impossible": not k,
             "answers": [{"text": "Cork", "answer_start": 0}, {"text": "bark", "answer_start": 12}][:k]} for k in range(3)]}]}
        for a in range(2)
    ],
}  # fmt: skip
SC = {"type": "sc", "columns": {"first": "message", "label": "topic"}, "score": None}
ROWS: dict[str, tuple[dict, list]] = {  # a definition without its files, and valid records
    "text labels": (SC | {"labels": {"BILL": "billing", "SHIP": "shipping", "TECH": "other"}}, TICKETS),
    "true and false": (
        SC | {"columns": {"first": "message", "second": "topic", "label": "due"}, "labels": {False: "no", True: "yes"}}, TICKETS
    ),
    "numbers": (SC | {"columns": {"first": "message", "label": "grade"}, "labels": {1: "bad", 5: "good"}, "metrics": ["f1"]}, TICKETS),
    "template": (
        {"type": "sc", "columns": {"label": "topic"}, "template": {"first": "{{{no}}} {who}: {message}"},
         "labels": ["BILL", "SHIP", "TECH"], "validation_ratio": 0.4, "group": "who"},
        TICKETS,
    ),
    "columns": (
        {"type": "mcc", "columns": {"context": "stem", "choices": ["a", "b", "c"], "label": "key"}, "labels": ["A", "B", "C"],
         "score": None},
        EXAM,
    ),
    "answer": (
        {"type": "mcc", "columns": {"context": "stem", "choices": ["a", "b", "c"], "answer": "right"}, "validation_ratio": 0.5}, EXAM
    ),
    "list": ({"type": "mcc", "columns": {"context": "stem", "choices": "options", "label": "key"}, "score": None}, LISTS),
    "starts": (
        {"type": "qa", "columns": {"id": "id", "context": "context", "question": "question", "answers": "text", "starts": "first"},
         "unanswerable": False, "validation_ratio": 0.3, "group": "part"},
        ASKED,
    ),
    "hub": ({"type": "qa", "score": None}, HUB),
}  # fmt: skip
PACK = {"": bytes, ".gz": lambda raw: gzip.compress(raw, 1, mtime=0), ".bz2": bz2.compress, ".xz": lambda raw: lzma.compress(raw, preset=0)}
UNPACK = {"": bytes, ".gz": gzip.decompress, ".bz2": bz2.decompress, ".xz": lzma.decompress}


def cell(value) -> str:
    """A value as a table's cell."""
    return value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else as_json(value).decode()


def table(records, delimiter: str, quoted: bool = True) -> bytes:
    """A table of records, hostile ones included: a value that is not a record gets its own line; missing columns make short lines."""
    first = next((r for r in records if isinstance(r, dict)), {}) if isinstance(records, list) else {}
    lines = [list(first)] + [
        list(r.values()) if isinstance(r, dict) else [r] for r in (records if isinstance(records, list) else [records])
    ]
    said = (
        delimiter.join
        if not quoted
        else lambda cells: delimiter.join('"' + c.replace('"', '""') + '"' if set(c) & set('",\t\r\n') else c for c in cells)
    )
    return "".join(said([cell(c) for c in cells]) + "\n" for cells in lines).encode("utf-8", "surrogatepass")


def parquet(records, compression: str = "none") -> bytes:
    """Parquet of records, column by column; a column with values of several types is written as text."""
    records = [r for r in records if isinstance(r, dict)] if isinstance(records, list) else []
    names = list(dict.fromkeys(name for r in records for name in r))
    arrays = [_array([r.get(name) for r in records]) for name in names]
    names = [name.encode("utf-8", "replace").decode() for name in names]
    out = pa.BufferOutputStream()
    pyarrow.parquet.write_table(pa.Table.from_arrays(arrays, names=names), out, compression=compression, row_group_size=3)
    return out.getvalue().to_pybytes()


def _array(values: list) -> pa.Array:
    try:
        array = pa.array(values)
        pyarrow.parquet.write_table(pa.table([array], ["x"]), io.BytesIO())
        return array
    except (pa.ArrowException, TypeError, ValueError, OverflowError, OSError):
        return pa.array([as_json(value).decode()[:9000] for value in values])


KINDS = {  # other types for a column of Parquet
    "binary": lambda a: a.cast(pa.binary()),
    "large": lambda a: a.cast(pa.large_string()),
    "dictionary": lambda a: a.dictionary_encode(),
    "small": lambda a: a.cast(pa.int8()),
    "float": lambda a: a.cast(pa.float32()),
    "time": lambda a: a.cast(pa.int64()).cast(pa.timestamp("ns")),
    "duration": lambda a: a.cast(pa.int64()).cast(pa.duration("us")),
    "decimal": lambda a: a.cast(pa.decimal128(30, 2)),
    "null": lambda a: pa.nulls(len(a)),
    "list": lambda a: pa.array([[x] for x in a.to_pylist()]),
    "bad text": lambda a: pa.Array.from_buffers(pa.string(), len(a), pa.array([b"\xff"] * len(a), pa.binary()).buffers()),
    "late": lambda a: pa.array([2**62] * len(a), pa.timestamp("us")),
}


@st.composite
def other_columns(draw, records: list[dict]) -> bytes:
    """Parquet of valid records with one column changed: another type, a duplicate, or another name."""
    whole = pyarrow.parquet.read_table(io.BytesIO(parquet(records)))
    arrays, names = [c.combine_chunks() for c in whole.columns], list(whole.column_names)
    i, change = draw(st.integers(0, len(names) - 1)), draw(st.sampled_from([*KINDS, "twice", "name"]))
    if change == "twice":
        arrays, names = [*arrays, arrays[i][::-1]], [*names, names[i]]
    elif change == "name":
        names[i] = draw(st.sampled_from(["", "x" * 6000, "a.b", names[0]]))
    else:
        try:
            arrays[i] = KINDS[change](arrays[i])
        except (pa.ArrowException, TypeError, ValueError):
            arrays[i] = pa.nulls(len(arrays[i]))
    out = pa.BufferOutputStream()
    pyarrow.parquet.write_table(pa.Table.from_arrays(arrays, names=names), out, version="2.6")
    return out.getvalue().to_pybytes()


WRITE = {
    ".csv": lambda records: table(records, ","),
    ".tsv": lambda records: table(records, "\t"),
    ".parquet": parquet,
    ".json": as_json,
    ".jsonl": lambda records: b"".join(as_json(record) + b"\n" for record in (records if isinstance(records, list) else [records])),
}


TEXTS = st.text(max_size=12) | st.sampled_from(
    ["", " ", "\ufeff", '"', '""x"', "a,b", "[1]", '{"text": []}', "true", "01", "-1", "\u2028", "\x85", "\0"]
)


@st.composite
def other_texts(draw, value):
    """`value` with one to three of its texts replaced; most results are still valid."""
    value = deepcopy(value)
    leaves = [path for path in places(value) if isinstance(inside(value, path), str) and path[-1] not in ("context", "answers", "right")]
    for path in draw(st.lists(st.sampled_from(leaves), min_size=1, max_size=3)):
        inside(value, path[:-1])[path[-1]] = draw(TEXTS)
    return value


def inside(value, path: tuple):
    """The value at a path that `places` gives."""
    for key in path:
        value = value[key]
    return value


@st.composite
def files(draw, end: str, records, write=None) -> tuple[str, bytes]:
    """(suffix, content) of a file with a fault in its values, its bytes or its compression."""
    write = write or WRITE[end]
    ways = [value_of(records).map(write), other_texts(records).map(write), bytes_of(write(records))]
    ways += [other_columns(records)] if end == ".parquet" else []
    raw = draw(st.one_of(ways))
    pack = draw(st.sampled_from([""] * 6 + [".gz", ".bz2", ".xz"]))
    whole = PACK[pack](raw)
    return end + pack, draw(st.one_of(*[st.just(whole)] * 3, bytes_of(whole))) if pack else whole
