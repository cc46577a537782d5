"""The Hugging Face hub with bounded waits and checked file hashes: a request without an answer is repeated once, and no more.

By default the hub's client waits for some requests without a limit, retries up to six times, sleeps for as long as a busy server asks, and
accepts any file of the right size. `datasets` is imported here only, and only to reach the hub. No code from the hub is run.
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

TRIES = 2  # attempts at the same request
PROBE_SECONDS = 5  # how long the hub may take to answer for a dataset
BUSY = (408, 429)  # "later", as all from 500 on


@dataclass
class Reach:
    """The outcome of the requests: `why` the hub is out of reach ("": it is not); `tries` of requests without a complete answer."""

    why: str = ""
    tries: Counter = field(default_factory=Counter)

    def asked(self, request: Any) -> None:
        """Called before a request: gives up after too many tries, and limits each wait."""
        from huggingface_hub import constants

        key, seconds = _key(request), constants.HF_HUB_DOWNLOAD_TIMEOUT
        if self.why or self.tries[key] >= TRIES:
            self.give_up(f"no answer within {seconds} seconds, {TRIES} times; HF_HUB_DOWNLOAD_TIMEOUT sets the seconds")
        self.tries[key] += 1
        limits = request.extensions.get("timeout", {})
        request.extensions["timeout"] = {kind: min(limits.get(kind) or seconds, seconds) for kind in ("connect", "read", "write", "pool")}

    def answered(self, reply: Any) -> None:
        """Called after the head of a response: gives up if it says "come later"."""
        if reply.status_code in BUSY or reply.status_code >= 500:
            self.give_up(f"it answers {reply.status_code} {reply.reason_phrase}")
        if reply.request.method != "GET" or "/resolve/" not in reply.request.url.path:  # the rest of a file may be requested later
            del self.tries[_key(reply.request)]

    def give_up(self, why: str) -> None:
        """Stops all further requests. Raises the error that makes the hub's client use its cache, as if offline."""
        from huggingface_hub.errors import OfflineModeIsEnabled

        self.why = self.why or why
        raise OfflineModeIsEnabled(f"the hub is out of reach: {self.why}")


def _key(request: Any) -> tuple:
    return request.method, str(request.url), request.headers.get("range")


@contextmanager
def patience() -> Iterator[Reach]:
    """Within this context a request waits at most HF_HUB_DOWNLOAD_TIMEOUT seconds (default 10) for the next bytes. After two tries without
    an answer, or one "come later", no request is made any more: the hub's client then uses its cache, or raises. Proxy and certificates
    come from the environment (HTTPS_PROXY, SSL_CERT_FILE)."""
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
    """Whether a file named by a sha256 (as large files in the hub's cache are), or a link to one, has that hash; True for other files.

    The link's target may be named by another hash, Xet's, which is not checked.
    """
    names = (file.name, file.readlink().name if file.is_symlink() else "")
    named = next((name for name in names if re.fullmatch("[0-9a-f]{64}", name)), None)
    return named is None or sha256_of(file) == named


def from_hub(task: str, dataset: Dataset, split: str) -> Any:
    """The rows of a split (a `datasets.Dataset`) from the hub, or from its client's cache where the hub is out of reach.

    Raises DataError within seconds if the hub is out of reach and nothing is cached, if there is no such dataset, configuration or split,
    or if a file is damaged.
    """
    local = f"set `data:` to a folder that holds {dataset.folder}/{split}.jsonl.gz"
    if dataset.hub is None:
        raise DataError(f"{task}: the hub does not have it in these columns: {local}")
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
        if answered:  # the downloaded file may be at fault
            _refuse_damaged(dataset.hub)
        try:
            datasets.config.HF_HUB_OFFLINE = True
            return fetch()
        except Exception as error:
            raise DataError(_message(dataset, split, reach.why or problem, error, answered, local)) from None
        finally:
            datasets.config.HF_HUB_OFFLINE = offline


def _refuse_damaged(name: str, made: Sequence[Path] = ()) -> None:
    """Raises DataError if the hashes of files in the hub's cache differ from the hub's; deletes these files and the folders made from
    them."""
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
        f"hub {name}: {len(damaged)} of its files have a wrong sha256, the first {damaged[0]}: they were damaged in transfer or "
        "on disk, and are now deleted from the cache. Start again to download them."
    )


def _message(dataset: Dataset, split: str, problem: Exception | str, error: Exception, answered: bool, local: str) -> str:
    """`problem`: the hub's error, or why it is out of reach; `error`: why the cache could not serve either."""
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    if isinstance(problem, (HFValidationError, RepositoryNotFoundError)):
        return f"hub {dataset.hub}: the hub has no such dataset, or it is private: correct the name in `hub:`, or {local}"
    if isinstance(error, ConnectionError) and not answered:
        return (
            f"hub {dataset.hub}: the Hugging Face hub can't be reached ({problem}) and no copy is cached. "
            f'Either {local}, or to "sample", or go online once to cache the dataset.'
        )
    config = f"configuration {dataset.hub_config!r} and " if dataset.hub_config else ""
    said = problem if answered else error
    return f"hub {dataset.hub}: {config}split {split!r} can't be loaded ({said}): correct the definition, or {local}"
