"""Hostile forms of valid files: random changes to bytes, text and values, biased towards what has broken readers before."""

import gzip
import json
from copy import deepcopy

import yaml
from hypothesis import strategies as st

DEEP, HUGE, LONE = "@DEEP@", "@HUGE@", "@LONE@"  # placeholders for what `json.dumps` refuses to write
MARKS = {DEEP: "[" * 3000 + "]" * 3000, HUGE: "9" * 5000}
ODD = st.one_of(
    st.sampled_from([None, True, False, 0, 1, -1, 2**31, 2**63, 2**64, -(2**70), 10**30, 0.5, -0.0, 1e308, 1e400, -1e400, float("nan")]),
    st.sampled_from(["", " ", "x", "1", "\0", "\ud800", "\u2028", "é" * 3000, "../../x", "/etc/passwd", "~nobody-here/x", "null", "NaN"]),
    st.sampled_from(
        [[], {}, [[]], [None], {"": None}, {"a": {"b": []}}, [1, "x"], ["x"] * 200, {str(i): i for i in range(200)}, DEEP, HUGE]
    ),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
)
BITS = [
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\r\n",
    b"\r",
    b"\n",
    b"\n\n",
    b"\xe2\x80\xa8",
    b'"',
    b"\\",
    b"\\ud800",
    b"{",
    b"}",
    b"[",
    b"]",
]
BITS += [
    b",",
    b":",
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"-0",
    b"9" * 5000,
    b"[" * 3000,
    b'{"a":' * 1500,
    b'"id": "again", ',
    b'{"id": 1, "id": 2}',
    b"\x1f\x8b",
]
WORDS = [
    "&a ",
    "*a",
    "*nobody",
    "<<: *a",
    "!!python/object/apply:os.system ['x']",
    "!!timestamp x",
    "!!int x",
    "!!float x",
    "!!bool x",
    "!!binary x",
]
WORDS += [
    "!!set {a}",
    "!!omap []",
    "!!null x",
    "!!int ''",
    "- ",
    "? ",
    "---\n",
    "...\n",
    "\t",
    "\0",
    "\x07",
    "\x85",
    "\ufeff",
    "\r\n",
    "{",
    "}",
    "[",
    "]",
]
WORDS += [
    "'",
    '"',
    '"\\ud800"',
    '"\\0"',
    "%YAML 9.9\n",
    "%TAG ! x\n",
    "1e9999",
    ".nan",
    ".inf",
    "-.inf",
    "0x" + "f" * 50,
    "9" * 5000,
    "2001-01-01",
]
WORDS += [
    "2001-99-99",
    "1:30",
    "0o7",
    "a: b: c\n",
    "|\n",
    ">-\n",
    "#",
    "=",
    "yes",
    "~",
    "<<",
    "[" * 3000,
    "{a: " * 500,
    "&b [*b]",
    "\ud800",
    "x" * 6000,
]
BOMB = "\n".join(["a0: &a0 [x, x, x]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12))])  # "billion laughs"


@st.composite
def bytes_of(draw, raw: bytes) -> bytes:
    """`raw` with one to four changes: cut off, left out, repeated, a bit flipped, something inserted."""
    for _ in range(draw(st.integers(1, 4))):
        a, b = sorted((draw(st.integers(0, len(raw))), draw(st.integers(0, len(raw)))))
        raw = draw(changes(raw, a, min(b, a + draw(st.sampled_from([1, 3, 40, 10**6])))))
    return raw


def changes(raw: bytes, a: int, b: int) -> st.SearchStrategy[bytes]:
    """The possible changes to bytes [a, b)."""
    cut = st.sampled_from([raw[:a], raw[:a] + raw[b:], raw[:b] + raw[a:]])
    turned = st.integers(0, 7).map(lambda bit: raw[:a] + bytes(byte ^ 1 << bit for byte in raw[a : a + 1]) + raw[a + 1 :])
    return cut | turned | (st.sampled_from(BITS) | st.binary(max_size=6)).map(lambda put: raw[:a] + put + raw[a:])


@st.composite
def text_of(draw, text: str) -> str:
    """YAML with one to three changes: a line removed, repeated or moved, or a word of WORDS inserted or put in place of a value."""
    lines = text.splitlines(keepends=True)
    for _ in range(draw(st.integers(1, 3))):
        i, j, word = (draw(s) for s in (st.integers(0, len(lines) - 1), st.integers(0, len(lines) - 1), st.sampled_from(WORDS)))
        line = lines[i]
        at = draw(st.integers(0, len(line)))
        key, colon, _ = line.partition(": ")
        lines[i] = draw(
            st.sampled_from([line + line, lines[j], "", "  " + line, f"{line[:at]}{word}{line[at:]}", f"{key}{colon}{word}\n", word + line])
        )
    return "".join(lines)


def places(value, path=()) -> list[tuple]:
    """The path of every value within a value, itself included."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in places(item, (*path, key)))]


@st.composite
def value_of(draw, value):
    """`value` with one to three of its values removed, renamed, repeated or replaced by an odd one."""
    value = deepcopy(value)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(places(value)))
        if not path:
            value = deepcopy(draw(ODD)) if draw(st.integers(0, 9)) == 0 else value
            continue
        holder = value
        for key in path[:-1]:
            holder = holder[key]
        change, key = draw(st.integers(0, 5)), path[-1]
        if change == 0:
            del holder[key]
        elif change == 1 and isinstance(holder, dict):
            holder[draw(st.text(max_size=6) | st.sampled_from(["id", "labels", "x" * 6000, "\ud800"]))] = holder.pop(key)
        elif change == 2 and isinstance(holder, list):
            holder.append(deepcopy(holder[key]))
        else:
            holder[key] = deepcopy(draw(ODD))  # copied: its lists may be changed in turn
    return value


def as_json(value) -> bytes:
    """JSON as Python writes it (NaN and unpaired surrogates included), with MARKS replaced by what Python does not write."""
    text = json.dumps(value)
    for mark, put in MARKS.items():
        text = text.replace(json.dumps(mark), put)
    return text.encode()


def json_of(value) -> st.SearchStrategy[bytes]:
    """JSON texts of `value`, changed as values or as bytes."""
    return value_of(value).map(as_json) | bytes_of(as_json(value))


def lines_of(values: list) -> st.SearchStrategy[bytes]:
    """JSON lines with a few changes: to one value, or to the bytes of all; some have other line ends or a byte order mark."""
    raw = b"".join(as_json(value) + b"\n" for value in values)

    @st.composite
    def one(draw) -> bytes:
        lines = [as_json(value) for value in values]
        for _ in range(draw(st.integers(1, 2))):
            i = draw(st.integers(0, len(lines) - 1))
            lines[i] = draw(st.one_of(value_of(values[i]).map(as_json), st.just(lines[draw(st.integers(0, len(lines) - 1))]), st.just(b"")))
        end = draw(st.sampled_from([b"\n"] * 5 + [b"\r\n", b"\r", b" \n", b"\n\n"]))
        return draw(st.sampled_from([b""] * 5 + [b"\xef\xbb\xbf", b"\xff\xfe"])) + end.join(lines) + draw(st.sampled_from([end, b""]))

    return st.one_of(one(), one(), bytes_of(raw), st.binary(max_size=60))


def packed(raw: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """gzip of `raw`: whole, cut off, with trailing data, or with changed bytes."""

    def of(data: bytes) -> st.SearchStrategy[bytes]:
        whole = gzip.compress(data, 1, mtime=0)
        return st.sampled_from([whole] * 3 + [whole[:-9], whole + whole, whole + b"\0" * 9, whole + b"x"]) | bytes_of(whole)

    return raw.flatmap(of)


def plain_yaml(value) -> str:
    """YAML of a value, or of its text if `safe_dump` cannot write it."""
    try:
        text = yaml.safe_dump(value, sort_keys=False, allow_unicode=False)
    except (yaml.YAMLError, ValueError):
        text = yaml.safe_dump(str(value)[:100])
    for mark, put in MARKS.items():
        text = text.replace(f"'{mark}'", put)
    return text


def nan_free(value):
    """`value` with each NaN as text: equal values then compare equal."""
    if isinstance(value, dict):
        return {key: nan_free(item) for key, item in value.items()}
    return [nan_free(item) for item in value] if isinstance(value, list) else "NaN" if value != value else value
