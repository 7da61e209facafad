"""Reading: every format that news comes in, well-formed, broken and hostile."""

import contextlib
import csv
import datetime as dt
import gzip
import io
import json
import os
import sys
import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from scoring import feeds
from scoring.articles import MOST_CHARACTERS, Article, content_id, unique
from scoring.errors import InputError, UsageError
from scoring.feeds import read_articles

SHARED = Path(os.environ.get("TENSION_SHARED", Path(__file__).parents[3] / "shared"))
NOON = dt.datetime(2024, 5, 2, 12, 0, tzinfo=dt.UTC)
BODY = "Norway protested on Thursday.\nIt warned of “consequences”."


def read(
    *names: str | Path, input_format: str = "auto", keep: Sequence[str] = ()
) -> tuple[list[Article], list[InputError]]:
    problems: list[InputError] = []
    articles = list(
        read_articles([str(name) for name in names], input_format, problems.append, keep)
    )
    return articles, problems


def read_bytes(
    folder: Path, name: str, data: bytes | str, **how: Any
) -> tuple[list[Article], list[InputError]]:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return read(path, **how)


@contextlib.contextmanager
def memory_below(most: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


# --- what every format gives ----------------------------------------------------------------------

HTML_BODY = (
    "&lt;p&gt;Norway protested on Thursday.&lt;/p&gt;"
    "&lt;p&gt;It warned of &#8220;consequences&#8221;.&lt;/p&gt;"
)
RECORD = {
    "id": "n1",
    "title": "Oslo warns",
    "text": BODY,
    "published": "2024-05-02T14:00:00+02:00",
    "publisher": "The Example Post",
    "url": "https://post.example/1",
}
RSS_ITEM = f"""<item><title>Oslo warns</title><link>https://post.example/1</link>
<guid isPermaLink="false">n1</guid><description>{HTML_BODY}</description>
<pubDate>Thu, 02 May 2024 14:00:00 +0200</pubDate></item>"""
RSS_HEAD = "<channel><title>The Example Post</title><link>https://post.example/</link>"


def csv_text(delimiter: str = ",") -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(RECORD), delimiter=delimiter)
    writer.writeheader()
    writer.writerow(RECORD)
    return out.getvalue()


def parquet(records: list[dict[str, Any]]) -> bytes:
    out = io.BytesIO()
    pd.DataFrame(records).to_parquet(out)
    return out.getvalue()


FORMATS: dict[str, bytes | str] = {
    "rss2.xml": f'<?xml version="1.0"?>\n<rss version="2.0">{RSS_HEAD}{RSS_ITEM}</channel></rss>',
    "rss092.rss": f'<rss version="0.92">{RSS_HEAD}{RSS_ITEM}</channel></rss>',
    "rss091.xml": '<!DOCTYPE rss PUBLIC "-//Netscape Communications//DTD RSS 0.91//EN" '
    f'"http://host.invalid/rss-0.91.dtd"><rss version="0.91">{RSS_HEAD}{RSS_ITEM}</channel></rss>',
    "rss1.rdf": f"""<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"
xmlns="http://purl.org/rss/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/">
<channel rdf:about="https://post.example/"><title>The Example Post</title></channel>
<item rdf:about="n1"><title>Oslo warns</title><link>https://post.example/1</link>
<description>{HTML_BODY}</description><dc:date>2024-05-02T14:00:00+02:00</dc:date></item>
</rdf:RDF>""",
    "feed.atom": f"""<feed xmlns="http://www.w3.org/2005/Atom"><title>The Example Post</title>
<link href="https://post.example/"/><entry><id>n1</id>
<title type="html">Oslo &lt;b&gt;warns&lt;/b&gt;</title>
<link href="/1"/><summary>Short.</summary><content type="html">{HTML_BODY}</content>
<updated>2024-05-02T12:00:00Z</updated></entry></feed>""",
    "xhtml.atom": """<feed xmlns="http://www.w3.org/2005/Atom">
<title>The Example Post</title><entry><id>n1</id><title>Oslo warns</title><link href="https://post.example/1"/>
<content type="xhtml">
<div xmlns="http://www.w3.org/1999/xhtml"><p>Norway <i>protested</i> on Thursday.</p>
<p>It warned of “consequences”.</p></div></content><published>2024-05-02T12:00:00Z</published>
</entry></feed>""",
    "feed.json": json.dumps(
        {
            "version": "https://jsonfeed.org/version/1.1",
            "title": "The Example Post",
            "items": [
                {
                    "id": "n1",
                    "title": "Oslo warns",
                    "url": "https://post.example/1",
                    "content_html": "<p>Norway protested on Thursday.</p>\n"
                    "It warned of “consequences”.",
                    "date_published": "2024-05-02T14:00:00+02:00",
                }
            ],
        }
    ),
    "records.jsonl": json.dumps(RECORD) + "\n",
    "records.ndjson": json.dumps(RECORD, ensure_ascii=False),
    "one.json": json.dumps(RECORD, indent=1),
    "list.json": json.dumps([RECORD], indent=1),
    "lines.json": json.dumps(RECORD) + "\n" + json.dumps({"text": "Next."}),
    "table.csv": csv_text(),
    "excel.csv": "\ufeff" + csv_text(";"),
    "table.tsv": csv_text("\t"),
    "table.parquet": parquet([RECORD]),
}


@pytest.mark.parametrize("packed", [False, True], ids=["", "gz"])
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_article(tmp_path: Path, name: str, packed: bool) -> None:
    data = FORMATS[name]
    data = data.encode() if isinstance(data, str) else data
    if packed:
        name, data = name + ".gz", gzip.compress(data)
    articles, problems = read_bytes(tmp_path, name, data)
    assert problems == []
    article = articles[0]
    assert (article.title, article.text, article.published) == ("Oslo warns", BODY, NOON)
    assert (article.publisher, article.url) == ("The Example Post", "https://post.example/1")
    assert article.id == "n1"
    assert article.note is None
    assert not article.whole


# A table as text is known by its ending alone.
@pytest.mark.parametrize("name", [name for name in FORMATS if name[-3:] not in ("csv", "tsv")])
def test_formats_are_told_apart_by_content(tmp_path: Path, name: str) -> None:
    articles, problems = read_bytes(tmp_path, "unnamed", FORMATS[name])
    assert problems == []
    assert articles[0].title == "Oslo warns"


def test_html_page(tmp_path: Path) -> None:
    page = """<html><head><title>Oslo warns</title><meta name="date" content="2024-05-02T12:00Z">
<meta charset="windows-1252"></head><body><p>Norway protested at the “café”.</p></body></html>"""
    for name in ("page.html", "page.htm.gz", "unnamed"):
        data = page.encode("cp1252")
        [article], problems = read_bytes(
            tmp_path, name, gzip.compress(data) if name.endswith("gz") else data
        )
        assert problems == []
        assert (article.title, article.published) == ("Oslo warns", NOON)
        assert article.text == "Norway protested at the “café”."
        assert article.note is None


def test_text(tmp_path: Path) -> None:
    [article], _ = read_bytes(tmp_path, "a.txt", "\r\nOslo warns\r\n\r\nOne.\r\nTwo.\r\rThree.\r\n")
    assert (article.title, article.text) == ("Oslo warns", "One.\nTwo.\n\nThree.")
    [article], _ = read_bytes(tmp_path, "b.txt", "Norway protested.\nIt warned.\n\nMore.")
    assert (article.title, article.text) == (None, "Norway protested.\nIt warned.\n\nMore.")
    [article], _ = read_bytes(tmp_path, "c.txt", "x" * 400 + "\n\nMore.")
    assert article.title is None


def test_lines_are_whole_statements_and_never_dropped(tmp_path: Path) -> None:
    text = "We protest.\n\nWe protest.\r\nHalf\rline\x85here\u2028too. And more.\n"
    articles, problems = read_bytes(tmp_path, "a.txt", text, input_format="lines")
    assert problems == []
    assert [(article.id, article.text) for article in unique(articles)] == [
        ("1", "We protest."),
        ("2", None),
        ("3", "We protest."),
        ("4", "Half\rline\x85here\u2028too. And more."),
    ]
    assert all(article.whole and article.title is None for article in articles)
    assert articles[1].note == feeds.NO_TEXT


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    for data in (FORMATS["rss2.xml"], FORMATS["records.jsonl"], FORMATS["table.parquet"]):
        raw = data.encode() if isinstance(data, str) else data
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
        [article], problems = read("-")
        assert (article.title, problems) == ("Oslo warns", [])


def test_folder_and_glob_in_order(tmp_path: Path) -> None:
    for name, data in FORMATS.items():
        (tmp_path / name).write_bytes(data.encode() if isinstance(data, str) else data)
    articles, problems = read(tmp_path)
    assert problems == []
    assert len(articles) == len(FORMATS) + 1  # one of them holds two
    stories = unique(read(tmp_path / "*.*")[0])
    assert [article.text for article in stories] == [BODY, "Next."]
    assert stories.dropped == len(FORMATS) - 1


def test_ids_given_or_of_the_content(tmp_path: Path) -> None:
    rows = [
        {"id": 7, "text": "A."},
        {"id": "", "text": "B."},
        {"id": None, "text": "B."},
        {"text": "C."},
    ]
    articles, _ = read_bytes(tmp_path, "a.jsonl", "\n".join(map(json.dumps, rows)))
    assert [article.id for article in articles] == [
        "7",
        content_id(None, "B."),
        content_id(None, "B."),
        content_id(None, "C."),
    ]


def test_keys_are_kept_on_demand(tmp_path: Path) -> None:
    data = '{"text": "A.", "desk": "north", "n": 3}\n{"text": "B."}'
    articles, _ = read_bytes(tmp_path, "a.jsonl", data, keep=["desk", "n"])
    assert [article.extra for article in articles] == [
        {"desk": "north", "n": 3},
        {"desk": None, "n": None},
    ]
    [article], _ = read_bytes(tmp_path, "a.csv", "text,desk\nA.,north\n", keep=["desk"])
    assert article.extra == {"desk": "north"}
    records = [{"text": "A.", "desk": "north"}]
    [article], _ = read_bytes(tmp_path, "a.parquet", parquet(records), keep=["desk"])
    assert article.extra == {"desk": "north"}
    [article], _ = read_bytes(tmp_path, "a.xml", FORMATS["rss2.xml"], keep=["link"])
    assert article.extra == {"link": "https://post.example/1"}
    [article], _ = read_bytes(tmp_path, "a.json", FORMATS["feed.json"], keep=["url"])
    assert article.extra == {"url": "https://post.example/1"}


def test_line_ends(tmp_path: Path) -> None:
    for end in ("\n", "\r\n"):
        articles, _ = read_bytes(
            tmp_path, "a.jsonl", f'{{"text": "A."}}{end}{end}{{"text": "B."}}{end}'
        )
        assert [article.text for article in articles] == ["A.", "B."]
    for end in ("\n", "\r\n", "\r"):
        articles, _ = read_bytes(tmp_path, "a.csv", f'id,text{end}1,A.{end}{end}2,"B{end}C"{end}')
        assert [article.text for article in articles] == ["A.", f"B{end}C"]
    [article], problems = read_bytes(tmp_path, "a.jsonl", '{"text": "one\u2028two\x85three"}')
    assert (article.text, problems) == ("one\u2028two\x85three", [])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_byte_order_marks(tmp_path: Path, encoding: str) -> None:
    for name in ("table.csv", "records.ndjson", "one.json", "rss2.xml", "xhtml.atom"):
        data = FORMATS[name]
        assert isinstance(data, str)
        data = data.replace('version="1.0"?', f'version="1.0" encoding="{encoding[:6]}"?')
        articles, problems = read_bytes(tmp_path, name, data.encode(encoding))
        assert problems == []
        assert [article.text for article in articles] == [BODY]
        assert articles[0].note is None
    [article], _ = read_bytes(tmp_path, "a.txt", "Warnung an Kärnten".encode(encoding))
    assert article.text == "Warnung an Kärnten"


# --- items of feeds -------------------------------------------------------------------------------


def rss(*items: str) -> str:
    return f'<rss version="2.0">{RSS_HEAD}{"".join(items)}</channel></rss>'


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("<p>Cairo protested.</p><p>[…]</p>", "Cairo protested."),
        ("Cairo protested [...]", "Cairo protested"),
        ('<p>Cairo protested…</p><a href="/">Continue reading...</a>', "Cairo protested…"),
        ("Cairo protested. <a href='/'>Read more »</a>", "Cairo protested."),
        (
            "<p>Cairo protested […]</p><p>The post <a>X</a> appeared first on <a>Wire</a>.</p>",
            "Cairo protested",
        ),
        ("<p>May 2, 2024 8:00 PM</p><p>Cairo protested.</p>", "Cairo protested."),
        ("Cairo protested.<br>#Egypt #News<br>#Nile", "Cairo protested."),
        ("<p>Cairo protested.</p><p>Also on the Wire:</p><img src='x'>", "Cairo protested."),
        ("<a href='/comments'>Comments</a>", None),
        ("Comments were made in Cairo.", "Comments were made in Cairo."),
        ("<p>Cairo warned:</p><p>“No more.”</p>", "Cairo warned:\n“No more.”"),
        ("Oslo warns", None),  # nothing but the title again
        ("<img src='x'>", None),
    ],
)
def test_what_feeds_wrap_around_a_text_goes(tmp_path: Path, body: str, text: str | None) -> None:
    item = f"<item><title>Oslo warns</title><description><![CDATA[{body}]]></description></item>"
    [article], _ = read_bytes(tmp_path, "a.xml", rss(item))
    assert (article.title, article.text) == ("Oslo warns", text)


def test_titles_are_left_whole(tmp_path: Path) -> None:
    titles = ["Comments", "#Egypt", "Those who warn...", "A &amp;lt; B"]
    articles, _ = read_bytes(
        tmp_path, "a.xml", rss(*(f"<item><title>{t}</title></item>" for t in titles))
    )
    assert [article.title for article in articles] == [
        "Comments",
        "#Egypt",
        "Those who warn...",
        "A < B",
    ]


def test_dates_of_feeds(tmp_path: Path) -> None:
    dates = [
        "Thu, 02 May 2024 12:00:00 GMT",
        "2024-05-02T14:00:00+02:00",
        "May 2, 2024 12:00 PM",
        "soon",
        "",
    ]
    items = (
        f"<item><title>{n}</title><pubDate>{date}</pubDate></item>" for n, date in enumerate(dates)
    )
    articles, problems = read_bytes(tmp_path, "a.xml", rss(*items, "<item><title>x</title></item>"))
    assert [article.published for article in articles] == [NOON] * 3 + [None] * 3
    assert problems == []


@pytest.mark.parametrize(
    ("reference", "character"),
    [
        ("#8212", "—"),
        ("#x1F600", "😀"),
        ("#xD800", "\ufffd"),
        ("#x110000", "\ufffd"),
        ("#1114112", "\ufffd"),
        ("#" + "1" * 5_000, "\ufffd"),
        ("#x" + "0" * 5_000, "\ufffd"),
    ],
)
def test_references_to_no_character(tmp_path: Path, reference: str, character: str) -> None:
    items = (f"<item><title>{title}</title></item>" for title in (f"A &{reference};", "B"))
    articles, problems = read_bytes(tmp_path, "a.xml", rss(*items))
    assert problems == []
    assert [article.title for article in articles] == [f"A {character}", "B"]


def test_json_feed_under_the_wrong_ending(tmp_path: Path) -> None:
    [article], problems = read_bytes(tmp_path, "a.xml", FORMATS["feed.json"])
    assert (article.title, problems) == ("Oslo warns", [])


def test_odd_links(tmp_path: Path) -> None:
    links = ["/a?b=1&amp;c=2", "http://[bad", "https://other.example/"]
    articles, _ = read_bytes(
        tmp_path,
        "a.xml",
        rss(*(f"<item><title>x</title><link>{link}</link></item>" for link in links)),
    )
    assert [article.url for article in articles] == [
        "https://post.example/a?b=1&c=2",
        "http://[bad",
        "https://other.example/",
    ]


def test_json_feed_with_odd_items(tmp_path: Path) -> None:
    items = [3, {}, {"title": 5, "content_text": "A < B"}, {"summary": "<p>S.</p>"}, None]
    articles, problems = read_bytes(tmp_path, "a.json", json.dumps({"title": 1, "items": items}))
    assert [article.text for article in articles] == [None, "A < B", "S."]
    assert articles[0].note == feeds.NO_TEXT
    assert [problem.line for problem in problems] == [1, 5]


# --- bad input: nothing but a clear message, and the rest is read ---------------------------------

SUFFIXES = ["xml", "rss", "atom", "json", "jsonl", "csv", "tsv", "parquet", "html", "txt", "", "gz"]
NOISE = bytes((7 * number * number + number // 3) % 256 for number in range(5_000))
BINARY = {
    "noise": NOISE,
    "without NUL": NOISE.replace(b"\0", b"\1"),
    "picture": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + NOISE,
    "document": b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\n" + NOISE,
    "archive": b"PK\x03\x04\x14\0\0\0" + NOISE,
    "UTF-16 without a mark": ("Norway protested. " * 100).encode("utf-16-le"),
}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kind", BINARY)
def test_binary_data(tmp_path: Path, suffix: str, kind: str) -> None:
    articles, [problem] = read_bytes(tmp_path, f"a.{suffix}", BINARY[kind])
    assert articles == []
    assert "expected text, found binary data" in str(problem)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("data", [b"", gzip.compress(b"", mtime=0)])
def test_empty_files(tmp_path: Path, suffix: str, data: bytes) -> None:
    articles, [problem] = read_bytes(tmp_path, f"a.{suffix}", data)
    assert articles == []
    assert str(problem) == (
        f"{tmp_path}/a.{suffix}: expected articles, found an empty input. Nothing was read."
    )


NOTHING = {
    "a.xml": rss(),
    "b.xml": "<html><p>Not a feed.</p></html>",
    "c.xml": "just text",
    "a.json": '{"title": "x", "items": []}',
    "b.json": "[]",
    "a.jsonl": "\n\n \n",
    "a.csv": "id,text\n",
    "b.csv": "id,body\n1,A.\n",
    "a.parquet": parquet([{"text": "x"}][:0] or [{"body": "x"}]),
    "a.html": "<html><script>x</script></html>",
    "a.txt": " \n \n",
}


@pytest.mark.parametrize("name", NOTHING)
def test_nothing_to_read_is_said_once(tmp_path: Path, name: str) -> None:
    articles, [problem] = read_bytes(tmp_path, name, NOTHING[name])
    assert articles == []
    assert problem.where == str(tmp_path / name)
    assert "expected" in problem.problem
    assert "found" in problem.problem
    assert problem.remedy


def test_parquet_without_rows(tmp_path: Path) -> None:
    pd.DataFrame({"text": pd.Series([], dtype="str")}).to_parquet(tmp_path / "a.parquet")
    _, [problem] = read(tmp_path / "a.parquet")
    assert "expected articles, found none" in str(problem)


def test_one_bad_input_does_not_end_the_run(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text("no feed")
    (tmp_path / "b.jsonl").write_text('{"text": "Kept."}')
    articles, problems = read(
        tmp_path / "none", tmp_path / "a.xml", "ftp://x/", tmp_path / "b.jsonl"
    )
    assert [article.text for article in articles] == ["Kept."]
    assert len(problems) == 3


def test_an_unknown_format() -> None:
    with pytest.raises(UsageError, match="found 'xls'"):
        read("x", input_format="xls")


def test_records_that_are_none(tmp_path: Path) -> None:
    bad = {
        2: "{",
        3: "[1]",
        4: '"text"',
        5: '{"body": "x", "desk": "y"}',
        6: '{"text": 5}',
        7: '{"title": ["x"]}',
        8: "[" * 200_000,
        9: '{"text": ' + "1" * 5_000 + "}",
        10: "\0\0",
    }
    lines = ['{"text": "First."}', *bad.values(), '{"text": "Last."}']
    articles, problems = read_bytes(tmp_path, "a.jsonl", "\n".join(lines))
    assert [article.text for article in articles] == ["First.", "Last."]
    assert [problem.line for problem in problems] == list(bad)
    problem = "line 5: expected the key title, text or sentence, found the keys body, desk"
    assert problem in str(problems[3])
    assert "expected text under 'text', found int" in str(problems[4])


def test_deeply_nested_json_document(tmp_path: Path) -> None:
    for data in ("[" * 200_000, '{"items": ' * 200_000):
        articles, [problem] = read_bytes(tmp_path, "a.json", data)
        assert articles == []
        assert "expected JSON" in str(problem)


def test_broken_json_is_said_once(tmp_path: Path) -> None:
    data = json.dumps([RECORD] * 50, indent=1)[:-20]
    articles, problems = read_bytes(tmp_path, "a.json", data)
    assert (articles, len(problems)) == ([], 1)


def test_null_nan_and_blank_text(tmp_path: Path) -> None:
    data = '{"text": null}\n{"text": NaN, "title": "T."}\n{"text": " ", "url": null}\n{"title": ""}'
    articles, problems = read_bytes(tmp_path, "a.jsonl", data)
    assert problems == []
    assert [(a.title, a.text, a.note) for a in articles] == [
        (None, None, feeds.NO_TEXT),
        ("T.", None, None),
        (None, None, feeds.NO_TEXT),
        (None, None, feeds.NO_TEXT),
    ]
    records = [{"title": "T.", "text": None, "id": float("nan"), "published": pd.NaT}]
    [article], _ = read_bytes(tmp_path, "a.parquet", parquet(records))
    assert (article.title, article.text, article.published) == ("T.", None, None)
    assert article.id == content_id("T.", None)


def test_half_a_surrogate_pair_can_be_written_out(tmp_path: Path) -> None:
    data = r'{"id": "\ud800", "title": "a\udfff", "text": "\ud83d\ude00", "desk": "\ud800"}'
    [article], _ = read_bytes(tmp_path, "a.jsonl", data, keep=["desk"])
    assert (article.id, article.title, article.text, article.extra) == (
        "?",
        "a?",
        "😀",
        {"desk": "?"},
    )


def test_wrong_types_in_parquet(tmp_path: Path) -> None:
    articles, problems = read_bytes(tmp_path, "a.parquet", parquet([{"text": 1}, {"text": 2}]))
    assert articles == []
    assert [problem.line for problem in problems] == [1, 2]
    moment = pd.Timestamp("2024-05-02 14:00", tz="Europe/Oslo")
    records = [{"id": 7, "text": "A.", "published": moment}]
    [article], _ = read_bytes(tmp_path, "a.parquet", parquet(records))
    assert (article.id, article.published) == ("7", NOON)
    assert type(article.published) is dt.datetime


def test_damaged_parquet(tmp_path: Path) -> None:
    data = parquet([{"text": f"Statement {number} of many."} for number in range(3_000)])
    broken = [
        data[:200],
        data[:-10],
        b"PAR1" + b"x" * 100 + b"PAR1",
        data[:1000] + b"\xff" * 500 + data[1500:],
    ]
    for number, part in enumerate(broken):
        articles, problems = read_bytes(tmp_path, f"{number}.parquet", part)
        assert articles == []
        assert len(problems) == 1
        assert "expected Parquet, found it damaged" in str(problems[0])


def test_invalid_utf8_in_parquet(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    raw = pa.array([b"fine", b"\xff\xfe"], pa.binary())
    pq.write_table(pa.table({"text": raw.view(pa.string())}), tmp_path / "a.parquet")
    _, problems = read(tmp_path / "a.parquet")
    assert len(problems) == 1
    assert "found it damaged" in str(problems[0])


def test_rows_of_csv_that_are_none(tmp_path: Path) -> None:
    data = 'id,text,url\n1,A.\n2,B.,u,too,many\n3,"C"x,u\n4,"D\nE",u\n5,\n6,F.,u\n7,"never\nclosed'
    articles, problems = read_bytes(tmp_path, "a.csv", data)
    assert [(article.id, article.text) for article in articles] == [
        ("1", "A."),
        ("4", "D\nE"),
        ("5", None),
        ("6", "F."),
    ]
    assert [problem.line for problem in problems] == [3, 4, 9]
    assert "expected 3 fields, found 5" in str(problems[0])
    assert "Mend its quotes" in str(problems[2])


def test_columns_of_csv(tmp_path: Path) -> None:
    _, [problem] = read_bytes(tmp_path, "a.csv", "id;body\n1;A.\n")
    assert "line 1: expected a column title, text or sentence, found id, body." in str(problem)
    articles, _ = read_bytes(tmp_path, "a.csv", " Text \nOne, and two; three\n")
    assert [article.text for article in articles] == ["One, and two; three"]
    [article], _ = read_bytes(tmp_path, "a.csv", "ID,Sentence\n1,One. Two.\n")
    assert (article.text, article.whole) == ("One. Two.", True)


def test_nul_bytes_further_on(tmp_path: Path) -> None:
    rows = "".join(f"{number},Filler text.\n" for number in range(200))
    articles, problems = read_bytes(tmp_path, "a.csv", f"id,text\n{rows}x,Nul \0 here\ny,Last.\n")
    assert articles[-1].text == "Last."
    assert len(articles) == 202
    assert problems == []


def test_invalid_utf8(tmp_path: Path) -> None:
    for name, data in (
        ("a.jsonl", b'{"text": "caf\xe9"}\n{"text": "fine"}'),
        ("a.csv", b"text\ncaf\xe9\nfine\n"),
    ):
        articles, problems = read_bytes(tmp_path, name, data)
        assert problems == []
        assert [(article.text, article.note) for article in articles] == [
            ("caf\ufffd", feeds.INVALID),
            ("fine", None),
        ]
    articles, _ = read_bytes(tmp_path, "a.txt", b"caf\xe9\nfine", input_format="lines")
    assert [article.note for article in articles] == [feeds.INVALID, None]
    [article], _ = read_bytes(tmp_path, "a.txt", b"The caf\xe9 said \x93no\x94.")
    assert article.text == "The café said “no”."
    assert article.note == "read as Windows-1252, not UTF-8"


CYRILLIC = "Москва выразила протест"


@pytest.mark.parametrize(
    ("title", "encoding", "declared", "read_as", "note"),
    [
        (CYRILLIC, "windows-1251", "windows-1251", CYRILLIC, None),
        (CYRILLIC, "koi8-r", "KOI8-R", CYRILLIC, None),
        ("東京は抗議した", "shift_jis", "Shift_JIS", "東京は抗議した", None),
        ("Un café “noir”", "cp1252", "ISO-8859-1", "Un café “noir”", None),
        ("Un café “noir”", "utf-8", "ISO-8859-1", "Un café “noir”", None),
        ("Un café noir", "latin-1", "utf-8", "Un café noir", "read as Windows-1252, not UTF-8"),
        ("Un café", "latin-1", "no-such", "Un café", "read as Windows-1252, not UTF-8"),
        (CYRILLIC, "windows-1251", "utf-8", None, "read as Windows-1252, not UTF-8"),
    ],
)
def test_encodings_of_feeds(
    tmp_path: Path, title: str, encoding: str, declared: str, read_as: str | None, note: str | None
) -> None:
    item = f"<item><title>{title}</title></item>"
    data = f'<?xml version="1.0" encoding="{declared}"?>' + rss(item)
    [article], problems = read_bytes(tmp_path, "a.xml", data.encode(encoding))
    assert problems == []
    assert article.note == note
    assert article.title == (read_as or title.encode(encoding).decode("cp1252"))


def test_one_stray_byte_does_not_spoil_a_feed(tmp_path: Path) -> None:
    data = (
        rss("<item><title>Élysée: “non” à Kärnten X</title></item>").encode().replace(b"X", b"\xff")
    )
    [article], _ = read_bytes(tmp_path, "a.xml", data)
    assert (article.title, article.note) == ("Élysée: “non” à Kärnten \ufffd", feeds.INVALID)


@pytest.mark.parametrize("encoding", ["punycode", "idna", "utf-7", "unicode_escape", "hex", "zlib"])
def test_encodings_that_no_feed_is_written_in(tmp_path: Path, encoding: str) -> None:
    item = "<item><title>A \\x41 +ADw-b</title></item>"
    data = f'<?xml version="1.0" encoding="{encoding}"?>' + rss(item)
    [article], _ = read_bytes(tmp_path, "a.xml", data)
    assert article.title == "A \\x41 +ADw-b"
    page = f'<meta charset="{encoding}"><title>A +ADw-b</title>'
    assert read_bytes(tmp_path, "a.html", page)[0][0].title == "A +ADw-b"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda feed: feed.replace("</channel></rss>", ""),
        lambda feed: feed.replace("</channel>", "<b>&undeclared;</channel>"),
        lambda feed: feed.replace("<channel>", "<channel><media:x>1</media:x>"),
        lambda feed: feed.replace("Second", "Second & last <"),
    ],
    ids=["cut", "mismatched", "unbound prefix", "bare ampersand"],
)
def test_broken_xml_gives_what_could_be_read(tmp_path: Path, spoil: Any) -> None:
    items = (f"<item><title>{title} protest</title></item>" for title in ("First", "Second"))
    articles, [problem] = read_bytes(tmp_path, "a.xml", spoil(rss(*items)))
    assert [(article.title or "").split()[0] for article in articles] == ["First", "Second"]
    assert "expected XML, found it broken" in str(problem)


def test_cut_gzip_keeps_what_came_before(tmp_path: Path) -> None:
    rows = [{"id": str(number), "text": os.urandom(40).hex()} for number in range(3_000)]
    plain = {
        "a.jsonl": "\n".join(map(json.dumps, rows)),
        "a.csv": "id,text\n" + "".join(f"{row['id']},{row['text']}\n" for row in rows),
        "a.xml": rss(*(f"<item><title>{row['text']}</title></item>" for row in rows)),
    }
    for name, text in plain.items():
        data = gzip.compress(text.encode())
        articles, problems = read_bytes(tmp_path, name + ".gz", data[: len(data) // 2])
        assert 1_000 < len(articles) < 2_000
        told = [article.title or article.text for article in articles[:-1]]
        assert told == [row["text"] for row in rows[: len(told)]]
        assert "expected whole gzip data, found it cut short" in str(problems[0])
        assert len(problems) <= 2  # the feed is broken XML, too


# --- security -------------------------------------------------------------------------------------

LAUGHS = '<!DOCTYPE rss [<!ENTITY a "ha ha ha ha ha ha">' + "".join(
    f'<!ENTITY {name} "{f"&{before};" * 10}">'
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
HIDDEN = "<!-- <rss> -->"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
@pytest.mark.parametrize("lower", [False, True])
def test_declared_entities_are_refused(tmp_path: Path, encoding: str, lower: bool) -> None:
    feed = '<?xml version="1.0"?>\n' + LAUGHS + "]>" + rss("<item><title>&i;</title></item>")
    feed = feed.replace("<!ENTITY", "<!entity") if lower else feed
    articles, [problem] = read_bytes(tmp_path, "a.xml", feed.encode(encoding))
    assert articles == []
    assert "found XML that declares entities" in str(problem)


def test_laughs_hidden_from_the_first_look_stay_small(tmp_path: Path) -> None:
    feed = HIDDEN + LAUGHS + "]>" + rss("<item><title>x &i; y</title></item>")
    with memory_below(50_000_000):
        articles, _ = read_bytes(tmp_path, "a.xml", feed)
    assert all(len(article.title or "") < 10_000 for article in articles)


@pytest.mark.parametrize("hide", ["", HIDDEN, "<?pi <rss> ?>"])
@pytest.mark.parametrize("scheme", ["", "file://"])
def test_an_external_entity_is_never_resolved(tmp_path: Path, hide: str, scheme: str) -> None:
    secret = tmp_path / "secret"
    secret.write_text("HUSH-HUSH")
    doctypes = [
        f'<!DOCTYPE rss [<!ENTITY x SYSTEM "{scheme}{secret}">]>',
        f'<!DOCTYPE rss [<!ENTITY % x SYSTEM "{scheme}{secret}"> %x;]>',
        f'<!DOCTYPE rss SYSTEM "{scheme}{secret}">',
    ]
    for doctype in doctypes:
        feed = hide + doctype + rss("<item><title>A &x; B</title></item>")
        articles, problems = read_bytes(tmp_path, "a.xml", feed)
        assert "HUSH" not in repr(problems) + repr(
            [(article.title, article.text, article.extra) for article in articles]
        )


def test_a_blog_may_write_of_entities(tmp_path: Path) -> None:
    body = "<![CDATA[<pre>&lt;!DOCTYPE x [&lt;!ENTITY y 'z'>]></pre> <!DOCTYPE html> <!ENTITY y>]]>"
    item = f"<item><title>Of &amp;lt;!ENTITY tricks</title><description>{body}</description></item>"
    [article], problems = read_bytes(tmp_path, "a.xml", "<!-- x -->" + rss(item))
    assert problems == []
    assert article.title == "Of <!ENTITY tricks"


def test_a_feed_over_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    feed = rss("<item><title>Oslo warns</title></item>")
    monkeypatch.setattr(feeds, "MOST_FEED", len(feed))
    assert len(read_bytes(tmp_path, "a.xml", feed)[0]) == 1
    articles, [problem] = read_bytes(tmp_path, "a.xml", feed + " ")
    assert articles == []
    assert f"expected a document of at most {len(feed):,} bytes" in str(problem)


def test_a_bomb_under_every_ending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "MOST_LINE", 1_000_000)
    monkeypatch.setattr(feeds, "MOST_FEED", 2_000_000)
    monkeypatch.setattr(feeds, "MOST_DOCUMENT", 2_000_000)
    for suffix in ("xml", "json", "jsonl", "csv", "html", "txt"):
        packed = gzip.compress(b"text\n" * (suffix == "csv") + b"a" * 30_000_000)
        with memory_below(20_000_000):
            articles, problems = read_bytes(tmp_path, f"a.{suffix}.gz", packed)
        assert articles == []
        assert "found" in str(problems[0])


def test_long_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def line(size: int) -> str:
        return json.dumps({"text": "x" * size}) + "\n"

    data = line(1) + line(1_000_000) + line(3_000_000) + line(2)
    monkeypatch.setattr(feeds, "MOST_LINE", 2_000_000)
    articles, [problem] = read_bytes(tmp_path, "a.jsonl", data)
    assert [len(article.text or "") for article in articles] == [1, 1_000_000, 2]
    assert "line 3: expected at most 2,000,000 bytes in a line, found more" in str(problem)
    rows = ["text", "A.", "x" * 5_000_000, "B.", '"C"x']
    articles, problems = read_bytes(tmp_path, "a.csv", "\n".join(rows))
    assert [article.text for article in articles] == ["A.", "B."]
    assert [problem.line for problem in problems] == [3, 5]
    articles, _ = read_bytes(tmp_path, "a.txt", "\n".join(rows), input_format="lines")
    assert [article.text for article in articles] == ["text", "A.", None, "B.", '"C"x']


def test_a_long_text_is_cut_and_says_so(tmp_path: Path) -> None:
    data = json.dumps({"text": "x" * (MOST_CHARACTERS + 1), "title": "T."})
    [article], _ = read_bytes(tmp_path, "a.jsonl", data)
    assert len(article.text or "") == MOST_CHARACTERS
    assert article.note == "cut at 1,000,000 characters"


HOSTILE = [
    "<",
    "<a ",
    "<!--",
    "&",
    '"',
    "<script>",
    "<b>",
    "<item>",
    "</b>",
    "&#",
    "<![CDATA[",
    "]]>",
]


@pytest.mark.parametrize("unit", HOSTILE)
@pytest.mark.parametrize("wrap", ["{}", "<![CDATA[{}]]>"], ids=["bare", "cdata"])
def test_hostile_titles(tmp_path: Path, unit: str, wrap: str, cpu_seconds) -> None:
    title = wrap.format(unit * (200_000 // len(unit)))
    data = rss(f"<item><title>Kept {title}</title></item>")
    assert (
        cpu_seconds(lambda: read_bytes(tmp_path, "a.xml", data)) < 5.0
    )  # about 0.5 s; quadratic: minutes


@pytest.mark.parametrize(
    "unit",
    [
        "The post x appeared first on y. ",
        "[...] ",
        "#a ",
        "#a\n",
        "a:\n",
        "…",
        "Read more ",
        "\u2003",
    ],
)
def test_hostile_bodies(tmp_path: Path, unit: str, cpu_seconds) -> None:
    data = json.dumps({"items": [{"content_text": unit * (500_000 // len(unit)) + "!"}]})
    assert cpu_seconds(lambda: read_bytes(tmp_path, "a.json", data)) < 5.0
    [article], _ = read_bytes(tmp_path, "a.json", data)
    assert article.text


def test_deeply_nested_feeds(tmp_path: Path) -> None:
    nested = "<b>" * 20_000 + "Oslo warns" + "</b>" * 20_000
    [article], _ = read_bytes(
        tmp_path,
        "a.xml",
        rss(f"<item><title>x</title><description><![CDATA[{nested}]]></description></item>"),
    )
    assert article.text == "Oslo warns"
    xhtml = f'<div xmlns="http://www.w3.org/1999/xhtml">{nested}</div>'
    entry = f'<entry><title>x</title><content type="xhtml">{xhtml}</content></entry>'
    [article], _ = read_bytes(
        tmp_path, "a.xml", f'<feed xmlns="http://www.w3.org/2005/Atom">{entry}</feed>'
    )
    assert article.text == "Oslo warns"


def test_a_title_of_a_megabyte(tmp_path: Path) -> None:
    [article], _ = read_bytes(
        tmp_path, "a.xml", rss(f"<item><title>{'x' * 1_000_000}</title></item>")
    )
    assert article.title == "x" * 1_000_000


def test_many_items(tmp_path: Path) -> None:
    items = (f"<item><title>Protest {number}</title></item>" for number in range(10_000))
    articles, problems = read_bytes(tmp_path, "a.xml", rss(*items))
    assert (len(articles), problems) == (10_000, [])
    lines = "".join(f'{{"text": "Protest {number}."}}\n' for number in range(20_000))
    path = tmp_path / "a.jsonl"
    path.write_text(lines)
    with memory_below(2_000_000):  # read lazily
        assert sum(1 for _ in read_articles([str(path)])) == 20_000


@pytest.mark.slow
def test_a_hundred_thousand_items(tmp_path: Path) -> None:
    feed = rss(*(f"<item><title>Protest {number}</title></item>" for number in range(100_000)))
    assert len(feed) < feeds.MOST_FEED
    assert len(read_bytes(tmp_path, "a.xml", feed)[0]) == 100_000


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_rights(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text(rss())
    path.chmod(0)
    _, [problem] = read(path)
    assert "expected a readable file, found: Permission denied" in str(problem)


def test_a_file_that_is_gone_by_now(tmp_path: Path) -> None:
    (tmp_path / "a.xml").symlink_to(tmp_path / "gone")
    _, [problem] = read(tmp_path / "*.xml")
    assert "expected a readable file, found: No such file or directory" in str(problem)


# --- real feeds -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real_feeds() -> list[Path]:
    if not (SHARED / "feeds").is_dir():
        pytest.skip(f"no real feeds at {SHARED / 'feeds'} (set TENSION_SHARED)")
    return sorted(
        path for path in (SHARED / "feeds").rglob("*") if path.suffix in (".xml", ".json")
    )


def test_real_feeds_are_read_or_refused(real_feeds: list[Path]) -> None:
    read_, refused, broken = {}, [], []
    for path in real_feeds:
        articles, problems = read(path)
        if articles:
            read_[path.name] = articles
            broken += [path.name for problem in problems]
        else:
            [problem] = problems
            assert problem.where == str(path)
            refused.append(path.name)
    # By eye: an empty file, and six pieces of pages that the feeds' own tests compare with.
    assert refused == [
        "dailytelegraph.xml",
        "AmazonWebServicesBlogFirstEntryContent.xml",
        "HREFConsideredHarmfulFirstEntry.xml",
        "PaulDixExplainsNothingFirstEntryContent.xml",
        "TechCrunchFirstEntry.xml",
        "TechCrunchFirstEntryDescription.xml",
        "TenderLovemakingFirstEntry.xml",
    ]
    assert len(read_) == 57
    assert len(broken) == 4  # prefixes that nothing binds, and a root that is never closed
    assert sum(map(len, read_.values())) == 936


def test_real_articles_are_clean(real_feeds: list[Path]) -> None:
    news = [path for path in real_feeds if path.parent.name == "captured_2021_news"]
    articles = [article for path in news for article in read(path)[0]]
    assert len(articles) == 614
    assert all(article.title and article.url and article.publisher for article in articles)
    assert sum(article.published is None for article in articles) == 3
    assert sum(article.text is None for article in articles) == 8
    for article in articles:
        shown = f"{article.title}\n{article.text}"
        assert not any(mark in shown for mark in ("<p", "<a ", "</", "&amp;", "&#", "<img"))
        assert article.text is None or article.text == article.text.strip()
