"""Python's replies to the explorer's page: a task's rows, models' answers and salience, comparisons of two runs, notes, files.

A reply is the packed rows, {"reply": …}, or {"error": reason}, which the page shows at the request. Models, and torch with them, are loaded
on first use.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from mtdnn_kit.compare.clusters import CLUSTERS
from mtdnn_kit.compare.pairing import named
from mtdnn_kit.errors import CompareError, LockedError
from mtdnn_kit.explorer import answers_json, favourites, filters
from mtdnn_kit.explorer.answers_json import RunAnswers, shared_tasks
from mtdnn_kit.explorer.page import page
from mtdnn_kit.files.atomic import write_whole
from mtdnn_kit.files.paths import resolve
from mtdnn_kit.runs.run import Run

TROUBLE = (ValueError, OSError, LockedError)  # errors that become replies
FAVOURITE_ROWS, FIRST_ROWS = "favourites", "filter"
MOST_SIDE_BY_SIDE = 6  # runs


class Backend:
    """The answers of runs, task by task, and the actions on them. read: returns a task's `RunAnswers`; called once per task."""

    def __init__(self, runs: dict[str, Run], tasks: Sequence[str], read: Callable[[str], RunAnswers]):
        self.runs, self.tasks, self._read = runs, list(tasks), read
        self._answers: dict[str, RunAnswers] = {}
        self.folder = favourites.beside(list(runs.values())) if runs else None

    def answers(self, task: str) -> RunAnswers:
        """A task's answers. Raises CompareError and DataError if they cannot be read."""
        if task not in self._answers:
            self._answers[task] = self._read(task)
        return self._answers[task]

    def reply(self, asked: dict) -> dict | bytes:
        """The reply to `asked`, which has a kind and its arguments."""
        try:
            call = {
                "open": self._open,
                "ask": self._ask,
                "why": self._why,
                "compare": self._compare,
                "note": self._note,
                "page": self._page,
            }
            found = call[asked["kind"]](asked)
        except TROUBLE as error:
            return {"error": str(error)}
        except Exception as error:  # without a reply the page would wait
            return {"error": f"{type(error).__name__}: {error}"}
        return found if isinstance(found, bytes) else {"reply": found}

    def notes(self, task: str) -> dict[str, str]:
        """Notes of a task's favourites by id, from the file next to the runs."""
        return favourites.read(self.folder).get(task, {}) if self.folder else {}

    def _open(self, asked: dict) -> bytes:
        task = asked.get("task") or self.tasks[0]
        return answers_json.packed(answers_json.as_json(self.answers(task), self.notes(task)))

    def _run(self, asked: dict, number: int) -> tuple[str, Run]:
        name = self.answers(asked["task"]).columns.names[number]
        if name not in self.runs:
            raise CompareError(f"{name}: these answers have no run, so there is no model to ask")
        return name, self.runs[name]

    def _ask(self, asked: dict) -> dict:
        """Every run's answer to a user's question; thresholds: those the user moved, None for a run's own."""
        from mtdnn_kit.inference import asking

        replies: list[dict] = []
        for number, threshold in enumerate(asked["thresholds"]):
            try:
                _, run = self._run(asked, number)
                model = asking.load(run, run.parameters.task_of(asked["task"]))
                said = asking.ask(model, asked["question"], asked["passage"], threshold)
                at = model.threshold if threshold is None else threshold
                replies.append({"text": said.text, "start": said.start, "end": said.end, "diff": said.diff, "threshold": at})
            except TROUBLE as error:
                replies.append({"error": str(error)})
        return {"replies": replies}

    def _why(self, asked: dict) -> dict:
        """A run's start and end scores token by token, and the salience of the score of its answer, at a threshold (None: the run's)."""
        from mtdnn_kit.inference import asking, salience

        _, run = self._run(asked, asked["run"])
        model, texts = asking.load(run, run.parameters.task_of(asked["task"])), (asked["question"], asked["passage"])
        heat = asking.heat(model, *texts)
        tokens = [list(token) for token in zip(*(part.tolist() for part in heat[:4]), strict=True)]
        said = asking.ask(model, *texts, asked.get("threshold"))
        span = (said.start or 0, said.end or 0)  # empty for no answer
        weights = [[one.text, one.part, one.value] for one in salience.salience(model, *texts, span)]
        return {"heat": tokens, "nothing": [heat.nothing_start, heat.nothing_end], "salience": weights}

    def _compare(self, asked: dict) -> dict:
        return answers_json.comparison(self.answers(asked["task"]), asked["a"], asked["b"])

    def _note(self, asked: dict) -> dict:
        if self.folder is None:
            raise CompareError("these answers have no runs, so there is no folder for favourites")
        return favourites.keep(self.folder, asked["task"], str(asked["id"]), asked["note"])

    def _page(self, asked: dict) -> dict:
        """Writes some rows as a page next to the runs; it opens at the given thresholds."""
        if self.folder is None:
            raise CompareError("these answers have no runs, so there is no folder to write to: call .save(file)")
        answers, wanted = self.answers(asked["task"]), {str(one) for one in asked["ids"]}
        places = [i for i, one in enumerate(answers.items) if str(one.row.id) in wanted]
        file = self.folder / "exports" / f"{answers.task}-{safe_name(asked['name'])}.html"
        file.parent.mkdir(exist_ok=True)
        self._write(file, [(answers, None if len(places) == len(answers.items) else places)], asked["name"], asked.get("thresholds"))
        return {"said": f"Written: {file.relative_to(self.folder.parent)}"}

    def save(self, file: str | Path, only: str | None = None, tasks: Sequence[str] | None = None) -> Path:
        """`widgets.Explorer.save`."""
        tasks = [tasks] if isinstance(tasks, str) else tasks
        lacking = [task for task in tasks or () if task not in self.tasks]
        if lacking:
            raise CompareError(f"tasks: the runs have no answers for {lacking[0]!r}; choose from {', '.join(self.tasks)}")
        made = [(answers, self._places(answers, only)) for answers in map(self.answers, tasks or self.tasks)]
        made = [(answers, places) for answers, places in made if places is None or places]
        if not made:
            raise CompareError(f"only: no row passes {only!r}; choose another filter")
        path = resolve(str(file))
        if not path.parent.is_dir():
            raise CompareError(f"{path.parent}: there is no such folder for {path.name}; create it first")
        self._write(path, made, filters.DIFFER if only == FIRST_ROWS else only or "")
        return path

    def _places(self, answers: RunAnswers, only: str | None) -> list[int] | None:
        """Indices of the rows of a task that pass the filter `only`. Raises CompareError for an unknown filter."""
        if only is None:
            return None
        if only == FIRST_ROWS:
            return sorted(filters.first(answers.items))
        if only == FAVOURITE_ROWS:
            notes = self.notes(answers.task)
            return [i for i, one in enumerate(answers.items) if str(one.row.id) in notes]
        known = filters.all_filters(answers.items)
        if not any(only in filters.all_filters(self.answers(task).items) for task in self.tasks):
            raise CompareError(f"only: there is no filter {only!r}; choose from favourites, filter, {', '.join(list(known)[:12])} …")
        return [i for i, passes in enumerate(known.get(only, [])) if passes]

    def _write(
        self, file: Path, made: Sequence[tuple[RunAnswers, list[int] | None]], about: str, thresholds: list[float | None] | None = None
    ) -> None:
        """about: which rows these are, for the title of a page that holds a part of them."""
        about = about if any(places is not None and len(places) < len(answers.items) for answers, places in made) else ""
        names = ", ".join(made[0][0].columns.names)
        data = [answers_json.as_json(answers, self.notes(answers.task), places, compared=True) for answers, places in made]
        data = [{**one, "about": about, "thresholds": thresholds or []} for one in data]
        write_whole(file, page(data, f"Answers of {names} to {made[0][0].task}{about and f': {about}'}"))


def safe_name(text: str) -> str:
    """`text` as part of a file's name: letters and digits of any script, - and _; what lies between them becomes a -; at most 60."""
    return re.sub(r"[^\w-]+", "-", text)[:60] or "rows"


def backend_of(runs: Sequence[str | Run], task: str | None = None, data: str | None = None, cluster: str = "passage") -> Backend:
    """The backend of one to six runs; arguments and errors as those of `widgets.explore`."""
    by_name = named(runs)
    if not 1 <= len(by_name) <= MOST_SIDE_BY_SIDE:
        raise CompareError(f"runs: {len(by_name)} runs; the explorer shows 1 to {MOST_SIDE_BY_SIDE}")
    if cluster not in CLUSTERS:
        raise CompareError(f"cluster: {cluster!r} must be one of {', '.join(CLUSTERS)}")
    tasks = shared_tasks(by_name)
    if (task or tasks[0]) not in tasks:
        raise CompareError(f"task: not every run has answers for {task!r}; all have answers for {', '.join(tasks)}")
    first = task or tasks[0]
    ordered = [first, *(name for name in tasks if name != first)]
    made = Backend(by_name, ordered, lambda name: answers_json.read(by_name, name, data, cluster))
    made.answers(first)  # report unreadable data now
    return made
