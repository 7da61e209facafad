import gzip
import json
import re
import tomllib
from pathlib import Path

import pandas as pd
import pytest

from scoring.articles import Article
from scoring.errors import OutputError, UsageError
from scoring.feeds import read_articles
from scoring.levels import LEVELS
from scoring.scorer import _sentences
from training.dataset import DataError, labels, near_duplicates, read, statement_id, unhydrated
from training.hydrate import (
    CORPUS,
    HELD_OUT,
    candidates,
    check_outputs,
    coverage,
    hydrate,
    sources,
    write,
)

BASE_RATES = CORPUS / "base_rates" / "labels.jsonl"
PAGE = CORPUS.parents[1] / "docs" / "corpus.md"
FEEDS = "feeds/captured_2021_news"
BLOGS = "feeds/feedjira"

TITLE = "Lisbon\u200b warns Madrid over dam"
FIRST = "LISBON, May 3 (Reuters) - Lisbon warned Madrid of consequences."
SECOND = "“We will answer in kind,” the minister said."
QUOTED = "Spain replied: “Nothing has been filled.”"
BODY = f"{FIRST} {SECOND}\n\n{QUOTED} Talks are to go on in\u00a0May."


def label(text, pool="agency"):
    return {
        "id": statement_id(text),
        "pool": pool,
        "stratum": "random",
        "coder": "team",
        "level": "none",
        "dyads": [],
        "unsure": False,
    }


def table(tmp_path, *texts, pool="agency") -> pd.DataFrame:
    path = tmp_path / "labels.jsonl"
    path.write_text("".join(json.dumps(label(text, pool)) + "\n" for text in texts))
    return labels([path])


def save(path: Path, *records) -> str:
    data = "".join(json.dumps(record) + "\n" for record in records).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return str(path)


# --- finding texts ---


@pytest.mark.parametrize(
    "text",
    [
        TITLE,  # as read
        TITLE.replace("\u200b", ""),  # as cleaned
        BODY,
        BODY.replace("\u00a0", " "),
        FIRST,
        SECOND,
        QUOTED,
        "Talks are to go on in May.",
        QUOTED.removesuffix("”"),  # as the first labels were cut
    ],
)
def test_texts_are_found_whole_and_by_sentence(tmp_path, text):
    wanted = table(tmp_path, text, "Never printed.")
    found = hydrate(wanted, [save(tmp_path / "news.jsonl.gz", {"title": TITLE, "text": BODY})])
    assert list(found["text"]) == [text]
    assert found.loc[0, "id"] == statement_id(text)
    assert found.loc[0, "coder"] == "team"


def test_every_sentence_of_the_scorer_is_a_candidate():
    for title, text in ((TITLE, BODY), (None, BODY), (TITLE, None)):
        for whole in (False, True):
            article = Article("1", title, text, whole=whole)
            scored = {sentence for _, sentence in _sentences(article)}
            assert scored <= set(candidates(article))
    assert len({sentence for _, sentence in _sentences(Article("1", TITLE, BODY))}) == 5


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("plv.tsv", "\tid\tsentence\tmarked_sentence\n\t4\t{}\t<s>Lisbon</s> warned\n"),
        ("table.csv", 'id,sentence\n4,"{}"\n'),
        ("rows.jsonl", '{{"id": "4", "sentence": "{}"}}\n'),
        ("page.txt", "{}\n"),
        ("feed.xml", "<rss><channel><item><title>{}</title></item></channel></rss>"),
    ],
)
def test_texts_are_found_in_tables_feeds_and_pages(tmp_path, name, content):
    text = "Lisbon warned Madrid. It did so twice."
    (tmp_path / name).write_text(content.format(text), encoding="utf-8")
    problems = []
    found = hydrate(table(tmp_path, text), [str(tmp_path / name)], problems.append)
    assert (list(found["text"]), problems) == ([text], [])


def test_a_column_sentence_holds_statements_that_are_not_split(tmp_path):
    path = tmp_path / "rows.parquet"
    pd.DataFrame({"sentence": ["One. Two."]}).to_parquet(path)
    (article,) = read_articles([str(path)])
    assert (article.text, article.whole) == ("One. Two.", True)
    pd.DataFrame({"sentence": [3], "text": ["One. Two."]}).to_parquet(
        path
    )  # as tension score writes
    (article,) = read_articles([str(path)])
    assert (article.text, article.whole) == ("One. Two.", False)


def test_what_cannot_be_read_is_a_problem_and_the_rest_is_read(tmp_path):
    (tmp_path / "1.jsonl").write_text('{"body": "No key of ours."}\n')
    good = save(tmp_path / "2.jsonl", {"text": "Oslo and Bern met."})
    problems, sizes = [], []
    found = hydrate(
        table(tmp_path, "Oslo and Bern met."),
        [str(tmp_path / "1.jsonl"), str(tmp_path / "gone"), good],
        problems.append,
        sizes.append,
    )
    assert len(found) == 1
    assert [Path(problem.where).name for problem in problems] == ["1.jsonl", "gone"]
    assert sum(sizes) == sum((tmp_path / name).stat().st_size for name in ("1.jsonl", "2.jsonl"))


def test_coverage_counts_by_pool(tmp_path):
    some = table(tmp_path, "One.", "Two.", pool="b")
    every = pd.concat([some, table(tmp_path, "Three.", pool="a")], ignore_index=True)
    found = hydrate(every, [save(tmp_path / "news.jsonl", {"text": "Two."})])
    counts = coverage(every, found)
    assert counts.to_dict("index") == {
        "a": {"labelled": 1, "found": 0},
        "b": {"labelled": 2, "found": 1},
    }


# --- writing them ---


def test_what_is_written_is_what_training_reads(tmp_path):
    text = "Ankara’s envoy\u2028left \U0001f600."
    path = tmp_path / "labels.jsonl"
    dyads = [["TUR", None, "protest"]]
    path.write_text(json.dumps(label(text) | {"dyads": dyads, "level": "protest"}))
    found = hydrate(labels([path]), [save(tmp_path / "news.jsonl", {"title": text})])
    out = tmp_path / "hydrated.jsonl"
    write({out: found})
    statements = read([out, path])
    assert list(statements["text"]) == [text]
    assert statements.loc[0, "dyads"] == [("TUR", None, "protest")]
    assert json.loads(out.read_text(encoding="utf-8").rstrip("\n"))["coder"] == "team"
    assert unhydrated([out, path]).empty


def test_nothing_is_written_where_nothing_was_found(tmp_path):
    wanted = table(tmp_path, "Oslo and Bern met.")
    some = hydrate(wanted, [save(tmp_path / "news.jsonl", {"text": "Oslo and Bern met."})])
    paths = [tmp_path / "1.out", tmp_path / "2.out"]
    with pytest.raises(DataError, match=r"2\.out: expected texts of labelled statements"):
        write(dict(zip(paths, (some, some.iloc[:0]), strict=True)))
    assert not any(path.exists() for path in paths)
    with pytest.raises(OutputError):
        write({tmp_path / "nowhere" / "hydrated.jsonl": some})


def test_outputs_that_would_do_harm_are_refused(tmp_path):
    folder = tmp_path / "news"
    folder.mkdir()
    kept = Path(save(folder / "news.jsonl", {"text": "Oslo and Bern met."}))
    out, held = tmp_path / "hydrated.jsonl", tmp_path / "hydrated-dev.jsonl"
    check_outputs([str(folder)], [out, held])
    for outputs, found in (
        ([kept], "expected an output that is no input"),
        ([out, kept], "expected an output that is no input"),
        ([out, out], "expected two outputs, found"),
        ([out, CORPUS / "dev.jsonl"], "outside of the folder that is trained on"),
    ):
        with pytest.raises(UsageError, match=found):
            check_outputs([str(folder)], outputs)


# --- the corpus ---


@pytest.fixture(scope="module")
def real():
    return labels([CORPUS])


@pytest.fixture(scope="module")
def held_out():
    return labels([CORPUS / HELD_OUT])


@pytest.fixture(scope="module")
def base_rates():
    return labels([BASE_RATES])


def test_the_labels_are_valid_and_carry_no_text(real, held_out, base_rates):
    """Reading checks levels, codes, ids and repetitions."""
    assert len(real) > 18_000
    assert len(held_out) > 800
    assert len(base_rates) > 3_000
    assert not pd.concat([real, held_out, base_rates])["id"].duplicated().any()
    assert set(real["coder"]) == set(base_rates["coder"]) == {"gold", "team"}
    for path in (CORPUS / "real.jsonl", CORPUS / HELD_OUT / "dev.jsonl", BASE_RATES):
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        assert {tuple(row) for row in rows} == {tuple(label(""))}
        assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)


def test_our_own_statements_are_read_without_hydration(real):
    statements = read([CORPUS])
    assert set(statements["pool"]) == {"own"}
    assert not set(statements["id"]) & set(labels([CORPUS / HELD_OUT])["id"])
    assert len(unhydrated([CORPUS])) == len(real)


def test_every_pool_has_a_source_and_every_source_a_pool(real, held_out, base_rates):
    assert set(sources()) == set(real["pool"])
    assert {*held_out["pool"], *base_rates["pool"]} <= set(sources())
    for source in sources().values():
        assert all(vars(source).values())
        assert re.match(r"https?://[\w.-]+", source.where)


@pytest.mark.parametrize(
    "content", [None, "[agency]\nname = 'x'\n", "[agency\n", "[a]\nname = ''\nurl = ''\n"]
)
def test_sources_that_are_not_as_they_should_be_are_errors(tmp_path, content):
    if content is not None:
        (tmp_path / "sources.toml").write_text(content)
    with pytest.raises(DataError, match=re.escape(str(tmp_path / "sources.toml"))):
        sources(tmp_path)


def test_the_page_gives_the_numbers_of_the_corpus(real, held_out, base_rates):
    page = PAGE.read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `?(\w+)`? \|(.+)\|$", page, re.MULTILINE))
    parts = (real, held_out, base_rates)
    counts = {"all": [len(part) for part in parts]} | {
        pool: [int((part["pool"] == pool).sum()) for part in parts] for pool in sources()
    }
    for pool, numbers in counts.items():
        found = [int(cell.replace(",", "").strip() or 0) for cell in rows[pool].split("|")[-3:]]
        assert found == numbers, pool
    for part in (real, base_rates):
        for coder, number in part["coder"].value_counts().items():
            assert f"{number:,} `{coder}`" in page
    assert f"{(real['stratum'] == 'random').sum():,} `random`" in page


def test_the_pages_give_the_numbers_of_our_own_statements():
    own = read([CORPUS / "own.jsonl"])
    page = " ".join((CORPUS / "README.md").read_text(encoding="utf-8").split())
    share = own["level"].value_counts(normalize=True)
    counts = (
        f"{len(own):,} statements and headlines of our own",
        f"the theme, {own['stratum'].nunique()} of them",
        ", ".join(f"{share[level]:.0%} {level}" for level in LEVELS).replace(" ", " are ", 1),
    )
    assert [said for said in counts if said not in page] == []


def test_the_readme_gives_the_numbers_of_the_corpus(real, base_rates):
    page = " ".join((PAGE.parents[1] / "README.md").read_text(encoding="utf-8").split())
    assert f"labels of {len(real):,} real statements" in page
    assert f"{len(base_rates):,} more to measure base rates on" in page
    assert f"{len(read([CORPUS])):,} statements of our own" in page


@pytest.fixture(scope="module")
def found(gold, real, held_out, base_rates):
    """What is found of all labels in each folder of real texts."""
    every = pd.concat([real, held_out, base_rates], ignore_index=True)
    parts = {}
    for name in ("news", "plover", FEEDS, BLOGS, "gold"):
        if not (gold.parent / name).is_dir():
            pytest.skip(f"no real texts at {gold.parent / name} (set TENSION_SHARED)")
        problems = []
        parts[name] = hydrate(every, [str(gold.parent / name)], problems.append)
        empty = [Path(problem.where) for problem in problems]
        if name != BLOGS:  # of which some are broken on purpose
            assert len(empty) == (name == FEEDS)
            assert sum(path.stat().st_size for path in empty) == 0
    return parts


def test_the_texts_of_all_labels_are_found_here(found, real, held_out, base_rates, tmp_path):
    together = pd.concat(found.values()).drop_duplicates("id")
    parts = (real, held_out, base_rates)
    assert set(together["id"]) == set(pd.concat(parts)["id"])
    out = tmp_path / "hydrated.jsonl"
    write({out: together})
    files = [out, CORPUS / "real.jsonl", CORPUS / HELD_OUT, BASE_RATES]
    statements = read(files)  # and the labels agree
    train, held, kept = (statements[statements["id"].isin(part["id"])] for part in parts)
    near = near_duplicates(train, held)
    counts = f"{near['train'].nunique()} of `gold` do, near {near['held'].nunique()} of them"
    page = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert counts in page
    ours = near_duplicates(read([CORPUS]), held)["train"].nunique()
    assert f"and {ours} of our own" in page
    assert set(real[real["id"].isin(near["train"])]["coder"]) == {"gold"}
    near = near_duplicates(train, kept)
    counts = f"{near['train'].nunique()} statements to train on come near {near['held'].nunique()}"
    assert f"{counts} of the {len(kept):,}" in page


def test_the_page_shows_what_the_command_finds(found, real):
    page = PAGE.read_text(encoding="utf-8")
    news = found["news"][found["news"]["id"].isin(real["id"])]
    assert f"{len(news):,} of {len(real):,}" in page
    every = pd.concat([found[name] for name in ("news", "plover", FEEDS, BLOGS)]).drop_duplicates(
        "id"
    )
    counts = coverage(real, every[every["id"].isin(real["id"])])
    counts.loc["all"] = counts.sum()
    for pool, labelled, number in counts.itertuples():
        assert re.search(rf"^{pool} +{labelled:,} +{number:,}\b", page, re.MULTILINE), pool


def test_sources_file_names_its_fields():
    tables = tomllib.loads((CORPUS / "sources.toml").read_text(encoding="utf-8"))
    assert {tuple(table) for table in tables.values()} == {("name", "what", "where", "licence")}
