"""Windows' limits, simulated: no fcntl, folders that cannot be opened, no POSIX calls. The kit was not tested on Windows itself."""

import json
import subprocess

import pytest
from conftest import ROOT, THREADS

from mtdnn_kit import Run
from mtdnn_kit.files.atomic import write_folder, write_whole

PROGRAM = """
import importlib, json, os, pkgutil, signal, sys
def whole():
    import mtdnn_kit
    for module in pkgutil.walk_packages(mtdnn_kit.__path__, "mtdnn_kit."):
        importlib.import_module(module.name)
whole()  # imports all libraries first: these have separate code for Windows
for name in [name for name in sys.modules if name.split(".")[0] == "mtdnn_kit"]:
    del sys.modules[name]
missing = [(os, name) for name in ("O_NOFOLLOW", "O_DIRECTORY", "pread", "getuid", "fork", "killpg", "mkfifo")]
missing += [(signal, name) for name in ("SIGKILL", "SIGHUP", "SIGUSR1", "SIGALRM", "setitimer")]
for module, name in missing:
    delattr(module, name)
for name in ("fcntl", "pwd", "grp", "resource", "termios"):
    sys.modules[name] = None
opened = os.open
def refusing(path, flags, *more, **named):
    if os.path.isdir(path):
        raise PermissionError(13, "Permission denied", str(path))
    return opened(path, flags, *more, **named)
os.open = refusing
whole()
from mtdnn_kit import Config, ask, train
given = json.loads(sys.argv[1])
run = train(Config(**given))
again = train(Config(**{**given, "resume": True}))
assert again.finished and [len(list(run.nbest()))] == [len(again.answers())]
assert list(again.nbest()) == list(run.nbest())
print(json.dumps([ask(run, "Where?", "It rises in the Alps.")[0], len(run.log())]))
"""


def test_a_run_is_made_resumed_and_read_without_posix(tiny, tmp_path, python):
    folder = tmp_path / "Meine Läufe 東京" / "run one"
    small = dict(
        encoder=tiny, tasks=["squad", "cola"], max_steps=3, batch_size=2, max_length=96, overlap=10, eval_limit=4, checkpoint_every=2
    )
    given = {**small, "precision": "fp32", "device": "cpu", "threads": THREADS, "run_dir": str(folder)}
    done = subprocess.run([*python, "-c", PROGRAM, json.dumps(given)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    text, records = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(text, str) and records == 3 and Run(folder).finished


def test_a_folder_that_cannot_be_opened_is_not_synced_but_such_a_file_is_an_error(tmp_path, monkeypatch):
    import os

    opened = os.open

    def refusing(path, flags, *more, **named):
        if os.path.isdir(path) or str(path).endswith("secret"):
            raise PermissionError(13, "Permission denied")
        return opened(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", refusing)
    write_whole(tmp_path / "a", "1")
    write_folder(tmp_path / "b", lambda folder: write_whole(folder / "c", "2"))
    assert (tmp_path / "a").read_text() == "1" and (tmp_path / "b" / "c").read_text() == "2"
    from mtdnn_kit.files.atomic import sync

    (tmp_path / "secret").write_text("3")
    with pytest.raises(PermissionError):
        sync(tmp_path / "secret")


def test_no_module_imports_what_windows_lacks():
    from structure import imports, modules

    posix = {"fcntl", "pwd", "grp", "resource", "termios", "pty"}
    found = {name: used for name, tree in modules().items() if (used := imports(tree) & posix)}
    assert found == {"model.meter": {"resource"}}, "used if there is no /proc, and optional"
