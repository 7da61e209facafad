import json
import os
import pty
import re
import select
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from scoring.errors import InputError, OutputError, UsageError
from scoring.levels import LEVELS, PROBABILITIES, codebook
from training import cli
from training.dataset import DataError, read, statement_id
from training.review import agreement as agreeing
from training.review import codes, merge, pick, sheets, study, tables
from training.review.codes import AnswerError, Codes

TEXTS = (
    "Oslo warned Bern that the ferry dispute will have consequences.",
    "Lima protested to Quito over the arrest of two pilots.",
    "Rome and Paris met to talk about trains.",
)


def quiet(message):
    raise AssertionError(message)


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def coded(text, level="none", dyads=(), coder="anna", **more):
    entry = {"id": statement_id(text), "text": text, "pool": "feed", "stratum": "review-rare"}
    return codes.coded(entry, level, list(dyads), False, coder) | more


@pytest.fixture
def queue(tmp_path):
    return write(tmp_path / "queue.jsonl", [{"text": text} for text in TEXTS])


# --- what is typed ---


@pytest.mark.parametrize(
    ("typed", "level"),
    [
        ("0", ("none", False)),
        ("T", ("threat", False)),
        ("warning?", ("warning", True)),
        ("1 ?", ("protest", True)),
    ],
)
def test_a_level_is_a_name_a_letter_or_a_code(typed, level):
    assert codes.parse_level(typed) == level


@pytest.mark.parametrize("typed", ["", "4", "-1", "nope", "?"])
def test_another_level_is_refused(typed):
    with pytest.raises(AnswerError, match=r"expected a level, 0 or n \(none\)"):
        codes.parse_level(typed)


@pytest.mark.parametrize(
    ("typed", "level", "dyads"),
    [
        ("RUS>KOR", "threat", [("RUS", "KOR", "threat")]),
        (
            "rus > kor threat; KOR>RUS protest",
            "threat",
            [("RUS", "KOR", "threat"), ("KOR", "RUS", "protest")],
        ),
        ("russia->South Korea w", "warning", [("RUS", "KOR", "warning")]),
        (">KOR", "protest", [(None, "KOR", "protest")]),
        ("", "protest", [(None, None, "protest")]),
        ("", "none", []),
    ],
)
def test_dyads_are_typed(typed, level, dyads):
    assert codes.parse_dyads(typed, level) == dyads
    assert codes.parse_dyads(codes.typed_dyads(dyads), level) == dyads


@pytest.mark.parametrize(
    ("typed", "level", "found"),
    [
        ("RUS", "threat", "expected dyads like"),
        ("XXX>KOR", "threat", "'XXX', none of the codebook's"),
        ("Russia and Japan>KOR", "threat", "several: JPN, RUS"),
        ("RUS>RUS", "threat", "two different sides"),
        ("RUS>KOR protest", "threat", "threat to be the highest level"),
        ("RUS>KOR none", "threat", "only dyads above none"),
        ("RUS>KOR, RUS>KOR", "threat", "each pair"),
        ("RUS>KOR", "none", "no dyads"),
    ],
)
def test_wrong_dyads_say_what_is_wrong(typed, level, found):
    with pytest.raises(AnswerError, match=found):
        codes.parse_dyads(typed, level)


def test_the_steps_are_as_many_as_those_of_the_codebook_page():
    from pathlib import Path

    page = (Path(__file__).parents[2] / "docs" / "codebook.md").read_text(encoding="utf-8")
    section = page.split("## Decision steps")[1].split("\n## ")[0]
    numbered = re.findall(r"^\d\. ((?:.|\n   )+)", section, re.MULTILINE)
    assert len(numbered) == len(codebook()["steps"]) == 6
    for step, short in zip(numbered, codebook()["steps"], strict=True):
        assert set(re.findall("|".join(LEVELS), short)) == set(
            re.findall(f"`({'|'.join(LEVELS)})`", step)
        )


# --- what is on disk ---


def test_codes_are_statements_that_training_reads(tmp_path):
    path = tmp_path / "codes.jsonl"
    codes.append(path, [coded(TEXTS[0], "warning", [("NOR", "CHE", "warning")])])
    assert read([path])["level"].tolist() == ["warning"]
    (row,) = codes.read_codes(path, quiet).rows.values()
    assert row["coder"] == "anna"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", row["time"])


def test_a_cut_line_is_named_and_the_rest_kept(tmp_path):
    path = write(tmp_path / "codes.jsonl", [coded(text) for text in TEXTS])
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    told = []
    assert len(codes.read_codes(path, told.append).rows) == 2
    assert told == [f"{path}, line 3: cut in the middle; left out, the others are kept."]
    assert len(codes.resume(path, "anna", told.append)) == 2
    assert path.read_bytes() == b"".join(whole.splitlines(keepends=True)[:2])


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"level": "war"}, "expected a level of none"),
        ({"level": "threat"}, "expected the level to be the highest"),
        ({"dyads": [["XXX", None, "threat"]], "level": "threat"}, "'XXX'"),
        ({"coder": 3}, "expected coder to be str"),
        ({"coder": "ben"}, "codes of one coder, found anna and ben"),
        ({"id": statement_id(TEXTS[0]), "text": TEXTS[0]}, "each statement once"),
    ],
)
def test_wrong_codes_name_file_and_line(tmp_path, change, found):
    path = write(tmp_path / "codes.jsonl", [coded(TEXTS[0]), coded(TEXTS[1]) | change])
    with pytest.raises(DataError, match=f"codes.jsonl, line 2: .*{found}"):
        codes.read_codes(path, quiet)


def test_a_queue_may_be_of_one_line_and_not_of_none(tmp_path):
    assert len(codes.read_queue(write(tmp_path / "one.jsonl", [{"text": "A b."}]))) == 1
    with pytest.raises(DataError, match="expected one statement a line, found none"):
        codes.read_queue(write(tmp_path / "empty.jsonl", []))
    with pytest.raises(DataError, match=r"twice.jsonl, line 2: expected each statement once"):
        codes.read_queue(write(tmp_path / "twice.jsonl", [{"text": "A b."}] * 2))


# --- at the terminal ---


class Terminal:
    """A process at a pseudo-terminal."""

    def __init__(self, *arguments):
        self._end, other = pty.openpty()
        command = [sys.executable, "-m", "training.cli", *map(str, arguments)]
        self._process = subprocess.Popen(command, stdin=other, stdout=other, stderr=other)
        os.close(other)

    def read(self, mark, seconds=30):
        shown, until = b"", time.monotonic() + seconds
        while mark.encode() not in shown:
            assert time.monotonic() < until, shown.decode()
            if select.select([self._end], [], [], 0.2)[0]:
                shown += os.read(self._end, 65536)
        return shown.decode()

    def type(self, line):
        os.write(self._end, f"{line}\n".encode())

    def kill(self):
        self._process.kill()
        self._process.wait()
        os.close(self._end)

    def leave(self):
        code = self._process.wait(30)
        os.close(self._end)
        return code


def test_coding_at_a_terminal(tmp_path, queue):
    out = tmp_path / "codes.jsonl"
    command = ("review", "code", queue, "--coder", "anna", "-o", out)
    terminal = Terminal(*command)
    shown = terminal.read("level>")
    assert "Oslo warned Bern" in shown
    assert "NOR (Oslo)" in shown
    assert codebook()["steps"][5] in shown
    terminal.type("war")
    assert "expected a level" in terminal.read("level>")
    terminal.type("2?")
    terminal.read("whom>")
    terminal.type("norway>CHE")
    terminal.read("level>")
    terminal.type("n")
    terminal.read("level>")
    terminal.type("undo")
    assert "taken back: none" in terminal.read("level>")
    terminal.type("1 Peru>ECU")
    assert "trains" in terminal.read("level>")
    terminal.kill()  # every answer is on disk at once
    done = codes.read_codes(out, quiet)
    assert [(row["level"], row["dyads"], row["unsure"]) for row in done.rows.values()] == [
        ("warning", [("NOR", "CHE", "warning")], True),
        ("protest", [("PER", "ECU", "protest")], False),
    ]
    terminal = Terminal(*command)
    assert "3 of 3" in terminal.read("level>")  # it goes on where it was left
    terminal.type("s")
    assert "2 of 3 coded" in terminal.read("answers are in")
    assert terminal.leave() == 0


def test_coding_takes_the_answers_of_a_pipe_and_refuses_another_coder(
    tmp_path, queue, capsys, monkeypatch
):
    import io

    out = tmp_path / "codes.jsonl"
    monkeypatch.setattr(sys, "stdin", io.StringIO("u\nh\nn\nq\n"))
    assert cli.run(["review", "code", str(queue), "--coder", "anna", "-o", str(out)]) == 0
    shown = capsys.readouterr()
    assert "nothing to undo" in shown.err
    assert "1 of 3 coded" in shown.err
    assert cli.run(["review", "code", str(queue), "--coder", "ben", "-o", str(out)]) == 1
    assert "expected codes of ben, found those of anna" in capsys.readouterr().err
    assert cli.run(["review", "code", str(queue), "--coder", " ", "-o", str(out)]) == 2
    assert cli.run(["review", "code", str(queue), "-o", str(out)]) == 2


def test_a_statement_cannot_steer_the_terminal(tmp_path, capsys, monkeypatch):
    import io

    queue = write(
        tmp_path / "queue.jsonl", [{"text": "Oslo\x1b[2J warned \x1b]0;x\x07Bern [bold]"}]
    )
    monkeypatch.setattr(sys, "stdin", io.StringIO("q\n"))
    cli.run(["review", "code", str(queue), "--coder", "anna", "-o", str(tmp_path / "out.jsonl")])
    shown = capsys.readouterr().err
    assert "\x1b[2J" not in shown
    assert "\x07" not in shown
    assert "[bold]" in shown


# --- sheets ---


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_a_sheet_goes_out_and_comes_back(tmp_path, ending, capsys):
    texts = ["=cmd|' /C calc'!A0 said Oslo", *TEXTS]
    queue = write(
        tmp_path / "queue.jsonl", [{"text": t, "why": ["rare"], "called": "threat"} for t in texts]
    )
    sheet, out = tmp_path / f"sheet.{ending}", tmp_path / "codes.jsonl"
    assert cli.run(["review", "export", str(queue), "-o", str(sheet)]) == 0
    told = sheet.read_text(encoding="utf-8")
    assert "threat" not in told
    assert "rare" not in told
    if ending == "csv":
        assert "'=cmd" in told
        frame = pd.read_csv(sheet, dtype=str).astype(object)
    else:
        frame = pd.read_json(sheet, lines=True, dtype=False).astype(object)
    blank = [
        "review",
        "import",
        str(sheet),
        "--queue",
        str(queue),
        "--coder",
        "x",
        "-o",
        f"{out}.x",
    ]
    assert cli.run(blank) == 0
    assert "no row has a level yet" in capsys.readouterr().err
    frame.loc[0, "level"] = "0"
    frame.loc[1, ["level", "dyads", "unsure"]] = ["w", "NOR>CHE", "yes"]
    frame = frame.iloc[::-1].assign(id="1.2E+11")  # sorted, and its ids spoiled by a spreadsheet
    if ending == "csv":
        frame.to_csv(sheet, index=False, sep=";", encoding="utf-8-sig")
    else:
        frame.to_json(sheet, orient="records", lines=True)
    command = [
        "review",
        "import",
        str(sheet),
        "--queue",
        str(queue),
        "--coder",
        "anna",
        "-o",
        str(out),
    ]
    assert cli.run(command) == 0
    assert "2 codes taken, 0 were there" in capsys.readouterr().err
    rows = codes.read_codes(out, quiet).rows
    assert {row["text"]: (row["level"], row["unsure"]) for row in rows.values()} == {
        texts[0]: ("none", False),
        texts[1]: ("warning", True),
    }
    assert cli.run(command) == 0
    assert "0 codes taken, 2 were there" in capsys.readouterr().err


def test_every_wrong_row_is_named_and_none_taken(tmp_path, queue, capsys):
    entries = codes.read_queue(queue)
    sheet = tmp_path / "sheet.csv"
    lines = [
        f"1,{entries[0]['id']},,war,,",
        f"2,{entries[1]['id']},,protest,XXX>ECU,",
        f"3,{entries[0]['id']},,none,,",
        f"4,{entries[0]['id']},,none,,",
        f"3,{entries[2]['id']},,none,,perhaps",
        f"3,{entries[2]['id']},,none,,",
    ]
    sheet.write_text("n,id,text,level,dyads,unsure\n" + "\n".join(lines) + "\n")
    rows, errors = sheets.read_sheet(sheet, entries, "anna")
    assert [error.line for error in errors] == [2, 3, 4, 5, 6]
    assert len(rows) == 1
    out = tmp_path / "codes.jsonl"
    command = [
        "review",
        "import",
        str(sheet),
        "--queue",
        str(queue),
        "--coder",
        "a",
        "-o",
        str(out),
    ]
    assert cli.run(command) == 1
    assert (
        f"{sheet}, line 3: expected a code or name of a state, found 'XXX'"
        in capsys.readouterr().err
    )
    assert not out.exists()
    sheet.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="missing: n, id, text, level, dyads"):
        sheets.read_sheet(sheet, entries, "anna")


# --- scored tables and the choice ---


def records(texts, chances, model="1.0.0", publisher="Gazette"):
    frame = pd.DataFrame(np.array(chances, dtype=float), columns=list(PROBABILITIES))
    level = [LEVELS[at] for at in frame.to_numpy().argmax(axis=1)]
    score = frame.to_numpy() @ np.arange(4) / 3
    return frame.assign(
        text=texts,
        article_id=[f"a{at}" for at in range(len(texts))],
        publisher=publisher,
        level=level,
        score=score,
        model=model,
    )


NAMES = (
    "Oslo",
    "Bern",
    "Lima",
    "Quito",
    "Rome",
    "Paris",
    "Cairo",
    "Tunis",
    "Minsk",
    "Hanoi",
    "Manila",
)
DEEDS = (
    "warned",
    "protested",
    "thanked",
    "accused",
    "visited",
    "threatened",
    "condemned",
    "blamed",
)
GOODS = ("grain", "fish", "gas", "visas", "ports")


def plenty(n=200, seed=0):
    rng = np.random.default_rng(seed)
    drawn = rng.choice(NAMES, (n, 2))
    texts = [
        f"{a} {rng.choice(DEEDS)} {b} over {' '.join(rng.choice(GOODS, 3))} no {at}"
        + "abcdefghij"[at % 10] * 3
        + "klmnopqrst"[at // 10 % 10] * 3
        for at, (a, b) in enumerate(drawn)
    ]
    return records(texts, rng.dirichlet([2, 1, 0.5, 0.5], n))


def test_every_format_of_tension_score_is_read_alike(tmp_path, statements):
    from scoring.cli import app

    texts = [*statements["text"][:20], "-Oslo met Bern."]
    news = write(tmp_path / "news.jsonl", [{"sentence": text} for text in texts])
    read_as = {}
    for ending in ("parquet", "jsonl", "jsonl.gz", "csv"):
        table = tmp_path / f"table.{ending}"
        app(["score", "--all", str(news), "-o", str(table)], standalone_mode=False)
        read_as[ending] = tables.read([table]).free
    assert set(read_as["csv"]["text"]) == set(texts)
    for frame in read_as.values():
        pd.testing.assert_frame_equal(frame, read_as["parquet"])


def test_a_table_without_all_or_of_something_else_is_refused(tmp_path):
    frame = plenty(40)
    frame[frame["level"] != "none"].to_parquet(tmp_path / "part.parquet")
    with pytest.raises(UsageError, match="Score with --all"):
        tables.read([tmp_path / "part.parquet"])
    (tmp_path / "x.parquet").write_text("no")
    write(tmp_path / "x.jsonl", [{"text": "a"}])
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    (tmp_path / "x.txt").write_text("a")
    for name in ("x.parquet", "x.jsonl", "x.csv", "x.txt"):
        with pytest.raises(InputError, match=f"{name}.*: expected a Parquet, JSONL or CSV table"):
            tables.read([tmp_path / name])
    many = pd.concat([frame.assign(model=model) for model in "123"])
    many.to_parquet(tmp_path / "many.parquet")
    with pytest.raises(UsageError, match="found 1, 2, 3"):
        tables.read([tmp_path / "many.parquet"])


def test_what_is_labelled_or_apart_is_not_picked(tmp_path):
    frame = plenty(400)
    frame.loc[:199, "publisher"] = "RT"
    frame.to_parquet(tmp_path / "table.parquet")
    corpus = tmp_path / "corpus"
    (corpus / "held_out").mkdir(parents=True)
    held, named = frame["text"][300], frame["text"][301]
    write(corpus / "held_out" / "dev.jsonl", [{"id": statement_id(held)}])
    leave = write(tmp_path / "leave.jsonl", [{"text": named}])
    scored = tables.read([tmp_path / "table.parquet"], [leave], corpus)
    assert (scored.labelled, scored.left_out) == (1, 1)
    assert {held, named} <= set(scored.known)
    import hashlib

    number = {
        name: int(hashlib.sha256(name.encode()).hexdigest()[:4], 16)
        for name in frame["article_id"][:200]
    }
    apart = {
        text for text, name in zip(frame["text"], number, strict=False) if number[name] % 2 == 0
    }
    assert scored.apart == len(apart) > 50
    assert not apart & set(scored.free["text"])
    assert len(scored.free) == 400 - 2 - len(apart)


def test_where_nothing_is_in_doubt_it_says_what_to_do(tmp_path, capsys):
    frame = plenty(20)
    records(frame["text"], [[1, 0, 0, 0]] * 20).to_parquet(tmp_path / "sure.parquet")
    frame.to_parquet(tmp_path / "doubted.parquet")
    for name, picked in (("sure", False), ("doubted", True)):
        table, out = tmp_path / f"{name}.parquet", tmp_path / f"{name}.jsonl"
        assert cli.run(["review", "pick", str(table), "-o", str(out)]) == 0
        assert bool(out.read_text()) is picked
        assert ("give tables of more news" in capsys.readouterr().err) is not picked


def test_the_queue_has_each_reason_no_near_duplicates_and_is_the_same_again(tmp_path):
    frame = plenty(300)
    other = frame.assign(model="1.0.0+accurate")
    other[list(PROBABILITIES)] = np.roll(frame[list(PROBABILITIES)].to_numpy(), 1, axis=0)
    other["level"] = [LEVELS[at] for at in other[list(PROBABILITIES)].to_numpy().argmax(axis=1)]
    miss = {"text": frame["text"][5], "level": "none", "what": "told by others"}
    twins = records(
        [
            "One two three four five six seven eight nine said Oslo.",
            "One two three four five six seven eight said Bern.",
        ],
        [[0.4, 0.3, 0.2, 0.1]] * 2,
    )
    near = "Far and one two three four five six seven eight again."
    pd.concat([frame, twins]).to_parquet(tmp_path / "fast.parquet")
    other.to_parquet(tmp_path / "accurate.parquet")

    def made(past, seed=0):
        both = [tmp_path / "fast.parquet", tmp_path / "accurate.parquet"]
        free = tables.read(both, corpus=None).free
        return pick.queue(free, past, 8, seed, [miss])

    queue = made(pick.Known())
    assert queue == made(pick.Known())
    assert [row["id"] for row in queue] != [row["id"] for row in made(pick.Known(), 1)]
    assert {row["stratum"] for row in queue} == {f"review-{reason}" for reason in pick.REASONS}
    assert [row["stratum"] for row in queue[:5]] == [f"review-{reason}" for reason in pick.REASONS]
    by_reason = {row["stratum"]: row["why"][0] for row in reversed(queue)}
    assert by_reason["review-tiers"].startswith("models differ: 1.0.0+accurate ")
    assert by_reason["review-rare"].startswith("rare level: ")
    assert by_reason["review-miss"].startswith("like a past miss (told by others): ")
    margins = [np.diff(np.sort([row[name] for name in PROBABILITIES])[-2:])[0] for row in queue]
    uncertain = [
        m for m, row in zip(margins, queue, strict=True) if row["stratum"] == "review-uncertain"
    ]
    assert max(uncertain) < np.median(margins)
    texts = pd.DataFrame({"text": [row["text"] for row in queue]})
    from training.dataset import groups

    assert len(set(groups(texts))) == len(queue)
    alone = tables.read([tmp_path / "fast.parquet"], corpus=None).free.tail(400)
    twin_rows = alone[alone["text"].str.startswith("One two")].reset_index(drop=True)
    assert len(twin_rows) == 2
    assert len(pick.queue(twin_rows, pick.Known(), 5)) == 1
    assert pick.queue(twin_rows, pick.known([near]), 5) == []


def test_new_words_are_those_that_no_labelled_statement_has():
    texts = [
        "Oslo will embargo Bern at once.",
        "Rome may embargo Paris now.",
        "Lima thanked Quito for help.",
    ]
    chances = np.full((3, 4), 0.25)
    scored = pd.DataFrame(chances, columns=list(PROBABILITIES))
    first = pick.choose(scored, pick.traits(texts), pick.Known(), 1)
    assert "words" in dict(map(reversed, first))
    seen = pick.known(["They had to embargo all: may, will, once, thank for help."])
    assert "words" not in dict(map(reversed, pick.choose(scored, pick.traits(texts), seen, 1)))


def test_pick_writes_a_queue_that_can_be_coded(tmp_path, capsys):
    plenty(60).to_csv(tmp_path / "table.csv", index=False)
    out = tmp_path / "queue.jsonl"
    assert (
        cli.run(["review", "pick", str(tmp_path / "table.csv"), "-o", str(out), "--per", "3"]) == 0
    )
    shown = capsys.readouterr()
    assert shown.out.strip() == str(out)
    assert "give a table of the other one too" in shown.err
    rows = codes.read_queue(out)
    assert 6 <= len(rows) <= 12
    assert all(row["why"] and row["pool"] == "gazette" for row in rows)


# --- agreement ---


def coder(name, levels, texts=TEXTS):
    rows = [
        coded(text, level, [("NOR", "CHE", level)] if level != "none" else [], name)
        for text, level in zip(texts, levels, strict=True)
    ]
    return Codes(name, {row["id"]: row for row in rows})


def test_agreement_is_that_of_the_libraries():
    import krippendorff
    from sklearn.metrics import cohen_kappa_score

    rng = np.random.default_rng(0)
    texts = [f"Statement {'abcdefghij'[n % 10]}{'abcdefghij'[n // 10]}" for n in range(80)]
    first = rng.integers(0, 4, 80)
    second = np.where(rng.random(80) < 0.7, first, rng.integers(0, 4, 80))
    a, b = (coder(n, [LEVELS[c] for c in cs], texts) for n, cs in (("a", first), ("b", second)))
    found = agreeing.agreement([a, b])
    (pair,) = found["pairs"]
    assert pair["kappa"] == pytest.approx(cohen_kappa_score(first, second, weights="quadratic"))
    assert pair["kappa_nominal"] == pytest.approx(cohen_kappa_score(first, second))
    assert pair["kappa.low"] < pair["kappa"] < pair["kappa.high"]
    expected = krippendorff.alpha([first, second], level_of_measurement="ordinal")
    assert found["alpha"] == pytest.approx(expected)
    assert np.array(pair["confusion"]).sum() == 80
    spoke = first > 0, second > 0
    assert pair["pairs_f1"] == pytest.approx(
        2 * (spoke[0] & spoke[1]).sum() / sum(map(np.sum, spoke))
    )
    where = agreeing.differing([a, b])
    assert len(where) == (first != second).sum()
    gaps = [abs(LEVELS.index(s["a"]["level"]) - LEVELS.index(s["b"]["level"])) for _, s in where]
    assert gaps == sorted(gaps, reverse=True)


def test_coders_without_a_statement_in_common_are_told_so():
    a, b = coder("a", ["none"], TEXTS[:1]), coder("b", ["none"], TEXTS[1:2])
    with pytest.raises(UsageError, match="no id in common"):
        agreeing.agreement([a, b])
    with pytest.raises(UsageError, match="different names"):
        agreeing.agreement([a, a])
    with pytest.raises(UsageError, match="two coders or more, found 1"):
        agreeing.agreement([a])


def test_one_level_throughout_leaves_kappa_undefined():
    found = agreeing.agreement([coder("a", ["none"] * 3), coder("b", ["none"] * 3)])
    assert found["alpha"] is None
    assert found["pairs"][0]["kappa"] is None
    assert found["pairs"][0]["pairs_f1"] is None


def test_agreement_command_shows_where_they_differ(tmp_path, capsys):
    for one in (
        coder("anna", ["warning", "protest", "none"]),
        coder("ben", ["none", "protest", "none"]),
    ):
        write(tmp_path / f"{one.name}.jsonl", one.rows.values())
    both = [str(tmp_path / "anna.jsonl"), str(tmp_path / "ben.jsonl")]
    assert cli.run(["review", "agreement", *both, "--differ", str(tmp_path / "differ.jsonl")]) == 0
    shown = capsys.readouterr()
    assert "1 statements on which they differ" in shown.out
    assert "anna: warning NOR>CHE warning" in shown.out
    assert "3 statements are few" in shown.err
    assert [row["text"] for row in codes.read_queue(tmp_path / "differ.jsonl")] == [TEXTS[0]]
    assert cli.run(["review", "agreement", *both, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["differ"][0]["ben"] == "none"


# --- merge ---


@pytest.fixture
def corpus(tmp_path):
    folder = tmp_path / "corpus"
    (folder / "held_out").mkdir(parents=True)
    return folder


def test_merge_appends_what_all_agree_on(tmp_path, corpus):
    into = tmp_path / "hydrated-new.jsonl"
    anna = coder("anna", ["warning", "protest", "none"])
    ben = coder("ben", ["none", "protest"], TEXTS[:2])
    done = merge.merge([anna, ben], into, corpus=corpus)
    assert (len(done.added), done.alone, done.there) == (2, 1, 0)
    assert done.left == {"the coders differ": [statement_id(TEXTS[0])]}
    found = read([into])
    assert found["text"].tolist() == list(TEXTS[1:])
    assert [json.loads(line)["coder"] for line in into.read_text().splitlines()] == [
        "anna+ben",
        "anna",
    ]
    judge = coder("judge", ["warning"], TEXTS[:1])
    done = merge.merge([anna, ben], into, adjudicated=judge, corpus=corpus)
    assert (len(done.added), done.adjudicated, done.there, done.left) == (1, 1, 2, {})
    assert len(read([into])) == 3
    fewer = merge.merge([anna, ben], tmp_path / "other.jsonl", at_least=2, corpus=corpus)
    assert fewer.left["coded by fewer than 2"] == [statement_id(TEXTS[2])]


def test_merge_by_id_leaves_the_text_out_and_held_out_ones_too(tmp_path, corpus):
    label = {
        "id": statement_id("A."),
        "pool": "feed",
        "stratum": "s",
        "coder": "c",
        "level": "none",
        "dyads": [],
    }
    write(corpus / "real.jsonl", [label | {"unsure": False}])
    held = label | {"id": statement_id(TEXTS[2]), "unsure": False}
    write(corpus / "held_out" / "dev.jsonl", [held])
    anna = coder("anna", ["warning", "protest", "none"])
    done = merge.merge([anna], corpus / "real.jsonl", ids_only=True, corpus=corpus)
    assert done.left == {"kept apart in held_out": [statement_id(TEXTS[2])]}
    from training.dataset import labels

    assert labels([corpus / "real.jsonl"])["coder"].tolist() == ["c", "anna", "anna"]
    assert "Oslo" not in (corpus / "real.jsonl").read_text()
    again = merge.merge(
        [coder("anna", ["threat"], TEXTS[:1])], corpus / "real.jsonl", ids_only=True, corpus=corpus
    )
    assert list(again.left) == [f"labelled otherwise in {corpus / 'real.jsonl'}"]
    (corpus / "sources.toml").write_text(
        '[agency]\nname = "a"\nwhat = "a"\nwhere = "a"\nlicence = "a"\n'
    )
    more = coder("anna", ["none"], ["Cairo met Tunis."])
    with pytest.raises(UsageError, match=r"found 'feed'. Name one with --pool \(agency\)"):
        merge.merge([more], corpus / "real.jsonl", ids_only=True, corpus=corpus)
    merge.merge([more], corpus / "real.jsonl", ids_only=True, pool="agency", corpus=corpus)
    assert labels([corpus / "real.jsonl"])["pool"].tolist()[-1] == "agency"


def test_merge_is_whole_or_not_at_all(tmp_path, corpus):
    into = write(tmp_path / "hydrated.jsonl", [coded(TEXTS[0].upper())])
    before = into.read_bytes()
    with pytest.raises(DataError, match=r"hydrated.jsonl, line 3: .* Nothing was merged"):
        merge.merge([coder("anna", ["none", "none"], [TEXTS[1], TEXTS[0]])], into, corpus=corpus)
    assert into.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".tmp"] == []
    into.write_bytes(before + b"{}\n")
    with pytest.raises(DataError, match="line 2"):
        merge.merge([coder("anna", ["none"], TEXTS[1:2])], into, corpus=corpus)
    with pytest.raises(UsageError, match="expected a file of labels without text"):
        merge.merge(
            [coder("a", ["none"], TEXTS[1:2])],
            write(into, [coded(TEXTS[0])]),
            ids_only=True,
            corpus=corpus,
        )


def test_merge_says_what_it_cannot_write_to(tmp_path, corpus):
    anna = coder("anna", ["none"] * 3)
    with pytest.raises(UsageError, match="found a folder"):
        merge.merge([anna], tmp_path, corpus=corpus)
    (tmp_path / "hydrated.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="expected UTF-8"):
        merge.merge([anna], tmp_path / "hydrated.jsonl", corpus=corpus)
    with pytest.raises(OutputError, match="expected"):
        merge.merge([anna], tmp_path / "gone" / "hydrated.jsonl", corpus=corpus)


def test_text_is_not_merged_into_what_git_would_commit(tmp_path, corpus, capsys):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text("hydrated*.jsonl\n")
    anna = write(tmp_path / "anna.jsonl", coder("anna", ["none"] * 3).rows.values())
    assert cli.run(["review", "merge", str(anna), "--into", str(tmp_path / "real.jsonl")]) == 2
    assert "expected a file that git ignores" in capsys.readouterr().err
    assert not (tmp_path / "real.jsonl").exists()
    assert (
        cli.run(["review", "merge", str(anna), "--into", str(tmp_path / "hydrated-a.jsonl")]) == 0
    )
    assert "3 added (3 coded by one alone, 0 adjudicated), 0 were there" in capsys.readouterr().err


# --- what it is worth ---


def own_statements(n):
    from training.hydrate import CORPUS

    return read([CORPUS / "own.jsonl"]).iloc[:n].reset_index(drop=True)


def test_study_compares_the_ways_and_is_the_same_again():
    plan = study.Plan(start=60, batch=60, until=180, folds=2, seeds=1)
    statements = own_statements(400)
    done = []
    found = study.study(statements, plan, told=lambda at, total: done.append((at, total)))
    assert found == study.study(statements, plan)
    assert done[-1] == (6, 6)
    assert found["labels"] == [60, 120, 180]
    first = {way: found[way]["curve"][0] for way in study.WAYS}
    assert len(set(first.values())) == 1  # all begin with the same labels
    assert found["target"] == found["random"]["curve"][-1] > first["random"]
    for way in ("queue", "uncertain"):
        assert found[way]["saving.low"] <= found[way]["saving"] <= found[way]["saving.high"]
        assert found[way]["curve"] != found["random"]["curve"]


def test_a_saving_is_read_off_the_curves():
    sizes = [100, 200, 300]
    curves = {
        "queue": np.array([[0.1, 0.5, 0.6]]),
        "uncertain": np.array([[0.1, 0.2, 0.3]]),
        "random": np.array([[0.1, 0.2, 0.4]]),
    }
    found = study._compared(curves, sizes, 0)
    assert found["queue"]["labels"] == pytest.approx(175)
    assert found["queue"]["saving"] == pytest.approx(1 - 175 / 300)
    assert found["uncertain"]["labels"] is None
    assert (found["uncertain"]["saving"], found["uncertain"]["reached"]) == (0, 0)
    assert found["uncertain"]["gain"] == pytest.approx(-0.1)


def test_study_says_what_it_needs(tmp_path, capsys):
    with pytest.raises(UsageError, match="expected --until between 450 and the 80 statements"):
        study.study(own_statements(100), study.Plan())
    flat = own_statements(200).assign(level="none")
    with pytest.raises(UsageError, match="statements or more of every level"):
        study.study(flat, study.Plan(50, 10, 70, 2, 1))
    data = write(
        tmp_path / "own.jsonl", own_statements(300).drop(columns="place").to_dict("records")
    )
    command = f"review study --data {data} --start 60 --batch 60 --until 120 --folds 2 --seeds 1"
    assert cli.run(command.split()) == 0
    assert "saves" in capsys.readouterr().out
