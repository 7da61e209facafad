"""HTML -> text, in time linear in its length whatever it holds. Nothing that it links to is fetched."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

_TAG: Final = re.compile(r"</?([a-zA-Z][a-zA-Z0-9:-]*)")
_ATTRIBUTE: Final = re.compile(r"([a-zA-Z:-]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s>\"']+))")
_LONGEST_TAG: Final = 4_000
_SILENT: Final = frozenset(
    {"script", "style", "template", "noscript", "svg", "iframe", "object", "head", "nav", "form", "button"}
)
_ITEM_SILENT: Final = _SILENT - {"head", "nav"}
_BLOCKS: Final = frozenset(
    "address article aside blockquote br dd div dl dt figcaption figure footer h1 h2 h3 h4 h5 h6 header hr li main ol "
    "p pre section table td th tr ul".split()
)
_PROSE: Final = frozenset({"p", "h2", "h3", "li", "blockquote"})
_ASIDE: Final = frozenset({"nav", "footer", "aside", "form", "figcaption", "header"})
_BLANKS: Final = re.compile(r"[ \t\r\f\v\xa0]+")
_BREAKS: Final = re.compile(r"\s*\n\s*")


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


def pieces(markup: str) -> Iterator[Piece]:
    """Cut markup into runs of text and tags; comments and silent elements (scripts ...) are left out."""
    at, end = 0, len(markup)
    while at < end:
        less = markup.find("<", at)
        if less < 0:
            break
        if less > at:
            yield Piece("", markup[at:less])
        if markup.startswith("<!--", less):
            close = markup.find("-->", less + 4)
            if close < 0:
                return
            at = close + 3
            continue
        name = _TAG.match(markup, less)
        special = markup.startswith(("<!", "<?"), less)
        if name is None and not special:
            yield Piece("", "<")
            at = less + 1
            continue
        at = _tag_end(markup, less)
        if name is not None:
            raw = markup[less:at]
            tag = name[1].lower()
            yield Piece(f"/{tag}" if raw.startswith("</") else tag, raw)
            if tag in _ITEM_SILENT and not raw.startswith("</") and not raw.endswith("/>"):
                closing = re.compile(f"</{re.escape(tag)}", re.IGNORECASE).search(markup, at)
                if closing is None:
                    return
                at = closing.start()
    yield Piece("", markup[at:])


def _tag_end(markup: str, start: int) -> int:
    """Find where a tag ends: at ">" outside of quotes, if one is near; else at the next one."""
    close = markup.find(">", start, start + _LONGEST_TAG)
    first = close
    while close >= 0 and markup.count('"', start, close) % 2:
        close = markup.find(">", close + 1, start + _LONGEST_TAG)
    close = close if close >= 0 else first
    return close + 1 if close >= 0 else min(start + _LONGEST_TAG, len(markup))


def to_text(markup: str) -> str:
    """Turn the HTML of an item into text; blocks become lines.

    Parameters
    ----------
    markup : str
        HTML, or plain text with or without entities.

    Returns
    -------
    str
        Text without tags, stripped; paragraphs parted by ``\\n``.
    """
    if "<" not in markup:
        return _tidy(html.unescape(markup) if "&" in markup else markup)
    if _TAG.search(markup) is None and "<!" not in markup:
        return _tidy(html.unescape(markup))
    parts = [
        "\n" if piece.tag.lstrip("/") in _BLOCKS else "" if piece.tag else html.unescape(piece.raw)
        for piece in pieces(markup.replace("\n", " "))
    ]
    return _tidy("".join(parts))


def _tidy(text: str) -> str:
    return _BREAKS.sub("\n", _BLANKS.sub(" ", text)).strip()


def read_page(markup: str) -> Page:
    """Read an HTML page: its prose (paragraphs outside of navigation), title, date, publisher and address."""
    facts: dict[str, str] = {}
    lines: list[str] = []
    everything: list[str] = []
    prose, aside, title = 0, 0, False
    for piece in pieces(markup):
        tag = piece.tag.lstrip("/")
        opens = bool(piece.tag) and not piece.tag.startswith("/")
        if not piece.tag:
            if title:
                facts.setdefault("title", _tidy(html.unescape(piece.raw)))
            elif not aside:
                text = html.unescape(piece.raw.replace("\n", " "))
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
        facts.get("article:published_time") or facts.get("date") or facts.get("time"),
        facts.get("og:site_name"),
        facts.get("canonical") or facts.get("og:url"),
    )


def _note(facts: dict[str, str], tag: str, raw: str) -> None:
    found = {
        match[1].lower(): html.unescape(match[2] or match[3] or match[4] or "")
        for match in _ATTRIBUTE.finditer(raw)
    }
    if tag == "meta" and found.get("content"):
        name = (found.get("property") or found.get("name") or found.get("itemprop") or "").lower()
        facts.setdefault({"datepublished": "date", "pubdate": "date"}.get(name, name), found["content"])
    elif tag == "link" and found.get("rel", "").lower() == "canonical":
        facts.setdefault("canonical", found.get("href", ""))
    elif tag == "time" and found.get("datetime"):
        facts.setdefault("time", found["datetime"])
