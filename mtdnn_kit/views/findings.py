"""The findings at the top of a notebook or page, as sentences with numbers, and tables folded below the figures.

The template findings.html defines their look. Computes no reported number: sentences are made from the rows of tables and figures.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mtdnn_kit.compare.differences import Settings, family_p, setting_table
from mtdnn_kit.compare.learnt import NOT_SHOWN, ODD_PLACEBO, PLACEBO, UNKNOWN, YES, not_learnt
from mtdnn_kit.compare.pairing import Question
from mtdnn_kit.files.atomic import write_whole
from mtdnn_kit.files.wording import duration, some
from mtdnn_kit.runs.run import Run
from mtdnn_kit.views.tables import shown
from mtdnn_kit.views.templates import Html, macros

SUMMARY = "summary.md"  # in a study's folder: what was trained, what follows, what to do next
_page = partial(macros, "views/findings.html")


class InShort:
    """The findings of a notebook at its top, filled in by the sections below: `short(section, sentence)` also returns the sentence as the
    section shows it. The first is the notebook's own finding."""

    def __init__(self) -> None:
        from IPython.display import display

        self.said: dict[str, str] = {}
        self.output = display(_page().short([]), display_id=True)

    def __call__(self, section: str, text: str, first: bool = False) -> Html:
        """Keeps a section's sentence, first or last of all; returns it."""
        self.said = {section: text, **self.said} if first else {**self.said, section: text}
        self.output.update(Html(_page().short(list(self.said.values()))))
        return finding(text)


def finding(text: str) -> Html:
    """A sentence, large."""
    return Html(_page().finding(text))


def table(rows: Sequence[dict], head: Sequence[str] = ()) -> Html:
    """Rows as a table whose cells are those of `tables.shown`; empty columns are left out, those of `head` come first."""
    cells = shown(rows)
    keys = list(dict.fromkeys([*head, *(key for row in cells for key in row)]))
    keys = [key for key in keys if any(row.get(key) for row in cells)]
    return Html(_page().wide(keys, [[row.get(key, "") for key in keys] for row in cells]))


def folded(title: str, *parts: Any) -> Html:
    """A part that opens with a click: tables (lists of rows), HTML, or sentences."""
    made = [part if isinstance(part, Html) else table(part) if _is_table(part) else Html(_page().listed(part)) for part in parts if part]
    return Html(_page().folded(title, made))


def _is_table(part: Sequence) -> bool:
    return bool(part) and isinstance(part[0], dict)


def listed(said: Sequence[str]) -> Html:
    """Sentences, one below the other."""
    return Html(_page().listed(said))


def facts(found: Mapping[str, str]) -> Html:
    """Names with their meaning, one line each."""
    return Html(_page().facts(found))


def answer(question: str, passage: str, text: str, nbest: Any, show: int = 4) -> Html:
    """A passage with the answer marked, and the most probable spans and "no answer", with bars. text, nbest: as `ask` returns them; the
    text is "" where the threshold, not the probability, says that there is no answer."""
    found = [(passage[span.start : span.end], p) for span, p in zip(nbest.spans, nbest.probabilities, strict=False)]
    start, end = (nbest.spans[0].start, nbest.spans[0].end) if text else (0, 0)
    best = sorted([*found[:show], ("", nbest.probabilities[-1])], key=lambda one: -one[1])
    return Html(_page().answer(question, passage[:start], passage[start:end], passage[end:], best))


def of_data(table_rows: Sequence[dict]) -> str:
    """The training data. table_rows: of `overview.datasets_table`."""
    sums = {part: sum(row[part] for row in table_rows) for part in ("train", "held out", "scored")}
    held = f"; {sums['held out']:,} questions are held out to tune the threshold" if sums["held out"] else ""
    return f"{_count(len(table_rows), 'task')}: {sums['train']:,} rows to train on, {sums['scored']:,} to score{held}."


def of_answers(counts: Mapping[str, Mapping[str, int]], task: str) -> str:
    """How many questions have no answer, and what kind most answers are. counts: of `overview.answers_counts`."""
    have, nothing = counts["answer"]["in the passage"], counts["answer"]["nothing"]
    kind, n = max(counts["type of answer"].items(), key=lambda one: one[1], default=("", 0))
    said = f". Most answers are of the form {kind} ({_share(n, have)})" if n else ""
    share, scored = _share(nothing, have + nothing), counts.get("answer, scored rows")
    if scored:
        total = sum(scored.values())
        said = f"; on the {total:,} scored ones a model that never answers is right in {_share(scored['nothing'], total)}{said}"
    return f"{task}: {share} of {have + nothing:,} questions have no answer{said}."


def of_labels(counts: Mapping[str, Mapping[str, int]]) -> str:
    """The score of a classifier that always predicts the most frequent label. counts: of `overview.label_counts`, of the scored rows."""
    said = [f"{task} {_share(max(own.values()), sum(own.values()))}" for task, own in counts.items()]
    return f"The most frequent label is right this often: {', '.join(said)}."


def of_lengths(lengths: Mapping[str, Any], max_length: int) -> str:
    """Which task's items fill `max_length`, if any. lengths: task → tokens of each item."""
    longest, task = max((int(tokens.max()), task) for task, tokens in lengths.items())
    full = {name: int((tokens >= max_length).sum()) for name, tokens in lengths.items()}
    if any(full.values()):
        return f"Items that fill max_length, {max_length} tokens: {', '.join(f'{n:,} of {name}' for name, n in full.items() if n)}."
    return f"Nothing is cut: the longest item has {longest} tokens ({task}), max_length is {max_length}."


def of_windows(rows: Sequence[dict], max_length: int) -> str:
    """What windows cost at `max_length`. rows: of `overview.windows_table`."""
    row = next(row for row in rows if row["max_length"] == max_length)
    if row["several windows"] == row["lost if cut"] == row["in no window"] == "0.0%":
        return f"At max_length {max_length} every question fits into one window, and no answer is lost."
    said = (
        f"{row['several windows']} of the questions need several windows; plain truncation would lose {row['lost if cut']} of the answers"
    )
    return f"At max_length {max_length}, {said}; windows lose {row['in no window']}."


def of_odd_rows(rows: Sequence[dict]) -> str:
    """How many rows are odd, and how. rows: of `overview.odd_rows`."""
    said = ", ".join(f"{row['oddity']} {row['rows']:,} ({row['task']})" for row in rows)
    return f"Valid but unusual rows: {said}." if rows else "No row is unusual."


def of_counts(counts: Mapping[str, int]) -> str:
    """How often runs answer differently. counts: of `filters.counts`."""
    n = {name: counts.get(name, 0) for name in ("all", "answers differ", "all right", "all wrong")}
    if not counts.keys() & {"answers differ", "all answer the same"}:  # a single run
        return f"{n['all']:,} questions."
    same = f"all are right on {n['all right']:,}, all are wrong on {n['all wrong']:,}"
    return f"{n['answers differ']:,} of {n['all']:,} questions are answered differently; {same}."


def of_slices(rows: Sequence[dict], b: str, score: str = "F1") -> str:
    """Whether a slice differs, corrected for the number of slices. rows: of `differences.slice_table`."""
    if not rows:
        return "There are no slices."
    tested, first = [row for row in rows if row["p (adjusted)"] is not None], rows[0]
    named = [f"{row['slice']} {row['difference']:+.1f}" for row in tested if row["p (adjusted)"] < 0.05]
    total = sum(row["points"] for row in rows if row.get("facet") == first.get("facet"))
    said = f"The largest part of the difference of {total:+.1f} points of {score}: {first['slice']}, {first['points']:+.1f}."
    some_ = f"{b} differs in: {some(named)}" if named else "no slice by itself is shown to differ"
    return f"{said} Counting all {len(tested)} slices (Holm), {some_}."


def of_thresholds(rows: Sequence[dict], judged: Sequence[dict] = (), common: Sequence[dict] = ()) -> str:
    """How F1 changes if all runs leave the same share unanswered, and which differences in EM and F1 are then no longer shown. rows: of
    `threshold_choice.choice_table`; judged, common: of `differences.primary_table`, at the tuned thresholds and at the common share."""
    moved = [(abs(row["common share"] - row["tuned"]), row["setting"]) for row in rows if row["score"] == "F1"]
    if not moved:
        return "A run keeps no n-best, so its threshold cannot be moved."
    most, setting = max(moved)
    said = f"Where every run leaves the same share unanswered, F1 moves by up to {most:.1f} points ({setting})."
    there = {(row["score"], row["setting"], row.get("compared with")): row for row in common}
    for row in (row for row in judged if row["p (adjusted)"] is not None and row["p (adjusted)"] < 0.05):
        other = there.get((row["score"], row["setting"], row.get("compared with")))
        if other and (other["p (adjusted)"] is None or other["p (adjusted)"] >= 0.05):
            named = f"{row['setting']}{_to(row)}, {row['score']}"
            said += f" {named}: {row['Δ']:+.1f} at the tuned thresholds, but {_gap(other)} there: not shown."
    return said


def of_schedule(setup: Any) -> str:
    """How many steps there will be, and how they are shared."""
    draws, n = setup.schedule.draws(), len(setup.schedule)
    shares = ", ".join(f"{task} {100 * count / max(n, 1):.0f} %" for task, count in draws.items())
    return f"{n:,} steps, drawn before the first: {shares}."


def of_losses(records: Sequence[dict]) -> str:
    """How far each task's loss fell, from its first batches to its last. records: `Run.log()`."""
    losses: dict[str, list[float]] = {}
    for record in records:
        losses.setdefault(record["task"], []).append(record["loss"])
    said = []
    for task, own in losses.items():
        few = min(5, max(len(own) // 2, 1))  # no batch is among the first and the last
        said.append(f"{task} {sum(own[:few]) / few:.2f} to {sum(own[-few:]) / few:.2f}")
    return f"Losses, the mean of up to five batches, first and last: {', '.join(said)}."


def of_scores(rows: Sequence[dict]) -> str:
    """The main task's score, and which tasks were learnt. rows: of `task_plots.task_rows`, of a single setting."""
    if not rows:
        return "No task was scored."
    main, others = rows[0], {kind: [row["task"] for row in rows[1:] if row["learnt"] == kind] for kind in (YES, NOT_SHOWN)}
    held = main["constant answer"]
    beside = "" if held is None else f" ({'always no answer' if main['lexical overlap'] is not None else 'a constant answer'}: {held:.1f})"
    said = f"{main['task']}: {main['score']} {main['value']:.1f} on {_count(main['n'], 'row')}{beside}."
    said += f" Of the others, learnt: {some(others[YES])}." if others[YES] else ""
    return said + (f" Not shown to be learnt: {some(others[NOT_SHOWN])}." if others[NOT_SHOWN] else "")


def verdicts(questions: Sequence[Question], compared: Sequence[Settings], scores: Sequence[str], family: str, baseline: str) -> str:
    """The verdict of each judged comparison (`Study.judged`) in each score, by p as it is corrected for all judged differences."""
    said = []
    for score in scores:
        p = family_p(questions, compared, scores, family, score)
        for of in compared:
            rows = setting_table(questions, of, score)
            said.append(verdict([{**row, "p (adjusted)": p.get((next(iter(of)), row["setting"]))} for row in rows], score))
    return " ".join(said) or f"No difference in {some(scores)} to {baseline} can be tested: there is no other setting."


def verdict(rows: Sequence[dict], score: str) -> str:
    """What can be said about the differences to the first setting, with the largest of them. rows: of `differences.setting_table`."""
    (first, *others), tested = rows, [row for row in rows[1:] if row["Δ"] is not None]
    base = first["setting"]
    if not tested:
        why = "too few seeds, or no scores" if others else "there is no other setting"
        return f"No difference in {score} to {base} can be tested: {why}."
    differing = [row for row in tested if row["p (adjusted)"] is not None and row["p (adjusted)"] < 0.05]
    largest = max(tested, key=lambda row: abs(row["Δ"]))
    gap = f"{largest['setting']} {_gap(largest)}"
    if all(row["speaks for"] == "these two models" for row in tested):
        named = "; ".join(f"{row['setting']} {_gap(row, f' of {score}')}" for row in differing)
        said = (
            f"shown to differ from {base}: {named}"
            if named
            else f"none is shown to differ from {base} in {score}; the largest difference is {gap}"
        )
        return f"Of these {len(rows)} models, {said}. One seed per setting cannot tell the effect of the tasks from that of the seed."
    if not differing:
        return f"No setting is shown to differ from {base} in {score}; the largest difference is {gap}.{_no_p(tested)}"
    untested = [row["setting"] for row in tested if row["p (adjusted)"] is None]
    open_ = [row["setting"] for row in tested if row not in differing and row["setting"] not in untested]
    rest = f" No difference is shown for {some(open_)}." if open_ else ""
    rest += f" Not tested, by two seeds: {some(untested)}." if untested else ""
    named = "; ".join(f"{row['setting']} {_gap(row)}" for row in differing)
    return f"Shown to differ from {base} in {score}: {named}.{rest}"


def _gap(row: dict, of: str = "") -> str:
    ends = f" (95 % interval {row['Δ low']:+.1f} to {row['Δ high']:+.1f})" if row["Δ low"] is not None else " (no interval)"
    return f"{row['Δ']:+.1f} points{of}{ends}"


def _no_p(rows: Sequence[dict]) -> str:
    return " Two seeds per setting give no p: add a third." if any("; " in row["speaks for"] for row in rows) else ""


def of_judged(rows: Sequence[dict], family: str = "study") -> str:
    """Which of a study's primary differences are shown. rows: of `differences.primary_table`, for the same family."""
    tested = [row for row in rows if row["p (adjusted)"] is not None]
    if not rows:
        return "No difference is judged: there is no other setting."
    if not tested:
        two = "three seeds per setting are needed" if any(row["Δ"] is not None for row in rows) else "seeds or scores are missing"
        return f"{_count(len(rows), 'difference')} judged, none with a p: {two}."
    whole = f"all {len(tested)} judged differences" if family == "study" else "the judged differences of each score"
    corrected = f", corrected for {whole}" if len(tested) > 1 else ""
    shown_ = [f"{row['setting']}{_to(row)} in {row['score']} ({row['Δ']:+.1f})" for row in tested if row["p (adjusted)"] < 0.05]
    models = all(row["seeds"] == 1 for row in tested)
    whom = " This speaks for these models only: one seed per setting cannot tell the settings apart." if models else ""
    return f"p below 0.05{corrected}: {some(shown_) or 'none'}.{whom}"


def of_decided(rows: Sequence[dict]) -> str:
    """The decision on each primary difference. rows: of `study_tables.decision_table`."""
    named = [f"{row['setting']}{_to(row)}, {row['score']}" for row in rows]
    return "; ".join(f"{name}: {row['decided']}" for name, row in zip(named, rows, strict=True))


def _to(row: dict) -> str:
    """The baseline of a row, where there are several."""
    return f" to {row['compared with']}" if "compared with" in row else ""


def unlearnt(learnt: Sequence[dict]) -> str:
    """The tasks that were not shown to be learnt, as a sentence, "" where there are none. learnt: `learnt_table`'s rows."""
    lacking = not_learnt(learnt)
    return _not_shown([(task, setting) for setting, tasks in lacking.items() for task in tasks], lacking)


def of_tasks(rows: Sequence[dict], main: str) -> str:
    """Which of the tasks other than the main one were shown to be learnt. rows: of `task_plots.task_rows`."""
    kinds = {
        kind: sorted({row["task"] for row in rows if row["task"] != main and row["learnt"] == kind})
        for kind in (YES, NOT_SHOWN, UNKNOWN, PLACEBO, ODD_PLACEBO)
    }
    if not any(kinds.values()):
        return "No other task was scored."
    settings = dict.fromkeys(row["setting"] for row in rows)
    lacking = [(row["task"], row["setting"]) for row in rows if row["task"] != main and row["learnt"] == NOT_SHOWN]
    said = [_not_shown(lacking, settings)] if lacking else []
    said += [f"Whether it was learnt is unknown: {some(kinds[UNKNOWN])}."] if kinds[UNKNOWN] else []
    said = said or (["Every other task that was scored was shown to be learnt."] if kinds[YES] else [])
    said += [f"Placebos, not above a constant answer, as they should be: {some(kinds[PLACEBO])}."] if kinds[PLACEBO] else []
    odd = f"Placebos above a constant answer, which permuted labels do not explain: {some(kinds[ODD_PLACEBO])}."
    said += [odd] if kinds[ODD_PLACEBO] else []
    return " ".join(said)


def _not_shown(pairs: Sequence[tuple[str, str]], settings: Collection[str]) -> str:
    """A sentence on pairs of a task and a setting that was not shown to learn it; "" for none. settings: all; a single one goes unnamed."""
    tasks: dict[str, dict[str, None]] = {}
    for task, setting in sorted(pairs, key=lambda pair: pair[0]):
        tasks.setdefault(task, {})[setting] = None
    named = [f"{task} (in {', '.join(own)})" if len(settings) > 1 else task for task, own in tasks.items()]
    return f"Not shown to be learnt: {'; '.join(named)}. Do not attribute a gain to what these tasks teach." if named else ""


def score_ranges(rows: Sequence[dict]) -> str:
    """Each task's lowest and highest score, next to baselines without training. rows: of `task_plots.task_rows`."""
    tasks: dict[str, list[dict]] = {}
    for row in rows:
        tasks.setdefault(f"{row['task']} {row['score']}", []).append(row)
    said = []
    for name, own in tasks.items():
        low, high = (pick(row["value"] for row in own) for pick in (min, max))
        held = [f"{key} {own[0][key]:.1f}" for key in ("chance", "constant answer", "lexical overlap") if own[0][key] is not None]
        said.append(f"{name} {low:.1f}{f' to {high:.1f}' if len(own) > 1 else ''}{f' ({some(held)})' if held else ''}")
    return "; ".join(said)


def summary(runs: Mapping[str, Run], settings: Settings, said: str, learnt: Sequence[dict], tasks: Sequence[dict]) -> list[str]:
    """Three lines: what was trained, and its scores next to chance; what may and may not be concluded (`said`, the verdicts); what to
    do next. tasks: of `task_plots.task_rows`."""
    steps = [run.manifest["steps"] for run in runs.values() if isinstance(run.manifest.get("steps"), int)]
    seconds = sum(run.manifest.get("train_seconds") or 0 for run in runs.values())
    seeds, lacking = sorted({len(own) for own in settings.values()}), unlearnt(learnt)
    each = _count(seeds[0], "seed") if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]} seeds"
    amount = f"{min(steps):,} to {max(steps):,} steps each, {duration(seconds)} of training in all" if steps else "made elsewhere"
    trained = f"Trained: {some(settings)}, {each} each; {amount}. In percent: {score_ranges(tasks)}."
    advice = ["read the answers side by side in answers.html", "mtdnn study FILE --dry-run says how many seeds a difference takes"]
    advice = ["add seeds: [0, 1, 2] to the study file", *advice] if seeds[0] < 3 else advice
    advice += ["raise epochs until the other tasks lie above a constant answer"] if lacking else []
    return [trained, f"Concluded: {' '.join(filter(None, [said, lacking]))}", f"Next: {'; '.join(advice)}."]


def write_summary(folder: Path, lines: Sequence[str]) -> None:
    """Writes the lines of `summary` into a study's folder, a paragraph each."""
    write_whole(folder / SUMMARY, "\n\n".join(lines) + "\n")


def _share(n: int, total: int) -> str:
    return f"{100 * n / max(total, 1):.0f} %"


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'s' * (n != 1)}"
