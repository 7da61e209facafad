"""Markup: HTML to text as a reader would see it, and in linear time whatever it holds."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.markup import read_page, to_text


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("plain", "plain"),
        ("  two \t blanks\u00a0here ", "two blanks here"),
        ("<p>First.</p><p>Second.</p>", "First.\nSecond."),
        ("One<br>two<br/>three", "One\ntwo\nthree"),
        ("Moscow <b>pro</b>tests", "Moscow protests"),
        ("<P CLASS='x'>Upper\ncase</P>", "Upper case"),
        ("A &amp; B &lt;said&gt; &#8220;no&#8221;&nbsp;!", "A & B <said> “no” !"),
        ("&amp;lt;b&amp;gt;", "&lt;b&gt;"),
        ("5 < 6 and 7 > 3", "5 < 6 and 7 > 3"),
        ("<i>5 < 6</i>", "5 < 6"),
        ("Seoul<!-- hidden <b> --> said", "Seoul said"),
        ("<script>if (a < b) alert('x')</script>Kept", "Kept"),
        ("<style>p {}</style><p>Kept<noscript>no</noscript></p>", "Kept"),
        ("<ul><li>one</li><li>two</li></ul>", "one\ntwo"),
        ('<a href="/?a>b">Link</a>', "Link"),
        ('Photo <img src="data:image/png;base64,' + "A" * 9_000 + '"> shows', "Photo shows"),
        ('The text was cut in the <a href="http://example.o', "The text was cut in the"),
        ("Unclosed <!-- comment", "Unclosed"),
        (
            "<form><p>Inside a form.</p><select><option>no</option></select></form>",
            "Inside a form.",
        ),
        ("<?php echo 1 ?>After", "After"),
        ("<![CDATA[x]]>After", "After"),
        ("", ""),
    ],
)
def test_to_text(markup: str, text: str) -> None:
    assert to_text(markup) == text


@given(st.text(alphabet=st.sampled_from("<>/!-&#;\"'=? \n\u2003abpscript0x")))
def test_to_text_never_raises(markup: str) -> None:
    text = to_text(markup)
    assert text == text.strip()
    read_page(markup)


def test_number_too_long_to_read_stays() -> None:
    markup = "before &#" + "1" * 5_000 + "; after"
    assert to_text(markup) == markup
    assert to_text(f"<p>Fine.</p>{markup}").startswith("Fine.\nbefore &#111")


PAGE = """<!DOCTYPE html>
<html lang="en"><head>
<title>Oslo summons envoy - The Example Post</title>
<meta property="og:title" content="Oslo summons envoy over &quot;reckless&quot; flight">
<meta property="og:site_name" content="The Example Post">
<meta property="article:published_time" content="2024-05-02T08:30:00+02:00">
<link rel="canonical" href="https://post.example/oslo">
<script>var tracked = "<p>never shown</p>";</script>
</head><body>
<header><a href="/">Home</a></header>
<nav><ul><li>World</li><li>Sport</li></ul></nav>
<article><h1>Oslo summons envoy</h1>
<p>Norway on Thursday summoned the <a href="/x">ambassador</a> over a flight
along its border.</p>
<figure><img src="a.jpg"><figcaption>The embassy in 2020</figcaption></figure>
<div class="ad">Subscribe now!</div>
<p>"We protest in the strongest terms," the ministry said.</p>
</article>
<aside><p>Most read</p></aside><footer><p>All rights reserved</p></footer>
</body></html>"""


def test_read_page() -> None:
    page = read_page(PAGE)
    assert page.title == 'Oslo summons envoy over "reckless" flight'
    assert page.text == (
        "Norway on Thursday summoned the ambassador over a flight along its border.\n"
        '"We protest in the strongest terms," the ministry said.'
    )
    assert page.published == "2024-05-02T08:30:00+02:00"
    assert page.publisher == "The Example Post"
    assert page.url == "https://post.example/oslo"


def test_read_page_without_paragraphs_gives_all_its_text() -> None:
    assert (
        read_page("<html><body><div>Bare text.<br>More.</div></body>").text == "Bare text.\nMore."
    )


def test_read_page_without_anything() -> None:
    assert read_page("<html><script>x</script></html>") == (None,) * 5


HOSTILE = ["<", "<a ", "<a x='", '<a "', '<a ">', "<!--", "<!", "<?", "&", "&#", "&#x1;", '"', "'"]
HOSTILE += [
    "<script>",
    "<script></script>",
    "<div>",
    "</p>",
    "<b><i>",
    "<meta a=",
    "<p><",
    ">",
    "\n",
]
HOSTILE += ["\u2003", " \n", "<![CDATA[", "<title>", "<nav>", "</", "<a>\u2003"]


@pytest.mark.parametrize("read", [to_text, read_page])
@pytest.mark.parametrize("unit", HOSTILE)
def test_hostile_markup_is_read_fast(read: Callable[[str], object], unit: str, cpu_seconds) -> None:
    markup = "<p>" + unit * (500_000 // len(unit))
    assert cpu_seconds(lambda: read(markup)) < 5.0  # about 0.5 s; what is quadratic takes minutes
