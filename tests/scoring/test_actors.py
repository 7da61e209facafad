"""The actor table and the finder, on sentences of our own and on the shared gold and news."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring import actors as module
from scoring.actors import actors, find_mentions, load_actors, names
from scoring.levels import codebook

DATA = Path(module.__file__).parent / "data"
SHARED = Path(os.environ.get("TENSION_SHARED", Path(__file__).parents[2].parent / "shared"))
needs_shared = pytest.mark.skipif(
    not (SHARED / "gold").is_dir(),
    reason="the shared gold is not there: set TENSION_SHARED to its folder",
)


def found(text: str, when: datetime.date | None = None) -> list[tuple[str, str]]:
    return [(text[m.start : m.end], m.code) for m in find_mentions(text, when)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Moscow warned the U.S. of reprisals.", ["Moscow=RUS", "U.S.=USA"]),
        ("JAPAN WARNS U.S. ON TRADE", ["JAPAN=JPN", "U.S.=USA"]),
        ("Beijing Hits Back At Washington Over Chip Curbs", ["Beijing=CHN", "Washington=USA"]),
        ("Russian President Vladimir Putin left", ["Russian=RUS", "Vladimir Putin=RUS"]),
        ("Russia's Lavrov and Iran’s envoy", ["Russia=RUS", "Lavrov=RUS", "Iran=IRN"]),
        ("Sino-US and Russo-Ukrainian talks", ["Sino=CHN", "US=USA", "Russo=RUS", "Ukrainian=UKR"]),
        ("US-South Korea drills", ["US=USA", "South Korea=KOR"]),
        ("the south Korean puppets and the DPRK", ["south Korean=KOR", "DPRK=PRK"]),
        ("an anti-Russian Frenchman in a US-led force", ["Russian=RUS", "Frenchman=FRA", "US=USA"]),
        ("the Kremlin, Downing Street, the Élysée", ["Kremlin=RUS", "Downing Street=GBR"]),
        ("Elysee and E\u0301lyse\u0301e", ["Elysee=FRA", "E\u0301lyse\u0301e=FRA"]),
        ("Cote d'Ivoire, Türkiye and São Tomé", ["Cote d'Ivoire=CIV", "Türkiye=TUR"]),
        ("\u200bUkr\u200baine said", ["Ukr\u200baine=UKR"]),
        ("Soviet and West German officials in Bonn", ["Soviet=RUS", "West German=DEU", "Bonn=DEU"]),
        ("EC ministers met in Brussels", ["EC=EU", "Brussels=EU"]),
        ("a U.N. Security Council vote", ["U.N. Security Council=UN"]),
        ("the Taliban and Burma", ["Taliban=AFG", "Burma=MMR"]),
        ("the State Department and the Pentagon", ["State Department=USA", "Pentagon=USA"]),
        ("Guinea-Bissau, Guinea, Niger, Nigeria", ["Guinea-Bissau=GNB", "Guinea=GIN", "Niger=NER"]),
        ("DR Congo and the Republic of Congo", ["DR Congo=COD", "Republic of Congo=COG"]),
        ("US WARNS IRAN", ["US=USA", "IRAN=IRN"]),
        ("The Hague protested", ["The Hague=NLD"]),
        ("the Senate of Italy", ["Italy=ITA"]),
        ("the Italian Senate", ["Italian=ITA"]),
        ("President Hu Jintao", ["Hu Jintao=CHN"]),
    ],
)
def test_an_actor_is_found(text: str, expected: list[str]) -> None:
    assert [f"{span}={code}" for span, code in found(text)][: len(expected)] == expected


@pytest.mark.parametrize(
    "text",
    [
        "The Washington Post and the Moscow Times said so.",
        "Ships crossed the South China Sea, the Indian Ocean and the Persian Gulf.",
        "Michael Jordan lives in Atlanta, Georgia.",
        "The Georgia governor was in New Mexico and New England.",
        "American Airlines, Bank of America and Turkish Airlines fell.",
        "Quarterly profit of Canadian Widget Holdings Ltd rose.",
        "They ate turkey from china plates; a man named chad told us.",
        "French fries, a Panama hat, Guinea pigs, Brazil nuts and Russian roulette",
        "the former Soviet republics",
        "former President Vladimir Putin and ex-Chancellor Angela Merkel",
        "TELL US WHY",
        "Hamas, Hezbollah and the Houthis",
        "LONDON, March 3 - Sterling rose",
        "Paris Hilton and Denzel Washington",
        "Latin American and African American voters",
        "Let Us Begin",
        "the West and its neighbours",
    ],
)
def test_what_only_looks_like_an_actor_is_none(text: str) -> None:
    assert found(text) == []


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> module.Actors:
    """The shipped table with three office holders of our own instead of the shipped ones."""
    folder = tmp_path_factory.mktemp("data")
    for file in (*DATA.glob("*.csv"), *DATA.glob("*.t*t"), *DATA.glob("actor*.toml")):
        (folder / file.name).write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "leaders").mkdir()
    (folder / "leaders" / "ours.csv").write_text(
        "code,office,name,aliases,start,end\n"
        "SWE,head_of_government,Bo Storm,Storm,1990-03,1994\n"
        "NOR,head_of_government,Åse Storm,Storm,2001-05-06,\n"
        "USA,head_of_state,Theresa May,,2000,2004\n",
        encoding="utf-8",
    )
    return load_actors(folder)


@pytest.mark.parametrize(
    ("text", "year", "code"),
    [
        ("Then Storm warned them.", 1992, "SWE"),
        ("Then Storm warned them.", 2010, "NOR"),
        ("Then Storm warned them.", None, "NOR"),  # the latest
        ("Sweden said Storm warned them.", None, "SWE"),  # the state named before
        ("Then Storm warned them.", 1997, None),
        ("Ase Storm warned them.", 2010, "NOR"),
        ("Then Hillary Storm warned them.", 2010, None),  # another's given name
        ("Ministers met Kjell Storm again.", 2010, None),
        ("Ministers met President Storm again.", 2010, "NOR"),
        ("The deposed prime minister Storm left.", 2010, None),
    ],
)
def test_a_leader_counts_in_office(
    small: module.Actors, text: str, year: int | None, code: str | None
) -> None:
    when = datetime.date(year, 6, 1) if year else None
    leaders = [m.code for m in small.find(text, when) if m.kind == "leader"]
    assert leaders == ([code] if code else [])


def test_office_has_half_a_year_of_slack(small: module.Actors) -> None:
    assert small.find("Bo Storm", datetime.date(1995, 6, 1))
    assert not small.find("Bo Storm", datetime.date(1995, 8, 1))


def test_a_bad_date_of_office_is_an_error(tmp_path: Path) -> None:
    for file in (*DATA.glob("*.csv"), DATA / "non_actors.txt", DATA / "actor_words.toml"):
        (tmp_path / file.name).write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "leaders").mkdir()
    (tmp_path / "leaders" / "bad.csv").write_text(
        "code,office,name,aliases,start,end\nSWE,other,Bo Storm,,spring,\n", encoding="utf-8"
    )
    with pytest.raises(ValueError, match="spring"):
        load_actors(tmp_path)


def test_every_code_is_named_and_found_by_its_name() -> None:
    blocked = {"JEY"}  # Jersey is more often New Jersey's shore
    wrong = {
        code: name
        for code, name in actors().items()
        if [m.code for m in find_mentions(f"It is {name} that objects.")] != [code]
    }
    assert wrong.keys() == blocked
    assert len(actors()) == 250 + len(codebook()["organisations"])


def test_organisations_are_those_of_the_codebook() -> None:
    organisations = codebook()["organisations"]
    assert {code: actors()[code] for code in organisations} == organisations


def test_names_swap_two_states() -> None:
    iran, turkey = names("IRN"), names("TUR")
    assert (iran.name, iran.adjective, iran.capital) == ("Iran", "Iranian", "Tehran")
    assert found(f"{turkey.adjective} envoys told {iran.capital}, {turkey.name} said") == [
        ("Turkish", "TUR"),
        ("Tehran", "IRN"),
        ("Turkey", "TUR"),
    ]
    with pytest.raises(KeyError):
        names("XXX")


def test_no_name_is_found_in_lower_case() -> None:
    for code in actors():
        for word in {names(code).name, names(code).adjective, names(code).capital} - {""}:
            assert find_mentions(word.lower()) in ([], find_mentions("south korea")), word


def test_data_hold_no_phrase_twice() -> None:
    lines = (DATA / "non_actors.txt").read_text(encoding="utf-8").splitlines()
    phrases = [line for line in lines if line and not line.startswith("#")]
    assert len(phrases) == len(set(phrases))
    tomllib.loads((DATA / "actor_words.toml").read_text(encoding="utf-8"))


words = st.sampled_from(
    ["US", "U.S.", "Putin", "President", "former", "South", "Korea", "Russia", "'s", "-", " ", ", "]
)


@given(st.lists(st.one_of(words, st.text(max_size=5)), max_size=30).map("".join))
def test_mentions_are_in_order_and_apart(text: str) -> None:
    mentions = find_mentions(text)
    edges = [edge for mention in mentions for edge in (mention.start, mention.end)]
    assert edges == sorted(edges)
    assert all(0 <= m.start < m.end <= len(text) and m.code in actors() for m in mentions)


@pytest.mark.parametrize(
    "unit", ["A", "A ", "A.", "US ", "Trump ", "President ", "a\u0301", "North ", "American ", "-"]
)
def test_hostile_input_takes_linear_time(unit: str) -> None:
    def seconds(length: int) -> float:
        text = unit * (length // len(unit))
        start = time.process_time()
        find_mentions(text)
        return time.process_time() - start

    seconds(1000)
    assert seconds(200_000) < 30 * seconds(20_000) + 0.2  # 100 times, were it quadratic


@needs_shared
def test_gold_sides_are_found() -> None:
    sides = hits = 0
    for line in (SHARED / "gold" / "train.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        here = {mention.code for mention in find_mentions(row["text"])}
        named = {code for dyad in row["dyads"] for code in dyad[:2] if code}
        sides, hits = sides + len(named), hits + len(named & here)
    assert sides > 3000
    assert hits / sides >= 0.95


# In a process of its own: coverage traces every line of this one, and would be what is measured.
_TIMING = """
import json, sys, time
from scoring.actors import find_mentions
lines = [json.loads(line)["text"] for line in open(sys.argv[1], encoding="utf-8")]
def seconds():
    start = time.process_time()
    for line in lines:
        find_mentions(line)
    return time.process_time() - start
print(min(seconds() for _ in range(3)) / len(lines))
"""


@needs_shared
def test_a_feed_is_read_fast() -> None:
    gold = SHARED / "gold" / "train.jsonl"
    command = [sys.executable, "-c", _TIMING, str(gold)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 100e-6  # 20 to 25 are usual; the machine may be busy
