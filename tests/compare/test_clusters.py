"""The population of an interval: the same questions clustered by passage and by article, and how tables state it."""

from dataclasses import replace

import numpy as np
import pytest
from questions import made

from mtdnn_kit.compare import clustered, differences, significance, speaks_for
from mtdnn_kit.compare.clusters import other_population
from mtdnn_kit.errors import CompareError
from mtdnn_kit.views import tables

# 36 passages of four questions in nine articles of unequal size
ARTICLES = np.repeat(range(9), [8, 8, 8, 12, 12, 16, 20, 28, 32])
TITLED = [replace(q, row=q.row._replace(title=f"Article {name}")) for q, name in zip(made(36, 4), ARTICLES, strict=True)]
SETTINGS = {"x": {0: "A"}, "y": {0: "B"}}


def f1(run: str) -> np.ndarray:
    return np.array([100 * q.replies[run].f1 for q in TITLED])


def test_by_title_whole_articles_are_flipped():
    passages = np.repeat(range(36), 4)
    for cluster, groups in (("passage", passages), ("title", ARTICLES)):
        some = clustered(TITLED, cluster)
        wanted = significance.difference(f1("A"), f1("B"), groups)
        assert differences.difference(some, "A", "B", "F1") == wanted
        alone = significance.interval(f1("A"), groups, most=100)
        assert differences.interval(some, "A", "F1") == (alone.low, alone.high)
    assert differences.difference(TITLED, "A", "B", "F1").n_passages == 36, "passages by default"


def test_each_table_of_one_population_has_the_other_populations_intervals_too():
    articles, passages = (clustered(TITLED, cluster) for cluster in ("title", "passage"))
    for some, other, own, name in ((passages, articles, "passages", "articles"), (articles, passages, "articles", "passages")):
        (row,) = differences.difference_table(some, "A", "B", ["F1"])
        one, two = (differences.difference(by, "A", "B", "F1") for by in (some, other))
        assert (row["low"], row["high"], row["p"], row[own]) == (one.low, one.high, one.p, one.n_passages)
        beside = tuple(row[key] for key in (f"Δ for other {name} low", f"Δ for other {name} high", f"other {name} p", name))
        assert beside == (two.low, two.high, two.p, two.n_passages)
        scores = tables.score_table(some, SETTINGS)[0]
        assert (scores["EM low"], scores["EM high"]) == differences.interval(some, "A", "EM")
        assert tuple(scores[f"F1 for other {name} {end}"] for end in ("low", "high")) == differences.interval(other, "A", "F1")
        assert f"F1 for other {name}" in tables.shown([scores])[0]


def test_tables_of_settings_and_sentences_go_by_articles_too():
    articles = clustered(TITLED, "title")
    assert differences.setting_table(articles, SETTINGS)[1]["p"] == differences.difference(articles, "A", "B", "F1").p
    several = differences.setting_difference(articles, {0: "A", 1: "C"}, {0: "B", 1: "D"}, "F1")
    assert several.n_passages == 9
    (said,) = differences.sentences(articles, SETTINGS)
    assert "144 items in 9 articles)" in said and "what the choice of articles explains" in said


def test_the_population_of_intervals_is_stated_and_that_nine_articles_are_few():
    assert speaks_for(TITLED) == (
        "Intervals and tests speak for other passages like these 36; columns that name them, for other articles like these 9. 9 are few: "
        "between two models all ways to flip their signs are tried and a t-test must agree; intervals of scores are by t, with few "
        "degrees, those of no-answer AP may hold 91 times in 100 instead of 95."
    )
    assert speaks_for(clustered(TITLED, "title")).startswith("Intervals and tests speak for other articles like these 9; columns that name")
    assert speaks_for(made(36, 4)) == "Intervals and tests speak for other passages like these 36."
    one, two = {0: "A"}, {0: "B", 1: "C"}
    assert speaks_for(made(36, 4), {"x": one}).endswith("like these 36.")
    assert speaks_for(made(36, 4), {"x": two, "y": two}).endswith("like these 36, and for other seeds as well.")
    assert speaks_for(made(36, 4), {"x": one, "y": two}).endswith(", and those of settings with several seeds for other seeds as well.")


def test_without_titles_there_are_no_articles():
    bare = made(12, 4)
    assert other_population(bare) is None and not [key for key in differences.difference_table(bare, "A", "B")[0] if "articles" in key]
    assert other_population([replace(q, row=q.row._replace(title="One")) for q in bare]) is None
    with pytest.raises(CompareError, match="cluster: 48 of 48 questions have no title. Set cluster to passage"):
        clustered(bare, "title")
    with pytest.raises(CompareError, match="cluster: 'article' must be one of passage, title"):
        clustered(bare, "article")
