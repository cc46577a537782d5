"""Files as the standard library and pyarrow write them, as bytes."""

import csv
import io
import json

import pyarrow as pa
import pyarrow.parquet


def jsonl(records: list[dict]) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def table(records: list[dict], delimiter: str = ",") -> bytes:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(records[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(records)
    return out.getvalue().encode()


def parquet(records: list[dict]) -> bytes:
    out = pa.BufferOutputStream()
    pyarrow.parquet.write_table(pa.Table.from_pylist(records), out)
    return out.getvalue().to_pybytes()
