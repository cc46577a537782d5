"""The Hugging Face hub with an end to its waiting, and with its files' hashes checked: who does not answer is asked twice, and no more.

By itself the hub's client waits for some requests without end, asks again up to six times, sleeps for as long as a busy server says, and
takes a file of the right size for the right one. `datasets` is imported here only, and only to reach the hub. No code of the hub is run.
"""

import re
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from mtdnn_kit.data.cache import sha256_of
from mtdnn_kit.data.registry import Dataset
from mtdnn_kit.errors import DataError

TRIES = 2  # of the same request
PROBE_SECONDS = 5  # how long the hub may take to answer for a dataset
BUSY = (408, 429)  # "later", as all from 500 on


@dataclass
class Reach:
    """What came of the requests: `why` the hub counts as out of reach ("": it does not); `tries` of those not answered in full."""

    why: str = ""
    tries: Counter = field(default_factory=Counter)

    def asked(self, request: Any) -> None:
        """Before a request: gives up where it was made too often, and limits each of its waits."""
        from huggingface_hub import constants

        key, seconds = _key(request), constants.HF_HUB_DOWNLOAD_TIMEOUT
        if self.why or self.tries[key] >= TRIES:
            self.give_up(f"no answer within {seconds} seconds, {TRIES} times; HF_HUB_DOWNLOAD_TIMEOUT sets the seconds")
        self.tries[key] += 1
        limits = request.extensions.get("timeout", {})
        request.extensions["timeout"] = {kind: min(limits.get(kind) or seconds, seconds) for kind in ("connect", "read", "write", "pool")}

    def answered(self, reply: Any) -> None:
        """After the first lines of an answer: gives up where they say "later"."""
        if reply.status_code in BUSY or reply.status_code >= 500:
            self.give_up(f"it answers {reply.status_code} {reply.reason_phrase}")
        if reply.request.method != "GET" or "/resolve/" not in reply.request.url.path:  # else a file, of which more may be wanted
            del self.tries[_key(reply.request)]

    def give_up(self, why: str) -> None:
        """From now on nothing is asked any more. Raises what the hub's client takes for being offline: it then uses what it has."""
        from huggingface_hub.errors import OfflineModeIsEnabled

        self.why = self.why or why
        raise OfflineModeIsEnabled(f"the hub is out of reach: {self.why}")


def _key(request: Any) -> tuple:
    return request.method, str(request.url), request.headers.get("range")


@contextmanager
def patience() -> Iterator[Reach]:
    """Within it no request waits for more than HF_HUB_DOWNLOAD_TIMEOUT seconds (10 unless set) for the next bytes, nor is made a third
    time where it brought nothing; after that none is made at all, nor after "come later". The hub's client then takes what it has cached,
    or raises. A proxy and certificates are those of the environment (HTTPS_PROXY, SSL_CERT_FILE)."""
    from huggingface_hub import get_session, set_client_factory

    reach, plain = Reach(), get_session()
    client, hooks = partial(type(plain), follow_redirects=True, timeout=plain.timeout), plain.event_hooks
    patient: Any = {"request": [*hooks["request"], reach.asked], "response": [*hooks["response"], reach.answered]}
    set_client_factory(lambda: client(event_hooks=patient))
    try:
        yield reach
    finally:
        set_client_factory(lambda: client(event_hooks=hooks))


def is_named_right(file: Path) -> bool:
    """Whether a file that is called by a sha256, as large ones are in the hub's cache, or a link to such a name, has it; True for others.

    What is behind that name may be called by another hash, Xet's, which is not looked at.
    """
    names = (file.name, file.readlink().name if file.is_symlink() else "")
    named = next((name for name in names if re.fullmatch("[0-9a-f]{64}", name)), None)
    return named is None or sha256_of(file) == named


def from_hub(task: str, dataset: Dataset, split: str) -> Any:
    """The rows of a split (a `datasets.Dataset`) from the hub, or from its client's cache where the hub is out of reach.

    Raises DataError, within seconds: out of reach and not cached, no such dataset, configuration or split, or a damaged file.
    """
    local = f"set `data:` to a folder that holds {dataset.folder}/{split}.jsonl.gz"
    if dataset.hub is None:
        raise DataError(f"{task}: not on the hub in these columns, so only a local folder will do: {local}")
    import datasets
    from huggingface_hub import HfApi, constants

    constants.HF_HUB_DISABLE_TELEMETRY, datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = True, False
    fetch = partial(datasets.load_dataset, dataset.hub, dataset.hub_config, split=split)
    answered, offline = False, datasets.config.HF_HUB_OFFLINE
    with patience() as reach:
        try:
            HfApi().dataset_info(dataset.hub, timeout=PROBE_SECONDS)
            answered = True
            found = fetch()
            _refuse_damaged(dataset.hub, [Path(file["filename"]).parent for file in found.cache_files])
            return found
        except DataError:
            raise
        except Exception as error:  # the hub's client raises several unrelated families
            problem, answered = error, answered and not reach.why and "httpx" not in type(error).__module__
        if answered:  # what it gave may be what is wrong
            _refuse_damaged(dataset.hub)
        try:
            datasets.config.HF_HUB_OFFLINE = True
            return fetch()
        except Exception as error:
            raise DataError(_message(dataset, split, reach.why or problem, error, answered, local)) from None
        finally:
            datasets.config.HF_HUB_OFFLINE = offline


def _refuse_damaged(name: str, made: Sequence[Path] = ()) -> None:
    """Raises DataError where files in the hub's cache are not what the hub says; they are deleted then, and the folders made of them."""
    from huggingface_hub import constants

    blobs = Path(constants.HF_HUB_CACHE, f"datasets--{name.replace('/', '--')}", "blobs")
    damaged = [file for file in sorted(blobs.glob("*")) if not is_named_right(file)]
    if not damaged:
        return
    for folder in made:
        shutil.rmtree(folder, ignore_errors=True)
    for file in (*damaged, *(file.resolve() for file in damaged)):
        file.unlink(missing_ok=True)
    raise DataError(
        f"hub {name}: {len(damaged)} of its files have another sha256 than the hub says, the first {damaged[0]}: damaged on the way "
        "or since. They are deleted from the cache: start again, and they are fetched again."
    )


def _message(dataset: Dataset, split: str, problem: Exception | str, error: Exception, answered: bool, local: str) -> str:
    """`problem`: what the hub did not give, or why it counts as out of reach; `error`: why the cache gave nothing, either."""
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    if isinstance(problem, (HFValidationError, RepositoryNotFoundError)):
        return f"hub {dataset.hub}: the hub has no such dataset, or it is private: correct its name in `hub:`, or {local}"
    if isinstance(error, ConnectionError) and not answered:
        return (
            f"hub {dataset.hub}: the Hugging Face hub can't be reached ({problem}) and no copy is cached. "
            f'Either {local}, or to "sample", or go online once so that the dataset is cached.'
        )
    config = f"configuration {dataset.hub_config!r} and " if dataset.hub_config else ""
    said = problem if answered else error
    return f"hub {dataset.hub}: {config}split {split!r} can't be loaded ({said}): correct what is wrong there, or {local}"
