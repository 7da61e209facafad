"""HTML -> text, in time linear in its length whatever it holds; nothing it links to is fetched."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

_TAG: Final = re.compile(r"</?([a-zA-Z][a-zA-Z0-9:-]*)")
_MARKUP: Final = re.compile(r"</?[a-zA-Z]|<[!?]")
_ATTRIBUTE: Final = re.compile(r"([a-zA-Z:-]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s>\"']+))")
_LONGEST_TAG: Final = 4_000  # characters in which a ">" between quotes is passed over
_SILENT: Final = frozenset(
    [
        "script",
        "style",
        "template",
        "noscript",
        "svg",
        "iframe",
        "object",
        "button",
        "select",
        "textarea",
    ]
)
_BLOCKS: Final = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "br",
        "dd",
        "div",
        "dl",
        "dt",
        "figcaption",
        "figure",
        "footer",
        "form",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "hr",
        "li",
        "main",
        "ol",
        "p",
        "pre",
        "section",
        "table",
        "td",
        "th",
        "tr",
        "ul",
    ]
)
_DATES: Final = frozenset({"article:published_time", "datepublished", "pubdate"})
_PROSE: Final = frozenset({"p", "h2", "h3", "li", "blockquote"})
_ASIDE: Final = frozenset({"nav", "footer", "aside", "figcaption", "header"})
_BLANKS: Final = re.compile(r"[ \t\r\f\v\xa0]+")


class Piece(NamedTuple):
    """A run of text (``tag`` empty), or a tag: its name, lower case, "/" before a closing one."""

    tag: str
    raw: str


class Page(NamedTuple):
    """What an HTML page says of itself, and its prose."""

    title: str | None
    text: str | None
    published: str | None
    publisher: str | None
    url: str | None


def unescape(text: str) -> str:
    """Turn entities into characters; a text whose entities no parser takes stays as it is."""
    try:
        return html.unescape(text)
    except ValueError:  # "&#" and more digits than Python makes a number of
        return text


def pieces(markup: str) -> Iterator[Piece]:
    """Cut markup into runs of text and tags, without comments and silent elements (scripts ...)."""
    at, end, last = 0, len(markup), markup.rfind(">")
    while at < end:
        less = markup.find("<", at)
        if less < 0:
            break
        if less > at:
            yield Piece("", markup[at:less])
        name = _TAG.match(markup, less)
        if name is None and not markup.startswith(("<!", "<?"), less):
            yield Piece("", "<")
            at = less + 1
            continue
        if less > last:  # cut short in the middle of a tag
            return
        if markup.startswith("<!--", less):
            close = markup.find("-->", less + 4)
            if close < 0:
                return
            at = close + 3
            continue
        at = _tag_end(markup, less)
        if name is None:
            continue
        raw = markup[less:at]
        opens = not raw.startswith("</")
        tag = name[1].lower()
        yield Piece(tag if opens else f"/{tag}", raw)
        if opens and tag in _SILENT and not raw.endswith("/>"):
            closing = re.compile(f"</{tag}", re.IGNORECASE).search(markup, at)
            if closing is None:
                return
            at = closing.start()
    yield Piece("", markup[at:])


def _tag_end(markup: str, start: int) -> int:
    """Find where a tag ends: at ">" outside of quotes, if one is near; else at the next one."""
    first = close = markup.find(">", start)
    while close >= 0 and markup.count('"', start, close) % 2:
        close = markup.find(">", close + 1, start + _LONGEST_TAG)
    return (close if close >= 0 else first) + 1


def to_text(markup: str) -> str:
    r"""Turn the HTML of an item into text; blocks become lines.

    Parameters
    ----------
    markup : str
        HTML, or plain text with or without entities.

    Returns
    -------
    str
        Text without tags, stripped; paragraphs parted by ``\n``.
    """
    if _MARKUP.search(markup) is None:
        return _tidy(unescape(markup))
    parts = [
        "\n" if piece.tag.lstrip("/") in _BLOCKS else "" if piece.tag else unescape(piece.raw)
        for piece in pieces(markup.replace("\n", " "))
    ]
    return _tidy("".join(parts))


def _tidy(text: str) -> str:
    lines = (line.strip() for line in _BLANKS.sub(" ", text).split("\n"))
    return "\n".join(filter(None, lines))


def read_page(markup: str) -> Page:
    """Read an HTML page: title, prose (paragraphs outside of navigation), date, publisher, URL."""
    facts: dict[str, str] = {}
    lines: list[str] = []
    everything: list[str] = []
    prose, aside, title = 0, 0, False
    for piece in pieces(markup):
        tag = piece.tag.lstrip("/")
        opens = bool(piece.tag) and not piece.tag.startswith("/")
        if not piece.tag:
            if title:
                facts.setdefault("title", _tidy(unescape(piece.raw)))
            elif not aside:
                text = unescape(piece.raw.replace("\n", " "))
                everything.append(text)
                if prose:
                    lines.append(text)
            continue
        if tag == "title":
            title = opens and "title" not in facts
        elif tag in _ASIDE:
            aside = max(0, aside + (1 if opens else -1))
        elif tag in _PROSE:
            prose = max(0, prose + (1 if opens else -1)) if tag != "p" else int(opens)
        elif opens and tag in ("meta", "link", "time"):
            _note(facts, tag, piece.raw)
        if tag in _BLOCKS:
            lines.append("\n")
            everything.append("\n")
    text = _tidy("".join(lines)) or _tidy("".join(everything))
    return Page(
        facts.get("og:title") or facts.get("title") or None,
        text or None,
        facts.get("date") or facts.get("time"),
        facts.get("og:site_name"),
        facts.get("canonical") or facts.get("og:url"),
    )


def _note(facts: dict[str, str], tag: str, raw: str) -> None:
    found = {
        match[1].lower(): unescape(match[2] or match[3] or match[4] or "")
        for match in _ATTRIBUTE.finditer(raw[:_LONGEST_TAG])
    }
    if tag == "meta" and found.get("content"):
        name = found.get("property") or found.get("name") or found.get("itemprop") or ""
        name = name.lower()
        facts.setdefault("date" if name in _DATES else name, found["content"])
    elif tag == "link" and found.get("rel", "").lower() == "canonical":
        facts.setdefault("canonical", found.get("href", ""))
    elif tag == "time" and found.get("datetime"):
        facts.setdefault("time", found["datetime"])
