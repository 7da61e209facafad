"""Who says it to whom, by the shipped model, on statements of our own."""

# ruff: noqa: E501, T201 - statements are not broken; what fails is printed

from __future__ import annotations

import time

import pytest

from scoring.actors import Mention, find_mentions
from scoring.artifact import Model, load, shipped_folder
from scoring.clauses import Clause
from scoring.dyads import MOST_ACTORS, Dyad, candidates, find_dyads
from scoring.scorer import Scorer
from scoring.tiers import Fast

EXACT = 0.65
"""Share of the statements, pinned and not, of which every dyad must be found and no other."""

# What the statement tries, the statement, its dyads; "?" is a side that it leaves open.
RIGHT = [
    (
        "plain",
        "Jakarta lodged a protest with Canberra over the naval patrol near the Natuna islands.",
        "IDN>AUS",
    ),
    (
        "plain",
        "Peru condemned Ecuador on Friday for letting its soldiers cross the river.",
        "PER>ECU",
    ),
    ("plain", "The Kremlin accused Warsaw of rewriting the history of the war.", "RUS>POL"),
    (
        "plain",
        "Kenya's foreign minister cautioned Somalia against drilling in the disputed block.",
        "KEN>SOM",
    ),
    (
        "plain",
        "Ankara threatened to cut off water to Syria unless the shelling stopped.",
        "TUR>SYR",
    ),
    (
        "plain",
        "Beijing said on Monday it would impose countermeasures on the United States over the arms package.",
        "CHN>USA",
    ),
    (
        "plain",
        "Norway's defence minister denounced Russia for jamming satellite signals over Finnmark.",
        "NOR>RUS",
    ),
    (
        "plain",
        "Serbia will close its border to Kosovo if the new tax is not dropped, the prime minister said.",
        "SRB>XKX",
    ),
    ("passive", "Iran was warned by Washington on Sunday not to board the tanker.", "USA>IRN"),
    (
        "passive",
        "The Israeli envoy was called in by the Irish foreign ministry to hear a protest.",
        "IRL>ISR",
    ),
    ("over", "Japan lodges protest over Chinese survey ship", "JPN>CHN"),
    ("over", "Vietnam voices anger over Chinese fishing ban", "VNM>CHN"),
    ("over", "Moscow warns of retaliation over Finnish border closure", "RUS>FIN"),
    ("over", "Tehran summons British ambassador over broadcaster's report", "IRN>GBR"),
    ("over", "Canada protests to India over visa delays", "CAN>IND"),
    ("over", "EU threatens sanctions over Belarus flights", "EU>BLR"),
    ("over", "Paris voices concern over Malian arrest of two French soldiers", "FRA>MLI"),
    (
        "note",
        "In a letter to the United Nations, Armenia accused Azerbaijan of shelling two villages.",
        "ARM>AZE",
    ),
    (
        "dash",
        "Washington will bear full responsibility for the provocation — Iranian foreign ministry",
        "IRN>USA",
    ),
    ("dash", "Britain's new sanctions will not go unanswered – Moscow", "RUS>GBR"),
    ("dash", "Polish fence on the border violates our agreements — Minsk", "BLR>POL"),
    ("dash", "Israel must answer for the strike on the consulate – Tehran", "IRN>ISR"),
    (
        "quote",
        '"We will respond to this in the harshest way," Russian foreign ministry spokeswoman said of the Latvian decision.',
        "RUS>LVA",
    ),
    (
        "quote",
        '"If Turkish troops cross the line we will strike them," the Syrian army said in a statement.',
        "SYR>TUR",
    ),
    (
        "quote",
        "“We hold Pakistan responsible for this attack and it will pay,” India's home minister told reporters.",
        "IND>PAK",
    ),
    (
        "quote",
        "“Any attack on our ships will meet a crushing response by Tehran,” an Iranian general said, addressing Israel.",
        "IRN>ISR",
    ),
    ("colon", "Moscow: Sweden will feel consequences of joining NATO", "RUS>SWE"),
    ("colon", "China: Japan must stop stirring up trouble over Taiwan", "CHN>JPN"),
    ("colon", "Iran to Saudi Arabia: stop meddling or face the consequences", "IRN>SAU"),
    ("colon", "Seoul: North Korea will pay the price for any attack", "KOR>PRK"),
    (
        "both",
        "India accused Pakistan of shelling a school, and Pakistan warned India of a forceful response.",
        "IND>PAK PAK>IND",
    ),
    (
        "both",
        "Algeria condemned Morocco, while Rabat accused Algiers of arming the rebels.",
        "DZA>MAR MAR>DZA",
    ),
    (
        "both",
        "Moscow denounced the Finnish plan and Helsinki in turn protested against Russian overflights.",
        "RUS>FIN FIN>RUS",
    ),
    (
        "third",
        "Speaking in Geneva, the Iraqi delegate accused Turkey of bombing a resort.",
        "IRQ>TUR",
    ),
    (
        "third",
        "Poland's prime minister, on a visit to Vilnius, warned Belarus against any provocation.",
        "POL>BLR",
    ),
    (
        "third",
        "Washington threatened India with tariffs over its purchases of Russian oil.",
        "USA>IND",
    ),
    (
        "third",
        "China warned the Philippines against letting the US base missiles there.",
        "CHN>PHL",
    ),
    ("third", "Australia condemned China's treatment of a Canadian citizen.", "AUS>CHN"),
    (
        "third",
        "Saudi Arabia warned Lebanon that it would expel its ambassador over remarks about Yemen.",
        "SAU>LBN",
    ),
    ("unnamed", "Foreign ministry summons Russian ambassador over drone", "?>RUS"),
    (
        "unnamed",
        "The minister warned that any aggression would be met with a decisive response.",
        "?>?",
    ),
    ("unnamed", "Moscow warns West of consequences over seized assets", "RUS>?"),
    ("unnamed", "North Korea vows merciless revenge on its enemies", "PRK>?"),
    ("unnamed", "Iran says it will punish those behind the blast", "IRN>?"),
    (
        "unnamed",
        "The embassy protested strongly against the decision of the Norwegian authorities.",
        "?>NOR",
    ),
    ("leader", "Putin warned Macron that sending troops would have grave consequences.", "RUS>FRA"),
    ("leader", "Erdogan accused Netanyahu of stirring up war across the region.", "TUR>ISR"),
    ("leader", "Kim Jong Un threatened to wipe out South Korea if attacked.", "PRK>KOR"),
    ("passive", "Turkey was accused by Greece of sending drones over two islands.", "GRC>TUR"),
    ("passive", "Russia's ambassador was summoned by Berlin over the cyber attack.", "DEU>RUS"),
    ("passive", "Moscow's decision was denounced by Tokyo as unacceptable.", "JPN>RUS"),
    (
        "passive",
        "Pakistan was told by India that it would pay a heavy price for the raid.",
        "IND>PAK",
    ),
    (
        "note",
        "In a note to Ankara, Nicosia said the survey ship had violated its waters and must leave.",
        "CYP>TUR",
    ),
    (
        "note",
        "In a message to Khartoum, Cairo warned that it would not tolerate attacks on its trucks.",
        "EGY>SDN",
    ),
    (
        "note",
        "In a call with his Chinese counterpart, the Philippine foreign minister protested against the ramming of a supply boat.",
        "PHL>CHN",
    ),
    (
        "quote",
        '"The Americans are playing with fire," the Chinese defence ministry said.',
        "CHN>USA",
    ),
    ("quote", "“London should apologise to us,” said the Argentine foreign minister.", "ARG>GBR"),
    ("colon", "Lavrov: US is dragging Europe into war", "RUS>USA"),
    (
        "several",
        "Iran warned the United States and Israel that any strike would be met with a crushing response.",
        "IRN>USA IRN>ISR",
    ),
    ("several", "Russia accused Britain and France of planning to send troops.", "RUS>GBR RUS>FRA"),
    (
        "several",
        "Beijing protested to Tokyo and Seoul over their joint statement.",
        "CHN>JPN CHN>KOR",
    ),
    (
        "several",
        "Estonia, Latvia and Lithuania condemned Russia for moving the buoys on the river.",
        "EST>RUS LVA>RUS LTU>RUS",
    ),
    ("several", "Hungary threatened to veto aid to Ukraine and Moldova.", "HUN>UKR HUN>MDA"),
    (
        "several",
        "The Philippines and Vietnam protested to China over its new map.",
        "PHL>CHN VNM>CHN",
    ),
    ("third", "Kyiv urged Berlin to punish Moscow for the attack on the power station.", "UKR>RUS"),
]
NOT_YET_RIGHT = [
    ("passive", "Rwanda has been condemned by Belgium for its support of the rebels.", "BEL>RWA"),
    (
        "passive",
        "North Korea was threatened with new sanctions by Japan after the launch.",
        "JPN>PRK",
    ),
    (
        "note",
        "In a note handed to the Polish embassy, Belarus demanded that the guards stop pushing migrants back.",
        "BLR>POL",
    ),
    (
        "dash",
        "US missiles in Romania to become targets for strikes – Russian defence ministry",
        "RUS>ROU RUS>USA",
    ),
    ("dash", "EU seizure of Russian assets is theft — Kremlin", "RUS>EU"),
    (
        "quote",
        '"Ethiopia has broken every promise it made on the dam," Egypt\'s president said on Tuesday.',
        "EGY>ETH",
    ),
    ("unnamed", "Diplomat says new sanctions are illegal and will be answered", "?>?"),
]


@pytest.fixture(scope="module")
def model() -> Model:
    return load(shipped_folder())


def find(model: Model, text: str) -> list[Dyad]:
    return dyads_of(model, text, find_mentions(text), model.manifest["dyad_at_least"])


def dyads_of(model: Model, text: str, mentions: list[Mention], at_least: float) -> list[Dyad]:
    found = candidates(text, mentions)
    (chances,) = Fast(model).roles([Clause(0, text, mentions)], [found])
    return find_dyads(text, mentions, found, chances, at_least)


def pairs(model: Model, text: str) -> set[str]:
    """Dyads as the records have them, of a statement by itself."""
    records = Scorer(model).score_lines([text])
    said = records[records["level"] != "none"]
    return {f"{a or '?'}>{b or '?'}" for a, b in zip(said["source"], said["target"], strict=True)}


@pytest.mark.parametrize(("kind", "text", "dyads"), RIGHT)
def test_finds_who_says_it_to_whom(model, kind, text, dyads):
    assert pairs(model, text) == set(dyads.split()), kind


def test_share_of_the_statements_whose_dyads_are_exact(model):
    every = RIGHT + NOT_YET_RIGHT
    found = {text: pairs(model, text) for _, text, _ in every}
    failing = [row for row in every if found[row[1]] != set(row[2].split())]
    for kind, text, dyads in failing:
        print(f"{kind}: expected {dyads}, found {' '.join(sorted(found[text]))}: {text}")
    print(f"{len(every) - len(failing)} of {len(every)} exact")
    assert len(every) >= 60
    assert len(every) - len(failing) >= EXACT * len(every)


@pytest.mark.parametrize("text", [text for _, text, _ in RIGHT + NOT_YET_RIGHT])
def test_what_holds_of_every_answer(model, text):
    mentions = find_mentions(text)
    dyads = find(model, text)
    codes = {mention.code for mention in mentions}
    chances = [dyad.probability for dyad in dyads]
    assert dyads  # never empty: the level says that there is one
    assert chances == sorted(chances, reverse=True)
    assert len({dyad[:2] for dyad in dyads}) == len(dyads)
    for dyad in dyads:
        assert {dyad.source, dyad.target} <= codes | {None}
        assert dyad.source is None or dyad.source != dyad.target
        for code, span in ((dyad.source, dyad.source_span), (dyad.target, dyad.target_span)):
            first = next(((m.start, m.end) for m in mentions if m.code == code), None)
            assert span == first


def test_no_actor_leaves_both_sides_open(model):
    [dyad] = find(model, "The minister vowed revenge.")
    assert dyad[:4] == (None, None, None, None)


def test_candidates_are_the_ordered_pairs_and_the_open_sides():
    text = "Moscow warned Seoul over arms for Kyiv, and Moscow meant it."
    found = [(c.source, c.target) for c in candidates(text, find_mentions(text))]
    assert len(found) == len(set(found)) == (3 + 1) * 3 + 1
    assert found[-1] == (None, None)
    assert ("RUS", "KOR") in found
    assert ("KOR", "RUS") in found
    assert all(source != target for source, target in found[:-1])


def test_features_do_not_tell_who_they_are():
    texts = ["Russia warned Japan over Kenya.", "Peru warned Mali over Nepal."]
    first, second = (candidates(text, find_mentions(text)) for text in texts)
    assert [c.features for c in first] == [c.features for c in second]
    forth, back = first[0], next(c for c in first if (c.source, c.target) == ("JPN", "RUS"))
    assert forth.features != back.features


def test_actors_past_the_most_are_left_out():
    text = "Peru, Chile, Brazil, Bolivia, Ecuador, Cuba, Haiti, Mexico, Spain and Italy protested."
    mentions = find_mentions(text)
    assert len(mentions) == 10
    found = {c.source for c in candidates(text, mentions)}
    assert found == {None, *(m.code for m in mentions[:MOST_ACTORS])}


def test_time_grows_with_the_length_of_hostile_text(model):
    def seconds(count: int) -> float:
        text = "Russia warned China. " + 'Russia "struck" China ' * count
        mentions: list[Mention] = find_mentions(text)
        start = time.process_time()
        dyads_of(model, text, mentions, 0.5)
        return time.process_time() - start

    seconds(100)
    assert seconds(4_000) < 12 * max(seconds(1_000), 0.02)
