"""Starts Python programs quickly: forked from a process that has imported torch, transformers and Jupyter, which takes seconds each time.

    with serving() as start:                            # that process; it ends with the block
        subprocess.run([*start, "-m", "mtdnn_kit", …])  # like [sys.executable, "-m", "mtdnn_kit", …], but seconds faster

What a forked program starts with `sys.executable` is forked, too: a study's workers.

A test may want a program without some of these libraries: MTDNN_TESTS_WITHOUT="IPython papermill" makes importing them an error.

The command starts a small proxy: it asks for a fork with the caller's environment, folder and streams, passes signals on to it and exits
with its status. If the proxy is killed, or its parent has ended, the fork is killed. The kit is not imported beforehand: each program
imports it from its own path. The test that processes end with their parents (in `test_running`) starts its processes without this.
"""

import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

LIBRARIES = ("torch", "accelerate", "pandas", "scipy.stats", "ipykernel.kernelapp", "papermill", "transformers.integrations.sdpa_attention")
LIBRARIES += ("ipykernel.debugger", "ipywidgets", "anywidget", "tqdm.auto", "pyparsing", "PIL.PngImagePlugin", "kiwisolver")
LIBRARIES += tuple(f"transformers.models.{name}" for name in ("auto.modeling_auto", "bert.modeling_bert", "bert.tokenization_bert"))
LIBRARIES += ("matplotlib.pyplot",)
KERNEL, INLINE = "ipykernel_launcher", "module://matplotlib_inline.backend_inline"  # a kernel, and its backend of matplotlib
WITHOUT = "MTDNN_TESTS_WITHOUT"  # environment variable: packages that the program must not have
STARTER = "MTDNN_TESTS_STARTER"  # environment variable: the program that starts Python warm, as a warm program's children are started
PASSED = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
STARTED = """#!/bin/sh
# flags of Python's own need a Python of their own, except -u: output arrives with the process's end at the latest
[ "$1" = -u ] && shift
case "$1" in -m | -c | [!-]*) exec {python} -S -E {file} {socket} "$@" ;; esac
exec {python} "$@"
"""


@contextmanager
def serving() -> Iterator[list[str]]:
    """The beginning of a command line that replaces [sys.executable], for as long as the block lasts."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):  # not Linux, or an old one: start Python directly
        yield [sys.executable]
        return
    with tempfile.TemporaryDirectory(prefix="warm-") as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{folder}/socket")
        listener.listen(64)  # requests made before the imports are done wait
        here, there = os.pipe()
        command = [sys.executable, __file__, "--serve", str(listener.fileno()), str(here)]
        # A process that forks must have one thread. JPY_PARENT_PID: a kernel need not watch its parent, since the proxy does.
        alone = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "JPY_PARENT_PID": "1"}
        server = subprocess.Popen(command, pass_fds=(listener.fileno(), here), env=alone, start_new_session=True)
        os.close(here)
        starter = Path(folder, "python")
        starter.write_text(STARTED.format(python=sys.executable, file=__file__, socket=f"{folder}/socket"))
        starter.chmod(0o755)
        os.environ[STARTER] = str(starter)
        try:
            yield [str(starter)]
        finally:
            del os.environ[STARTER]
            os.close(there)
            server.wait()


@contextmanager
def kernels(start: list[str]) -> Iterator[None]:
    """Starts Jupyter's kernel "python3" this way, in this process and its children."""
    with tempfile.TemporaryDirectory(prefix="kernels-") as folder:
        spec = Path(folder, "kernels", "python3", "kernel.json")
        spec.parent.mkdir(parents=True)
        argv = [*start, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        # by message: a signal takes a way through the proxy, and one that comes after the kernel was told to end keeps it alive
        spec.write_text(json.dumps({"argv": argv, "display_name": "Python 3", "language": "python", "interrupt_mode": "message"}))
        os.environ["JUPYTER_PATH"] = folder
        try:
            yield
        finally:
            del os.environ["JUPYTER_PATH"]


def ask(path: str, argv: list[str]) -> None:
    """The proxy: asks for a fork of the program, and exits with its status."""
    parent, server = os.getppid(), socket.socket(socket.AF_UNIX)
    server.connect(path)
    ignored = [number for number in PASSED if signal.getsignal(number) == signal.SIG_IGN]
    for number in PASSED:
        signal.signal(number, lambda number, _: server.send(bytes([number])))
    given = json.dumps({"argv": argv, "cwd": os.getcwd(), "environment": dict(os.environ), "ignored": ignored}).encode()
    socket.send_fds(server, [struct.pack("I", len(given))], [0, 1, 2])
    server.sendall(given)
    while not select.select([server], [], [], 0.5)[0]:
        if os.getppid() != parent:
            os._exit(1)
    code = struct.unpack("i", server.recv(4) or struct.pack("i", 1))[0]
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code != signal.SIGKILL else None
        os.kill(os.getpid(), -code)
    os._exit(code)


def serve(listener: socket.socket, owner: int) -> dict:
    """Forks a program for each request, until `owner` is closed. Returns only in the forked programs: the request."""
    import gc
    import importlib

    sys.modules.setdefault("rfc3987_syntax", None)  # a grammar that takes 2 s to import, for addresses that no notebook has
    for name in LIBRARIES:
        importlib.import_module(name)
    gc.freeze()  # keep the shared objects out of garbage collection
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the watching processes
    while owner not in select.select([listener, owner], [], [])[0]:
        asker = listener.accept()[0]
        if not os.fork():
            listener.close()
            return watched(asker, owner)
        asker.close()
    os._exit(0)


def watched(asker: socket.socket, owner: int) -> dict:
    """Forks a program and watches it; returns the request in that program."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    size, streams, *_ = socket.recv_fds(asker, 4, 3)
    given, part = b"", size
    while part and len(given) < struct.unpack("I", size)[0]:
        part = asker.recv(1 << 20)
        given += part
    if not part:
        os._exit(1)  # the proxy has ended
    child = os.fork()
    if not child:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        for file in (*streams, asker.fileno(), owner):
            os.close(file)
        return json.loads(given)
    for stream in streams:
        os.close(stream)
    end, told = os.pidfd_open(child), b"-"
    while told and end not in (ready := select.select([asker, owner, end], [], [])[0]):
        told = asker.recv(1) if owner not in ready else b""
        os.kill(child, told[0] if told else signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with suppress(OSError):
        asker.sendall(struct.pack("i", code))
    os._exit(0)


def become(argv: list[str], cwd: str, environment: dict[str, str], ignored: list[int]) -> None:
    """Turns this process into the requested program: "-m MODULE …", "-c CODE …" or "FILE …"."""
    import runpy

    import matplotlib
    import torch

    for number, usual in PASSED.items():
        signal.signal(number, signal.SIG_IGN if number in ignored else usual)
    os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    if threads := environment.get("OMP_NUM_THREADS"):
        torch.set_num_threads(int(threads))
    matplotlib.rcParams["backend"] = environment.get("MPLBACKEND", INLINE if KERNEL in argv else "agg")
    without = environment.get(WITHOUT, "").split()
    for name in [name for name in sys.modules if name.partition(".")[0] in without]:
        del sys.modules[name]
    sys.meta_path.insert(0, Missing(without))
    what, rest = (argv[0], argv[1:]) if argv[0] in ("-m", "-c") else ("", argv)
    sys.argv, sys.executable = rest if what != "-c" else ["-c", *rest[1:]], environment.get(STARTER, sys.executable)
    sys.path[0] = str(Path(rest[0]).resolve().parent) if not what else ""
    sys.path[1:1] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    with quick_end():
        if what == "-c":
            exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})
        elif what == "-m":
            runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(rest[0], run_name="__main__")


class Missing:
    """A finder for which some packages are not installed."""

    def __init__(self, packages: list[str]) -> None:
        self.packages = packages

    def find_spec(self, name: str, *_: Any) -> None:
        if name.partition(".")[0] in self.packages:
            raise ModuleNotFoundError(f"No module named {name!r}")


@contextmanager
def quick_end() -> Iterator[None]:
    """Ends the process after the block, or at its SystemExit, without freeing each imported object, which takes a third of a second."""
    import atexit
    import threading

    code: Any = 0
    try:
        yield
    except SystemExit as end:
        code = end.code or 0
        if not isinstance(code, int):
            print(code, file=sys.stderr)
            code = 1
    if KERNEL not in sys.argv[0]:  # its functions of atexit wait, now and then ten or sixty seconds, for one another's threads
        threading._shutdown()  # waits for threads, as Python does before the functions of atexit
        atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        sys.exit(code)  # Python's own end says that nobody reads
    os._exit(code & 0xFF)


if __name__ == "__main__":
    if sys.argv[1] == "--serve":
        become(**serve(socket.socket(fileno=int(sys.argv[2])), int(sys.argv[3])))
    else:
        ask(sys.argv[1], sys.argv[2:])
