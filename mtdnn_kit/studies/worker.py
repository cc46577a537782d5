"""One run of a study: notebook 02 under papermill, only `train`, or a merge, in a separate process that ends when its parent ends.

The parent writes one line of JSON to its standard input (`engines.Job`) and keeps that open; whatever ends the parent, a kill that it
cannot catch included, closes it. papermill's kernel in turn watches this process. It first records in the run's folder what the run is made
with. Without a notebook it neither needs nor imports Jupyter.
"""

import json
import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

from mtdnn_kit.config import Config
from mtdnn_kit.files.atomic import write_json
from mtdnn_kit.files.locks import held
from mtdnn_kit.studies.status import RECORD, code, differing

WORKER_GONE = 60.0  # seconds that a killed process may take to release its folder
GRACE = 60  # seconds from the interrupt to the end: a step is finished and its checkpoint written in between


def main() -> None:
    """Executes the run; its error ends the process with a traceback and code 1."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore SIGINT, and their children would as well
    given = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    notebook, folder, record = Path(given["notebook"]), Path(given["made"]).parent, given["record"]
    changed = differing(code(notebook), record["code"])
    if changed:
        sys.exit(f"{', '.join(changed)} changed while the study was running; start it again")
    with held(folder / ".papermill", "a run is active", WORKER_GONE):
        write_json(folder / RECORD, record)
        if given.get("merge"):
            from mtdnn_kit.inference.merging import merge

            merge(**given["merge"], run_dir=given["parameters"]["run_dir"])
        elif given["plain"]:
            from mtdnn_kit.training.trainer import train

            train(Config(**given["parameters"]))
        else:
            execute(notebook, Path(given["made"]), given["parameters"])


def execute(notebook: Path, made: Path, parameters: dict) -> None:
    """Executes a notebook with papermill, with its kernel on sockets in a folder, because kernels that start together may take the same
    ports."""
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]  # a grammar of 1.5 s, of addresses that no notebook has
    import papermill
    import traitlets.config
    from nbclient.exceptions import DeadKernelError

    with tempfile.TemporaryDirectory(prefix="kernel-") as folder:
        patient = {"shutdown_wait_time": 2 * GRACE}  # half of it from the interrupt to SIGTERM
        transport = "tcp" if os.name == "nt" else "ipc"  # Windows has no ipc
        sockets = traitlets.config.Config(KernelManager={"transport": transport, "connection_file": f"{folder}/kernel.json", **patient})
        try:
            papermill.execute_notebook(str(notebook), str(made), parameters, kernel_name="python3", progress_bar=False, config=sockets)
        except DeadKernelError:
            sys.exit(
                "its kernel died: it was killed, or memory ran out. Written files are intact; run it again to continue from the last "
                "checkpoint (checkpoint_every)."
            )


def _end_with_parent() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGINT)  # papermill then ends its kernel, `train` after a checkpoint
    time.sleep(GRACE)
    os._exit(1)


if __name__ == "__main__":
    main()
