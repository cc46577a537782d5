"""A worker that trains nothing: it turns its input, a line of JSON as for `studies.worker`, into a finished run folder. Needs only Python.

STUB_DATA: a file with the manifest's entry on the rows. STUB_HANGS: it starts its run, and exits unfinished once its driver has ended.
STUB_FAILS: the name of a run that fails. Each life appends its run's name and its driver to `lives` in the study's folder.
"""

import json
import os
import sys
import time


def finish(folder: str, parameters: dict, record: dict, data: dict) -> None:
    """Writes a finished run of ten steps; the manifest last and atomically."""
    os.makedirs(folder, exist_ok=True)
    rows = [{"step": k + 1, "task": "squad", "loss": 1.0, "tokens": 1, "tokens_per_second": 1.0} for k in range(10)]
    manifest = {"status": "finished", "steps": 10, "draws": {"squad": 10}, "data": data}
    texts = {"study.json": json.dumps(record), "config.yaml": json.dumps(parameters), "metrics.json": "{}"}
    texts |= {"log.jsonl": "".join(json.dumps(row) + "\n" for row in rows), "manifest.json": json.dumps(manifest)}
    for name, text in texts.items():
        with open(f"{folder}/{name}.partial", "w") as file:
            file.write(text)
        os.replace(f"{folder}/{name}.partial", f"{folder}/{name}")


def main() -> None:
    """One life."""
    given = json.loads(sys.stdin.readline())
    folder, name = os.path.dirname(given["made"]), given["record"]["run"]
    with open(f"{folder}/../lives", "a") as lives:
        lives.write(json.dumps([name, os.getppid()]) + "\n")
    if os.environ.get("STUB_HANGS"):
        sys.stdin.read()
        sys.exit(1)
    if os.environ.get("STUB_FAILS") == name:
        sys.exit("no luck")
    time.sleep(0.2)
    with open(os.environ["STUB_DATA"]) as data:
        finish(folder, given["parameters"], given["record"], json.load(data))


if __name__ == "__main__":
    main()
