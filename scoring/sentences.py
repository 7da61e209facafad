"""Article text -> sentences.

One compiled pattern finds the places where a sentence could end; a few look-ups on the words before
and after such a place then decide. Every check sees a bounded stretch of text, so the time is
linear in the length of the text, whatever the text is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

MAX_SENTENCE: Final = 2_000
"""Longest sentence in characters; what is longer is cut at white space."""

_MARKS: Final = ".!?…"
_WIDE: Final = "。！？؟۔।•"  # end a sentence without a space behind them; so does a bullet
_BREAK: Final = r"\n\r\u2028\u2029"
_GAP: Final = r"[\s\u200b\ufeff]"  # white space, and the invisible characters that feeds leave
_QUOTES: Final = "\"'”’»"
_CLOSERS: Final = rf"{_QUOTES})\]"
_OPENERS: Final = r"\"'“‘„«(\["
_LOWER: Final = "a-zß-öø-ÿα-ωа-яё"
_CONTINUING: Final = r",;:/&=+%.!?…)}\]>\-–—"  # "June 6. /TASS/", '"Never!" - minister'

# The pattern starts with one set of characters, to which the engine skips at full speed.
_CANDIDATE: Final = re.compile(
    rf"""
    [{_MARKS}{_WIDE}{_BREAK}]
    (?: (?<= [{_MARKS}] ) (?<! [{_MARKS}]{{2}} ) (?P<mark> [{_MARKS}]*+ )
        [{_CLOSERS}]*+ (?: [ ]["”](?=\s) )?+
        (?: (?P<space> {_GAP}++ (?: ,\s++ )?+ )  # KCNA parts paragraphs by a lone comma
            (?= [{_OPENERS}]*+ [^\s{_LOWER}{_CONTINUING}{_OPENERS}] )
          | (?: (?<= [a-z0-9%{_MARKS}{_CLOSERS}] [{_MARKS}{_CLOSERS}] ) | (?<= [A-Z]{{2}}\. ) )
            (?P<glued> ) (?= [“‘„(]? [A-Z] (?: [a-z’'\ ] | [A-Z]{{2}} ) )
        )
      | (?<= [{_WIDE}] ) (?P<wide> [{_WIDE}]*+ [{_CLOSERS}]*+ {_GAP}*+ )
      | (?<= [{_BREAK}] ) (?P<line> {_GAP}*+ )
    )
    """,
    re.VERBOSE,
)

_NEVER, _BEFORE_NUMBER, _CLOCK, _MAYBE = range(4)


def _kinds() -> dict[str, int]:
    """Return abbreviation (without its last full stop) -> what it says about a sentence's end."""
    words = {
        # A name, or the thing compared, follows.
        _NEVER: """Mr Mrs Ms Mx Messrs Dr Drs Prof Profs Gen Brig Lt Col Maj Capt Cmdr Cdr Adm Sgt
            Cpl Pvt Ret Sen Sens Rep Reps Gov Govs Rev Hon Pres Amb Sec Supt Insp Det Atty Asst Msgr
            St Ste Ft Mt Ch Sh Ts Zh Kh MR MRS MS DR PROF GEN LT COL MAJ CAPT ADM SEN REP GOV REV
            RET ST vs e.g i.e cf Cf viz approx ca""",
        # Ends no sentence before a number: "Sept. 19", "No. 10", "Art. 5".
        _BEFORE_NUMBER: """Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec No Nos no nos Art Arts
            art arts Fig Figs fig Vol Vols vol para paras Para pp p Res Reg sec""",
        # Ends no sentence before a day or a time zone: "at 5 p.m. Monday".
        _CLOCK: "a.m p.m A.M P.M am pm",
        # Ends a sentence before a word that starts sentences, and there only.
        _MAYBE: """Inc Corp Co Cos Ltd Plc PLC Bros Jr Sr Ph.D govt Govt Ala Ariz Ark Calif Colo
            Conn Fla Ga Ill Kan Ky La Md Mich Minn Miss Mont Neb Nev Okla Ore Pa Tenn Tex
            Va Vt Wis Wyo""",
    }
    return {word: kind for kind, line in words.items() for word in line.split()}


def _words(line: str) -> frozenset[str]:
    return frozenset(line.split())


_ABBREVIATIONS: Final = _kinds()
_ACRONYM: Final = re.compile(r"(?:[A-Za-z]\.){0,4}[A-Z]")  # U.S, and the W of George W. Bush
_STARTERS: Final = _words(  # "in the U.S. The ministry said", but "the U.S. Navy"
    """The This That These Those There It Its He His She Her They Their We Our You A An In On At But
    However If When While Although Though Because Since After Before As Also Meanwhile Earlier Such
    According Speaking Asked Some Many Most Both Yet So Not Nor Now Then Later Last What Why How Who
    I With Under Despite During Among For From By"""
)
_STATES: Final = _words(  # they start a sentence after "the U.S.", but not after "N."
    """Moscow Russia Russian China Beijing Iran Tehran Pyongyang Seoul Tokyo Japan Kyiv Kiev Ukraine
    Putin Lavrov Trump Biden Zelensky Israel India Pakistan Turkey Ankara Britain London France
    Paris Germany Berlin Brussels"""
)
_AFTER_CLOCK: Final = _words(
    """Monday Tuesday Wednesday Thursday Friday Saturday Sunday Mon Tue Wed Thu Fri Sat Sun January
    February March April May June July August September October November December Local Eastern
    Central Pacific Mountain GMT UTC EST EDT ET CST CDT CT PST PDT PT MST MDT CET CEST EET BST MSK
    KST JST IST"""
)
_DOMAINS: Final = _words("com org net ru ua uk gov info eu cn ir de fr tv")

_ZONE: Final = re.compile(r"(?:[A-Z]\w{1,15} ){1,3}time\b")  # "at 5 p.m. Moscow time"
_NEXT_WORD: Final = re.compile(rf"[{_OPENERS}]{{0,5}}([^\W\d_]{{1,20}})(\.?)")
_WORD_TAIL: Final = re.compile(r"[^\W_]*(?:\.[^\W_]+)*$")
_HEADING: Final = re.compile(  # what a number at the start of a sentence looks like
    r"[(\[]?(?:(?:(?:Article|Chapter|Section|Part|Rule) )?\d{1,3}|[ivx]{1,5}|[IVX]{1,5}|[A-Za-z])"
)
_ATTRIBUTION: Final = re.compile(  # '"Who shot first?" Sergei Ivanov asked.' is one sentence
    r"(?:(?!(?:The|He|She|They|It|We|I|But|And|In)\b)[A-Z][\w.’'-]{0,20} ){1,5}"
    r"(?:said|says|told|tells|asked|asks|added|wrote|writes|tweeted|declared|replied|insisted"
    r"|insists|stressed|warned|warns|vowed|vows|shouted)\b"
)
_LINE_BREAKS: Final = re.compile(rf"\r\n|[{_BREAK}]")
_LOWER_CASE: Final = re.compile(f"[{_LOWER}]")
_LETTER: Final = re.compile(r"[^\W_]")
# A line that breaks off like this goes on in the next one, whatever its first letter.
_BREAKS_OFF: Final = re.compile(
    r"(?:,|\b(?:of|the|a|an|and|or|to|in|for|with|by|on|at|from|that|as))$"
)
_WRAPPED: Final = 40  # a wrapped line has at least so many characters; what is shorter is a list
_INVISIBLE: Final = " \t\n\r\v\f\x1c\x1d\x1e\x1f\x85\xa0\u2003\u2009\u200b\u2028\u2029\u3000\ufeff"

_MONTH: Final = (
    r"(?:Jan(?:uary|\.)?|Feb(?:ruary|\.)?|Mar(?:ch|\.)?|Apr(?:il|\.)?|May|June?\.?|July?\.?"
    r"|Aug(?:ust|\.)?|Sept?(?:ember|\.)?|Oct(?:ober|\.)?|Nov(?:ember|\.)?|Dec(?:ember|\.)?)"
)
_DATE: Final = rf"(?:{_MONTH}\s\d{{1,2}}|\d{{1,2}}\s{_MONTH})(?:,?\s\d{{4}})?"
_AGENCIES: Final = (
    r"(?:ITAR-)?TASS|Reuters?|AFP|AP|UPI|KCNA|Xinhua|Yonhap|Kyodo|Interfax(?:-Ukraine)?|RIA\sNovosti"
    r"|Sputnik|IRNA|MNA|FNA|SANA|ANI|PTI|IANS|DPA|dpa|Anadolu|Ukrinform|UNIAN|BelTA|CNN|Bloomberg"
)
_DASH: Final = r"\s?(?:--|[-–—])\s{1,9}"
_CAPITALS: Final = r"[A-Z][A-Z.'’/-]{1,20}"
_DATELINE: Final = re.compile(
    rf"""
    (?: By\s (?: [A-Z][\w.'’-]{{0,20}}\s ){{2,4}} )?
    (?: (?: (?! (?:NATO|ASEAN|OPEC|IAEA|OSCE|BRICS|DPRK|USSR|USA|US|UK|EU|UN|U\.[A-Z.]+)\s )
            {_CAPITALS} (?: \s{_CAPITALS} ){{0,3}}
            (?: ,\s[A-Z][\w.]{{1,20}} (?: \s[A-Z]\w{{1,20}} )? )?
          | [A-Z][a-z]{{2,20}} (?: \s[A-Z][a-z]{{2,20}} ){{0,2}} (?= ,\s{_DATE} )
        )
        (?: (?: [,.]?\s{_DATE} )? [,.]?\s? [(/]\s?(?:{_AGENCIES})\s?[)/] (?: {_DASH} | [.:,]?\s )
          | (?: [,.]?\s{_DATE} )? \s?\([A-Z][\w\ .,/-]{{1,40}}\) {_DASH}
          | [,.]?\s{_DATE} {_DASH}
          | {_DASH} (?= ["“‘]?[A-Z][a-z] )
        )
      | (?:{_DATE}\s)? \((?:{_AGENCIES})\) (?: {_DASH} | \s )
      | (?:{_AGENCIES}) {_DASH}
    )
    """,
    re.VERBOSE,
)


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Return where each sentence of a text starts and ends.

    A dateline ("MOSCOW, June 6. /TASS/.") stays with the sentence that it opens. A line break ends
    a sentence unless the line is plainly wrapped. What holds no letter or digit is left out.

    Parameters
    ----------
    text : str
        An article, a paragraph or a headline, without markup.

    Returns
    -------
    list of (int, int)
        ``[start, end)`` in `text`, in order, not overlapping, without white space at either end,
        each at most `MAX_SENTENCE` characters.
    """
    spans: list[tuple[int, int]] = []
    for start, end in _stretches(text):
        if not (text[start].isalnum() or _LETTER.search(text, start, end)):
            continue
        if end - start <= MAX_SENTENCE:
            spans.append((start, end))
        else:
            spans.extend(
                piece for piece in _pieces(text, start, end) if _LETTER.search(text, *piece)
            )
    return spans


def split_sentences(text: str) -> list[str]:
    """Return the sentences of a text, in order.

    Parameters
    ----------
    text : str
        An article, a paragraph or a headline, without markup.

    Returns
    -------
    list of str
        The text of each span of `sentence_spans`; a line break inside one has become a space.
    """
    sentences = [text[start:end] for start, end in sentence_spans(text)]
    return [" ".join(s.split()) if "\n" in s or "\r" in s else s for s in sentences]


def strip_dateline(sentence: str) -> str:
    """Return a sentence without its byline and dateline, whose city and agency are no actors.

    Parameters
    ----------
    sentence : str
        The first sentence of an article, or any other.

    Returns
    -------
    str
        "The ministry said so." for "MOSCOW, June 6. /TASS/. The ministry said so."; the sentence
        unchanged where it has no dateline, or nothing else.
    """
    return sentence[_after_dateline(sentence, 0) :] or sentence


def _after_dateline(text: str, start: int) -> int:
    """Return where the text behind the dateline at `start` begins: `start` if there is none."""
    match = _DATELINE.match(text, start)
    return match.end() if match else start


def _stretches(text: str) -> Iterator[tuple[int, int]]:
    """Yield the stretches between boundaries, without white space at either end."""
    start = line = counted = len(text) - len(text.lstrip(_INVISIBLE))
    quotes = 0  # straight quotes since the last line break, as far as `counted`
    body = _after_dateline(text, start)
    for match in _CANDIDATE.finditer(text):
        end, after, group = match.start(), match.end(), match.lastgroup
        if end < body:
            continue
        if group == "space":
            end = match.start("space")
            breaks = 0 if text[end:after] == " " else len(_LINE_BREAKS.findall(text, end, after))
            ends = _mark_ends(text, start, match, breaks)
            if breaks:
                line, quotes, counted, body = after, 0, after, _after_dateline(text, after)
        elif group == "line":
            ends = _line_ends(text, line, end, after)
            line, quotes, counted, body = after, 0, after, _after_dateline(text, after)
        elif group == "glued":
            ends = _is_prose(text, end, after) and _mark_ends(text, start, match, 0)
            if text[after - 1] == '"':  # closes the quotation, or opens the next one?
                quotes, counted = quotes + text.count('"', counted, after - 1), after - 1
                after -= quotes % 2 == 0
            end = after
        else:
            ends, end = True, end if text[end] == "•" else after
        if ends:
            while end > start and text[end - 1] in _INVISIBLE:
                end -= 1
            if end > start:
                yield start, end
            start = after
    end = len(text.rstrip(_INVISIBLE))
    if end > start:
        yield start, end


def _mark_ends(text: str, start: int, match: re.Match[str], breaks: int) -> bool:
    """Say whether a full stop (or ?, !, …) ends the sentence; `breaks` line breaks follow it."""
    at, after, nxt = match.start(), match.end("mark"), match.end()
    if text[at] != "." or after - at > 1:
        quoted = text[after] in _QUOTES and text[at] in "!?"
        return not (quoted and _ATTRIBUTION.match(text, nxt))
    word = _word_before(text, start, at)
    kind = _ABBREVIATIONS.get(word)
    if kind is None:
        if at - start < 14 and _HEADING.fullmatch(text, start, at):
            return False
        if (len(word) > 1 and "." not in word) or not _ACRONYM.fullmatch(word):
            return True
    if kind == _NEVER or breaks:
        return kind != _NEVER or breaks > 1
    if kind == _BEFORE_NUMBER:
        return not text[nxt].isdigit()
    follower = _NEXT_WORD.match(text, nxt)
    next_word, stop = follower.groups() if follower else ("", "")
    if kind == _CLOCK:
        return not (next_word in _AFTER_CLOCK or text[nxt] == "(" or _ZONE.match(text, nxt))
    if next_word in _STARTERS:
        return not stop  # "J. A. Smith"
    return len(word) > 1 and next_word in _STATES and at - start > len("The U.S")


def _line_ends(text: str, line: int, at: int, after: int) -> bool:
    """Say whether the line break at `at` ends a sentence; if not, it wraps the line from `line`."""
    if at - line < _WRAPPED:
        return True
    tail = text[at - 24 : at].rstrip()
    if not _LOWER_CASE.match(text, after):
        return not _BREAKS_OFF.search(tail)
    if tail.endswith("."):
        word = _word_before(tail, 0, len(tail) - 1)
        return not (word in _ABBREVIATIONS or _ACRONYM.fullmatch(word))
    return tail.endswith(("!", "?", "…", ":", ".”", '."'))


def _is_prose(text: str, at: int, after: int) -> bool:
    """Say whether a full stop with no space behind it stands in prose, not in an address."""
    address = text[text.rfind(" ", max(0, at - 60), at) + 1 or max(0, at - 60) : at]
    if "@" in address or "://" in address or address == "www":
        return False
    follower = _NEXT_WORD.match(text, after)
    return follower is None or follower[1].lower() not in _DOMAINS


def _word_before(text: str, start: int, at: int) -> str:
    """Return the word that ends at `at`, without what opens before it: "U.S" for ' ("U.S'."""
    low = max(start, at - 12)
    word = text[text.rfind(" ", low, at) + 1 or low : at]
    if word.isalpha():
        return word
    tail = _WORD_TAIL.search(word)
    return tail[0] if tail else ""


def _pieces(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Cut an overlong stretch at white space, or anywhere where there is none."""
    while end - start > MAX_SENTENCE:
        head = text[start : start + MAX_SENTENCE + 1].rsplit(None, 1)[0]
        cut = start + min(len(head), MAX_SENTENCE)
        yield start, cut
        while text[cut].isspace():
            cut += 1
        start = cut
    yield start, end
