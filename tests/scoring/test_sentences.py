"""Splitting: what a reader would call a sentence, on text in the manner of real news."""

from __future__ import annotations

import gzip
import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scoring.sentences import MAX_SENTENCE, sentence_spans, split_sentences, strip_dateline

SHARED = Path(os.environ.get("TENSION_SHARED", Path(__file__).parents[3] / "shared"))

# One line a case, "|" between the sentences that are expected, "⏎" a line break. The white space
# after a "|" belongs to the text, so that a missing one can be written.
ABBREVIATIONS = """
The U.S. Navy sailed north.| Tehran protested.
Troops will leave the U.S.| The ministry said so on Monday.
He returned to the U.S.| The embassy had no comment.
He was expelled from the U.S.| Moscow promised an answer in kind.
The talks opened in Washington, D.C.| They will last two days.
Envoys of the U.K. and the U.N. Security Council met.| Nothing was agreed.
The non-U.S. members of the alliance objected.| So did Ottawa.
Mr. Orlov met Mrs. Tanaka and Dr. Weiss.| All three left early.
Gen. Ivan Petrov and Lt. Col. Mark Reed shook hands.| Sen. Hill watched.
Maj.-Gen. Osei commands the force.| Brig. Gen. Novak is his deputy.
Rep. Dana Cole and Gov. Lee Marsh wrote to the White House.| No reply came.
Retired Gen. (Ret.) Paul Stone warned of war.| Few listened.
The deadline is Jan. 5.| Talks resume on Sept. 19 in Geneva.
The fleet returns in Oct. 2031, the navy said.| It left in Feb. of this year.
Number 10 and No. 10 are one house.| Nos. 3 and 4 stand empty.
His answer was no.| Her answer was no. 2 on the list.
"No.| We will not sign," the envoy said.
The summit in St. Petersburg is off.| Mt. Elbrus is closed as well.
J. R. Smith spoke for London.| George W. Grant spoke for Washington.
A. B. C. Khan and E.F. Holt signed the letter.| Others refused.
China warned S. Korea and N. Korea alike.| Japan stayed silent.
The strike began at 4 a.m. Monday.| It ended at 6 p.m. Moscow time.
Guns fell silent at 5 p.m.| Both sides claimed victory.
The convoy left at 7 a.m. (0400 GMT) under guard.| It arrived at noon.
Sanctions hit banks, e.g. Volga Trust, and traders, i.e. Baltic men.| Oil is exempt.
It was Iran vs. Iraq once more.| Cf. Khalidov on the first war.
Aster Inc. Chairman Joe Dale met Boren Corp. officials.| Shares fell.
The ships belong to Aster Corp.| The company denied it.
Delta Co. Ltd. built the radar.| It cost 80 mln dlrs.
Profit rose 4 pct.| Sales were 3.5 bln dlrs, up from 3.25 bln.
The price is $1.2 billion.| £3 million was paid at once.
The author holds a Ph.D. from Prague.| She advises NATO.
She has a Ph.D.| It is in history.
Art. 5 binds all members.| See Fig. 2 and pp. 10-12 of the report.
Tea, rice, oil, etc. were held at the border.| Trucks turned back.
The senator, R-S.C. and a hawk, wants more.| His party does not.
MP Ts. Batbold and Sh. Dorj opposed the treaty.| It passed.
Rep. Hill (D-Mass.) backed the bill.| It failed.
GEN. REED: WE ARE READY.| Moscow shrugs.
UK govt. Twitter account hacked
"""

QUOTATIONS = """
"Stop it!" the minister said.| Nobody stopped.
“It is over.”| He left.
“Who fired first?” Sergei Ivanov asked.| Nobody knew.
“Who fired first?”| The ministry would not say.
'Hands off our ships!' Athens tells Ankara.| Ankara shrugs.
‘Enough!’| Warsaw summons envoy.
"We will answer," he said.| "We will answer in full."
He said: "Leave at once."| Then he hung up.
He said: “Leave at once.| Do not return.”| Then he hung up.
She asked, "Did he say 'never again?'"| He had.
The paper called it "a crude provocation".| Seoul agreed.
He called the note "an insult."| "It changes nothing," he added.
"Who gave the order?!"| That is what London wants to know.
The tanks stopped at the river . " | It was noon.
“Never!” – Kremlin on peace terms.
(The treaty was signed in 1987.)| It lapsed last year.
The pact (signed in Jan. 1987 by Gen. Roth) lapsed.| Nobody noticed.
He wants “peace” [sic].| His army does not.
"""

DOTS = """
We waited... and nothing came.| Then it did.
We waited...| Nothing came.
The border is closed…| Trucks are queueing.
The terms are unacceptable [...]| Kyiv will not sign.
See www.Example.Org or http://example.org/A.Bc for the text.| It is long.
Write to press@Example.Com for the text.| It is long.
Gazeta.Ru and Lenta.Ru reported the strike.| The ministry denied it.
Talks were held in Washington.|And then the envoy left.
He blamed NATO.|The alliance did not reply.|It never does.
It was signed in 2014.|The war came later.
He denied it.”|The court did not believe him.
Minsk called it "a lie."|Kyiv did not.
Vilnius is calm.|"We saw nothing," a guard said.
He spoke with Mr.Orlov and Lt.Reed at St.Peter.
"""

LINES = """
Kyiv protests to Minsk|⏎The foreign ministry summoned the envoy.| It handed him a note.
Kyiv protests to Minsk|⏎⏎The foreign ministry summoned the envoy.|⏎⏎It handed him a note.
The minister told the parliament on Tuesday that the two⏎countries would not talk.| He left.
The note was handed to the ambassador of the Republic of⏎Belarus in Kyiv.| He took it.
The ministry handed the note of protest to Mr.⏎Orlov himself.| He took it.
The ministry said it would answer the expulsion of its men,⏎London or no London.
The ships, planes and men that were sent there by the U.S.⏎officials were seen.
It was the third such protest in as many months this year.|⏎iran did not reply.
Visa bans|⏎asset freezes|⏎an oil embargo
He did not name the source, nor the editor of the FT.|⏎⏎Banks closed early.
1. Withdraw all troops.| 2. Release the crew.| (3) Pay for the ship.
Article 4. Duties of the parties
Tokyo will not yield; Seoul will not either: both have voters.| So it goes on.
"""

DATELINES = """
MOSCOW, June 6. /TASS/. The Foreign Ministry said it would answer.| It did not.
SEOUL (Reuters) - The North fired two missiles.| Tokyo protested.
Pyongyang, December 1 (KCNA) -- The spokesman was blunt.| He named Seoul.
WASHINGTON, Jan. 5 - The Pentagon is watching.| So is Kyiv.
MOSCOW. April 5 (Interfax) - Russia will answer, an official said.| He gave no date.
ST. PETERSBURG, Russia, Sept. 19 (Reuters) - The talks failed.| No date was set.
KYIV, Ukraine (AP) — Drones hit the port.| Two men died.
By JOHN SMITH⏎WASHINGTON (AP) -- The House voted.| The Senate did not.
CNN —⏎⏎The strait is closed.| Ships wait.
Feb 3 (Reuters) - Iran will not yield, its envoy said.| He left.
Ministry protests|⏎MOSCOW, June 6. /TASS/. The ministry protested.| It sent a note.
"""

OTHERS = """
Putin warns NATO over missiles
Headline without a stop: Iran's answer to the U.S.
وزارة الخارجية تحتج.| السفير غادر؟| لا تعليق.
外交部抗议。|大使离开了。
Москва ответит.| Посол вызван.
"""


BLOCKS = (ABBREVIATIONS, QUOTATIONS, DOTS, LINES, DATELINES, OTHERS)
CASES = [case for block in BLOCKS for case in block.strip().split("\n")]


@pytest.mark.parametrize("case", CASES)
def test_case(case: str) -> None:
    case = case.replace("⏎", "\n")
    assert split_sentences(case.replace("|", "")) == [" ".join(s.split()) for s in case.split("|")]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("", []),
        (" \n\u200b\ufeff\t", []),
        ("\u200bMoscow protests", ["Moscow protests"]),
        ("--------\nA rule is no sentence.\n* * *", ["A rule is no sentence."]),
        ("Windows ends lines so.\r\nOthers do not.", ["Windows ends lines so.", "Others do not."]),
        (
            "The word was harsh. , It named the president.",
            ["The word was harsh.", "It named the president."],
        ),
        ("." * 1_000, []),
        (
            "Seoul objects • Tokyo agrees. • Delhi waits",
            ["Seoul objects", "Tokyo agrees.", "Delhi waits"],
        ),
    ],
)
def test_what_is_no_sentence_is_left_out(text: str, sentences: list[str]) -> None:
    assert split_sentences(text) == sentences


@pytest.mark.parametrize(
    ("sentence", "stripped"),
    [
        ("MOSCOW, June 6. /TASS/. The ministry spoke.", "The ministry spoke."),
        ("MOSCOW. April 5 (Interfax) - The ministry spoke.", "The ministry spoke."),
        ("SEOUL (Reuters) - The North spoke.", "The North spoke."),
        ("Pyongyang, December 1 (KCNA) -- The North spoke.", "The North spoke."),
        ("WASHINGTON, Jan. 5 - The Pentagon spoke.", "The Pentagon spoke."),
        ("LONDON/MOSCOW (Reuters) - The Kremlin spoke.", "The Kremlin spoke."),
        ("ST. PETERSBURG, Russia, Sept. 19 (AP) — He spoke.", "He spoke."),
        ("TEHRAN, Jun. 05 (MNA) – The general spoke.", "The general spoke."),
        ("WASHINGTON — The White House spoke.", "The White House spoke."),
        ("By JOHN SMITH WASHINGTON (AP) -- The House voted.", "The House voted."),
        ("(Reuters) - Iran spoke.", "Iran spoke."),
    ],
)
def test_dateline_is_stripped(sentence: str, stripped: str) -> None:
    assert strip_dateline(sentence) == stripped


@pytest.mark.parametrize(
    "sentence",
    [
        "Moscow warned Seoul.",
        "MOSCOW WARNS SEOUL",
        "RUSSIA: We will answer.",
        "NATO - the alliance - will answer.",
        "U.S. - Iran talks fail.",
        "ASEAN (Association of Southeast Asian Nations) met.",
        "By Monday the envoy had left.",
        "SEOUL (Reuters) - ",
        "",
    ],
)
def test_what_is_no_dateline_stays(sentence: str) -> None:
    assert strip_dateline(sentence) == sentence


def letters(text: str) -> str:
    return "".join(filter(str.isalnum, text))


# fmt: off
NEWSLIKE = st.lists(st.sampled_from((
    "Moscow", "said", "U.S.", "Mr.", "J.", "No.", "5", "p.m.", "3.5", ".", ". ", "...", "…", "?!",
    '"', "'", "“", "”", "(", ")", ",", " ", " ", "\n", "\n\n", "\r\n", "\u200b", "a", "The",
    "。", "é", "SEOUL (Reuters) - ", "/TASS/", "www.a.Com", "a@b.c", "x" * 700, " \ud800",
)), max_size=60).map("".join)

HOSTILE = (
    ".", ". ", "\n", " ", " \n", "A. ", "U.S. ", "Mr. ", "Jan. 5", 'a."Bc ', '. "(', '!" Aa ', "…a",
    "AA ", "AA. ", "By A ", "a. , ", "x", "word ", "a@b.Co", "مرحبا. ", "你好。", "\u200b", ".]",
    '"', "SEOUL - ", "a line that is long enough to be wrapped by some program,\n", "http://a.Bc.De",
)
# fmt: on


@example(". " + MAX_SENTENCE * "x")  # a full stop by itself, before what is too long
@given(NEWSLIKE | st.text())
def test_spans_are_in_order_trimmed_short_and_lose_no_letter(text: str) -> None:
    spans = sentence_spans(text)
    assert [at for span in spans for at in span] == sorted(at for span in spans for at in span)
    for start, end in spans:
        assert 0 < end - start <= MAX_SENTENCE
        assert text[start:end] == text[start:end].strip()
        assert letters(text[start:end])
    assert letters("".join(split_sentences(text))) == letters(text)


def test_overlong_sentence_is_cut_between_words() -> None:
    text = " ".join(f"word{number}" for number in range(1_000))
    pieces = split_sentences(text)
    assert " ".join(pieces) == text
    assert all(len(piece) <= MAX_SENTENCE for piece in pieces)
    assert len(pieces) == -(-len(text) // (MAX_SENTENCE - 8))


def test_word_without_end_is_cut_anywhere() -> None:
    assert [len(piece) for piece in split_sentences("x" * 4_100)] == [2_000, 2_000, 100]


@pytest.mark.parametrize("unit", HOSTILE)
def test_time_is_linear(unit: str) -> None:
    text = (unit * (1_000_000 // len(unit) + 1))[:1_000_000]
    started = time.process_time()
    split_sentences(text)
    # 1 MB takes 0.01 to 0.9 s; quadratic behaviour would take minutes.
    assert time.process_time() - started < 5


def test_real_articles_split_into_sentences_of_ordinary_size() -> None:
    path = SHARED / "news" / "reuters_1987.jsonl.gz"
    if not path.exists():
        pytest.skip(f"no {path}: set TENSION_SHARED to the folder of shared data to run this test")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        texts = [
            json.loads(line).get("text") or "" for line, _ in zip(lines, range(2_000), strict=False)
        ]
    started = time.process_time()
    sentences = [sentence for text in texts for sentence in split_sentences(text)]
    taken = time.process_time() - started
    words = [len(sentence.split()) for sentence in sentences]
    assert 10 < sum(words) / len(words) < 25
    assert sum(len(sentence) > 600 for sentence in sentences) / len(sentences) < 0.001
    assert len(sentences) / taken > 20_000  # 150,000 a second on an idle core
