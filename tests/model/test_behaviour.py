"""What the shipped model must do: minimal pairs, headline and sentence, the codebook's own cases.

Each list is in two parts: what holds for the shipped model is pinned, one test each; what does not
is scored and printed too, counts in the share that must hold, and moves up when a better model
comes.
"""

# ruff: noqa: T201 - statements are not broken; what fails is printed

from __future__ import annotations

import pytest

from scoring.scorer import Scorer, load

HOLD = 0.85
"""Share of all pairs, pinned and not, in which the second statement must score higher."""

RIGHT = 0.80
"""Share of all cases of the codebook that must get their level."""

# What is tested, the statement that must score lower, the one that must score higher.
RISES = [
    (
        "ultimatum",
        "Turkey told Greece that the drilling ship would stay.",
        "Turkey told Greece that it would sink the ships unless they left by Friday.",
    ),
    (
        "ultimatum",
        "Iran called on Iraq to hand over the men.",
        "Iran will bomb Iraq unless it hands over the men by Monday.",
    ),
    (
        "ultimatum",
        "Egypt asked Ethiopia for data on the dam.",
        "Egypt will cut off trade with Ethiopia if it does not hand over data on the dam.",
    ),
    (
        "ultimatum",
        "Moscow demanded that Vilnius return the wagons.",
        "Moscow demanded that Vilnius return the wagons within a week or face retaliation.",
    ),
    (
        "ultimatum",
        "The United States criticised Indian duties on almonds.",
        "The United States will impose tariffs on India unless it drops the duties on almonds.",
    ),
    (
        "ultimatum",
        "China protested to Australia over the search of a reporter's home.",
        "China protested to Australia over the search of a reporter's home and vowed countermeasures.",
    ),
    (
        "negation",
        "Japan has no plans to retaliate against China over the seafood ban.",
        "Japan plans to retaliate against China over the seafood ban.",
    ),
    (
        "negation",
        "Canada will not impose sanctions on Cuba.",
        "Canada will impose sanctions on Cuba.",
    ),
    ("negation", "Algeria denied that it had threatened Morocco.", "Algeria threatened Morocco."),
    (
        "negation",
        "Moscow did not condemn the Israeli strike.",
        "Moscow condemned the Israeli strike.",
    ),
    (
        "negation",
        "This is not a warning to India, Pakistan's foreign minister said.",
        "This is a warning to India, Pakistan's foreign minister said.",
    ),
    (
        "negation",
        "France never accused Italy of closing its ports.",
        "France accused Italy of closing its ports.",
    ),
    (
        "negation",
        "Poland ruled out closing its border with Belarus.",
        "Poland threatened to close its border with Belarus.",
    ),
    (
        "withdrawal",
        "Slovakia withdrew its threat to cut off power to Ukraine.",
        "Slovakia repeated its threat to cut off power to Ukraine.",
    ),
    (
        "withdrawal",
        "Washington lifted the threat of tariffs on Mexican tomatoes.",
        "Washington threatened tariffs on Mexican tomatoes.",
    ),
    (
        "withdrawal",
        "Iran backed down from its threat to close the strait to British tankers.",
        "Iran threatened to close the strait to British tankers.",
    ),
    (
        "withdrawal",
        "Peru dropped its protest to Chile over the border marker.",
        "Peru lodged a protest with Chile over the border marker.",
    ),
    (
        "withdrawal",
        "Had talks failed, Russia would have struck Georgia, a Russian general recalled.",
        "If talks fail, Russia will strike Georgia, a Russian general said.",
    ),
    (
        "in kind",
        "Russia will respond to the Czech expulsions with mirror measures.",
        "Russia will respond to the Czech expulsions with asymmetric measures.",
    ),
    (
        "in kind",
        "Beijing promised a reciprocal answer to the Canadian tariffs.",
        "Beijing promised a crushing answer to the Canadian tariffs.",
    ),
    (
        "in kind",
        "Brussels said it would answer US duties dollar for dollar.",
        "Brussels said it would hit the US with painful duties across all sectors.",
    ),
    (
        "in kind",
        "Ankara said its response to Swedish visa limits would be symmetric.",
        "Ankara said its response to Swedish visa limits would be asymmetric and harsh.",
    ),
    (
        "consequences",
        "Iran warned Kuwait of consequences over the gas field.",
        "Iran warned Kuwait that it would retaliate over the gas field.",
    ),
    (
        "consequences",
        "Moscow warned Oslo of serious consequences.",
        "Moscow warned Oslo that it would take retaliatory measures.",
    ),
    (
        "consequences",
        "Beijing warned Manila that it was playing with fire.",
        "Beijing warned Manila that it would strike its ships.",
    ),
    (
        "consequences",
        "Pyongyang threatened Tokyo with consequences.",
        "Pyongyang threatened to strike Tokyo with missiles.",
    ),
    (
        "consequences",
        "Ethiopia said relations with Egypt would suffer.",
        "Ethiopia said it would cut off relations with Egypt in retaliation.",
    ),
    (
        "may",
        "Turkey may retaliate against Syria for the shelling, officials said.",
        "Turkey will retaliate against Syria for the shelling, officials said.",
    ),
    (
        "may",
        "Germany reserves the right to take countermeasures against China.",
        "Germany will take countermeasures against China.",
    ),
    (
        "may",
        "London is considering sanctions against Georgia over the vote.",
        "London will impose sanctions against Georgia over the vote.",
    ),
    (
        "sport",
        "Brazil threatened Argentina's lead with two late goals in the cup match.",
        "Brazil threatened Argentina with sanctions over the seizure of two ships.",
    ),
    (
        "sport",
        "England warned Wales that their striker is ready to score again.",
        "England's government, in London, warned Ireland that its forces are ready to respond.",
    ),
    (
        "sport",
        "Italy vow revenge on Spain in Sunday's championship game.",
        "Iran vows revenge on Israel for Sunday's air strike.",
    ),
    (
        "sport",
        "Croatia's coach warned France to expect a tough match.",
        "Croatia's government warned Serbia to expect a tough response.",
    ),
    (
        "deed",
        "Russia expelled two Estonian diplomats on Monday.",
        "Russia said it would expel Estonian diplomats unless Tallinn apologised.",
    ),
    (
        "deed",
        "The US imposed sanctions on three Venezuelan banks.",
        "The US threatened to impose sanctions on Venezuelan banks.",
    ),
    (
        "deed",
        "Israeli jets struck a depot in Syria overnight.",
        "Israel vowed to strike Syria again.",
    ),
    (
        "protest",
        "Sweden's foreign minister met the Iranian ambassador on Tuesday.",
        "Sweden's foreign minister summoned the Iranian ambassador on Tuesday in protest.",
    ),
    (
        "protest",
        "India welcomed the decision of Nepal on the border road.",
        "India denounced the decision of Nepal on the border road.",
    ),
    (
        "protest",
        "Vietnam thanked China for the rescue of its fishermen.",
        "Vietnam accused China of ramming the boat of its fishermen.",
    ),
    (
        "protest",
        "Kenya protested to Tanzania over the burning of chicks.",
        "Kenya warned Tanzania of serious consequences over the burning of chicks.",
    ),
    (
        "protest",
        "Ukraine condemned Hungary for blocking the loan.",
        "Ukraine warned Hungary that blocking the loan crosses a red line.",
    ),
]
NOT_YET_RISES = [
    (
        "in kind",
        "Moscow will expel the same number of British diplomats in a tit-for-tat response.",
        "Moscow will make Britain pay a heavy price for the expulsion of its diplomats.",
    ),
]

# A headline and a sentence that say the same.
SAME = [
    (
        "Japan protests to Russia over island drills",
        "Japan's foreign ministry protested to Russia on Tuesday over military drills on the islands.",
    ),
    (
        "China vows countermeasures against US over chip ban",
        "China vowed on Thursday to take countermeasures against the United States over the chip ban.",
    ),
    (
        "Poland summons Russian ambassador over drone",
        "Poland's foreign ministry said on Friday it had summoned the Russian ambassador over the drone.",
    ),
    ("Fiji, Samoa sign fishing pact", "Fiji and Samoa signed a fishing pact on Monday."),
    (
        "Egypt warns Ethiopia of consequences over dam",
        "Egypt's president warned Ethiopia on Wednesday that filling the dam would have consequences.",
    ),
    (
        "Venezuela accuses Colombia of plotting coup",
        "Venezuela's vice president on Monday accused Colombia of plotting a coup.",
    ),
    (
        "US to impose tariffs on Canada unless it opens dairy market",
        "The United States will impose tariffs on Canada unless it opens its dairy market, the White House said.",
    ),
]
NOT_YET_SAME = [
    (
        "Iran warns Israel of crushing response to any attack",
        "Iran warned Israel on Sunday of a crushing response to any attack.",
    ),
]

# Statements after the codebook's table of edge cases, with their levels.
CASES = [
    ("Ottawa voiced serious concern to Riyadh over the arrest of a blogger.", "protest"),
    ("Denmark urged Russia to release the crew of the trawler at once.", "protest"),
    ("Bangladesh demanded that Myanmar apologise for the shelling.", "protest"),
    ("Bolivia blames Chile for the collapse of the talks", "protest"),
    ("Tokyo summoned the Chinese ambassador over the drone flights.", "protest"),
    ("Tehran called on the Security Council to act against Israel.", "protest"),
    ("Finland warned Russia against any attempt to jam its radar.", "warning"),
    ("North Korea will bear full responsibility for the clash, Seoul said.", "warning"),
    ("Iran is playing with fire, the Israeli prime minister said.", "warning"),
    ("Taiwan's navy is able to repel any Chinese landing, its minister said.", "warning"),
    ("Moscow reserves the right to respond to the Danish decision.", "warning"),
    ("All options are on the table against Iran, Washington said.", "warning"),
    ("Spain promised a reciprocal response to the Algerian measures.", "warning"),
    ("Athens told Ankara that the drilling crosses a red line.", "warning"),
    ("Pyongyang warned Seoul of merciless retaliation.", "threat"),
    ("Russia will take countermeasures against Latvia over the ban.", "threat"),
    ("Beijing announced powerful measures against Washington over the arms sale.", "threat"),
    ("Minsk is ready to cut off gas to Poland if the border is closed.", "threat"),
    ("Washington will impose tariffs on Vietnam unless it curbs transit trade.", "threat"),
    ("Tehran will not hesitate to strike Israeli bases, a general said.", "threat"),
    ("India will make Pakistan pay for the attack, the minister vowed.", "threat"),
    ("Turkey threatened to expel ten Western ambassadors, among them the German one.", "threat"),
    ("Chile and Peru signed an agreement on the border fishery.", "none"),
    ("Israeli aircraft bombed a depot in Lebanon on Sunday.", "none"),
    ("The US imposed sanctions on two Belarusian firms last week.", "none"),
    ("China and Australia agreed to resume talks on beef.", "none"),
    ("Uruguay beat Paraguay after a late goal in the cup.", "none"),
    ("France withdrew its threat to block the British fish trucks.", "none"),
    ("Forecasters warned Cuba of a strong hurricane.", "none"),
    ("Shares in Japanese carmakers fell as the dollar weakened.", "none"),
    ("South Korean and US troops began their yearly drill.", "none"),
]
NOT_YET_CASES = [
    ("Moscow rejected the Dutch accusation.", "none"),
]


@pytest.fixture(scope="module")
def scored() -> dict[str, tuple[str, float]]:
    """Level and score of every statement of this file, in one batch."""
    texts = {text for _, *pair in RISES + NOT_YET_RISES for text in pair}
    texts |= {text for pair in SAME + NOT_YET_SAME for text in pair}
    texts |= {text for text, _ in CASES + NOT_YET_CASES}
    return scores(load(), sorted(texts))


def scores(scorer: Scorer, texts: list[str]) -> dict[str, tuple[str, float]]:
    first = scorer.score_lines(texts).drop_duplicates("article_id")
    return dict(zip(texts, zip(first["level"], first["score"], strict=True), strict=True))


@pytest.mark.parametrize(("kind", "lower", "higher"), RISES)
def test_the_second_statement_scores_higher(scored, kind, lower, higher):
    assert scored[lower][1] < scored[higher][1], kind


def test_share_of_the_pairs_that_hold(scored):
    pairs = RISES + NOT_YET_RISES
    failing = [pair for pair in pairs if not scored[pair[1]][1] < scored[pair[2]][1]]
    for kind, lower, higher in failing:
        print(f"{kind}: {scored[lower]} {lower} | {scored[higher]} {higher}")
    assert len(pairs) >= 40
    assert len(failing) <= (1 - HOLD) * len(pairs)


@pytest.mark.parametrize(("headline", "sentence"), SAME)
def test_headline_and_sentence_get_one_level(scored, headline, sentence):
    assert scored[headline][0] == scored[sentence][0]


def test_share_of_headlines_that_get_the_level_of_the_sentence(scored):
    pairs = SAME + NOT_YET_SAME
    failing = [pair for pair in pairs if scored[pair[0]][0] != scored[pair[1]][0]]
    for headline, sentence in failing:
        print(f"{scored[headline]} {headline} | {scored[sentence]} {sentence}")
    assert len(failing) <= (1 - HOLD) * len(pairs)


@pytest.mark.parametrize(("text", "level"), CASES)
def test_a_case_of_the_codebook_gets_its_level(scored, text, level):
    assert scored[text][0] == level


def test_share_of_the_codebook_cases_that_are_right(scored):
    cases = CASES + NOT_YET_CASES
    failing = [(text, level) for text, level in cases if scored[text][0] != level]
    for text, level in failing:
        print(f"expected {level}, found {scored[text]}: {text}")
    assert len(failing) <= (1 - RIGHT) * len(cases)
