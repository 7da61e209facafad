"""Tell whether a text is English.

The scorer reads English alone, so other texts are told apart, once an article: by script first,
then by the short words that every language repeats. In doubt a text counts as English: a foreign
article that slips through adds noise, an English one that is turned away is lost.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import Final

_SAMPLE: Final = 3_000  # characters looked at: what a language repeats shows long before

# Letters outside the Latin script; Latin goes to U+024F and has U+1E00-1EFF (Vietnamese).
_OTHER_LETTER: Final = re.compile(
    "[\u0370-\u1dff\u1f00-\u1fff\u2c00-\u2dff\u3040-\ud7ff\uf900-\ufdff\ufe70-\ufefc\uff66-\uffdc]"
)
_LATIN_LETTER: Final = re.compile("[A-Za-z\u00c0-\u024f\u1e00-\u1eff]")
_EAST_ASIAN: Final = {
    "CJK": "Chinese or Japanese",
    "HIRAGANA": "Chinese or Japanese",
    "KATAKANA": "Chinese or Japanese",
    "HANGUL": "Korean",
}


def _words(line: str) -> frozenset[str]:
    return frozenset(line.split())


_ENGLISH: Final = _words(
    """the of and to in is are was were be been has have had will would it its his her their they he
    she with for from that this which who by on at as an not but or if than after over into about
    between says said warns more new against no we you can could may out up all what when how why
    where do does did should must amid there these those our your us my"""
)

# Words that no English text repeats. Those before the bar occur in English names and phrases too
# ("Ursula von der Leyen", "per capita"), and count only beside one that does not.
_FUNCTION_WORDS: Final = {
    "German": """von der den zu dem am | und das ist nicht mit auf für sich ein eine einen einer
        dass wird werden nach bei auch aus gegen über sagt sagte droht warnt hat haben sind sein wie
        noch nur vor zum zur im Krieg Präsident Regierung""",
    "French": """de la le du des et plus est sur | les une dans pour avec par qui que pas ne aux ce
        cette ses sont été être contre après selon mais ont leur nous vous dit avertit menace guerre
        président gouvernement""",
    "Spanish": """de la el los del y con que se | las una por para como más pero sus este esta está
        entre sobre tras contra según ante ha han fue ser también advierte amenaza dice guerra
        presidente gobierno""",
    "Portuguese": """de da do dos das e os que | um uma não com para por mais como mas foi ao aos
        pela pelo são está sobre após contra também entre seu sua diz alerta ameaça guerra
        presidente governo""",
    "Italian": """di della del la il e per non con | che una sono dei delle nel nella alla degli gli
        più anche come ma dopo contro essere stato ha questo dice avverte minaccia guerra presidente
        governo sulla dalla""",
    "Romanian": """de la al nu cu pe | și în din că pentru este sunt care mai după împotriva fost va
        au lui sau către prin președintele război spune avertizează""",
    "Catalan": """de la el del i per | els les amb que una als però més són després contra segons
        govern també aquest aquesta""",
    "Dutch": """van de der den | het een en niet voor met zijn dat naar bij ook aan uit maar nog
        heeft hebben wordt worden tegen deze volgens zegt waarschuwt dreigt oorlog regering""",
    "Swedish": """av en med till | och att det som är för på inte den har om ett från kan vid efter
        mot enligt säger varnar hotar kriget regeringen också""",
    "Danish or Norwegian": """af av en med | og det som er på ikke til har et fra etter efter mod
        mot ved kan ifølge sier siger advarer truer krigen regjeringen regeringen også""",
    "Finnish": """ja on | että ei ovat oli joka mutta myös sekä mukaan jälkeen vastaan varoittaa
        uhkaa sanoo sota hallitus presidentti kuin""",
    "Estonian": "ja on | et ei oli mis kui ning ka oma pärast vastu hoiatab ütles sõda valitsus",
    "Hungarian": """a | az és hogy nem egy is meg csak már mint után ellen szerint volt még vagy
        háború elnök kormány figyelmeztet fenyeget""",
    "Polish": """z i w | na do się nie że jest dla po od przez jak ale za oraz są był było o to
        wojny wojna prezydent rząd przeciw ostrzega grozi powiedział""",
    "Czech or Slovak": """a v s z o k u pro | na se je že do ale po jako by si ve za od jsou byl
        podle proti válka vojna prezident vláda varuje hrozí řekl sa nie aj ako bude""",
    "Croatian, Serbian or Bosnian": """i s u o | je na da se su za od ne koji koja nije kao što sa
        će bi nakon protiv rat predsjednik predsednik vlada upozorava prijeti rekao kaže""",
    "Slovene": """in v z | je na da se so za ki pa ne bi po kot tudi od pri proti vojna predsednik
        vlada opozarja grozi""",
    "Turkish": """ve bir | bu için ile da de olarak olan gibi daha çok sonra kadar karşı göre değil
        dedi uyardı tehdit etti savaş cumhurbaşkanı hükümet ama""",
    "Azerbaijani": """və bir | bu ilə üçün də olan kimi daha sonra qarşı görə deyil dedi prezident
        müharibə hökumət""",
    "Albanian": """e i se | të në dhe për me që nga një është nuk si më do kundër pas luftë
        presidenti qeveria""",
    "Lithuanian": "ir | kad su į iš yra ne tai kaip po prieš dėl buvo bet karas prezidentas",
    "Latvian": "un | ka ir ar no uz par kas pēc pret nav bija kā arī bet karš prezidents",
    "Indonesian or Malay": """bin | yang dan di dengan untuk dari ini itu pada tidak akan dalam juga
        oleh kepada sebagai atau telah setelah terhadap perang presiden pemerintah mengatakan""",
    "Filipino": "ng | sa ang na mga ay hindi para kay ito niya siya kung dahil pangulo digmaan",
    "Vietnamese": """và | của là có không được cho các một với trong những đã về này từ khi người
        chiến tranh tổng thống cảnh báo""",
    "Swahili": "wa ya | na kwa ni katika la za cha hii kuwa baada dhidi rais serikali vita",
    "Somali": "iyo | oo ka ku waa waxaa ah la ee soo dowladda madaxweynaha dagaalka",
}


def _tables() -> tuple[dict[str, tuple[str, ...]], frozenset[str]]:
    """Return word -> languages, and the words that are parts of names as well."""
    languages: dict[str, tuple[str, ...]] = {}
    particles = set()
    for language, line in _FUNCTION_WORDS.items():
        names, _, others = line.partition("|")
        particles.update(names.split())
        for word in {*names.split(), *others.split()} - _ENGLISH:
            languages[word] = (*languages.get(word, ()), language)
    return languages, frozenset(particles)


_LANGUAGES, _PARTICLES = _tables()
_FOREIGN: Final = frozenset(_LANGUAGES)


def not_english(text: str) -> str | None:
    """Return why a text is not English, or None if it is, or might be.

    Parameters
    ----------
    text : str
        An article or a headline. Short texts without function words count as English.

    Returns
    -------
    str or None
        For people: "not English (looks like French)", "not English (Cyrillic script)".
    """
    text = text[:_SAMPLE]
    if not text.isascii() and (script := _other_script(text)):
        return f"not English ({script} script)"
    capitals = text.isupper()
    text = text.replace(",", " ").replace(":", " ")
    words = set((text.lower() if capitals else text).split())
    hits = words & _FOREIGN
    if len(hits) < 2:
        return None
    # In capitals, parts of names cannot be told from words: ask for one more.
    return _other_language(hits, len(words & _ENGLISH) + 2 * capitals)


def _other_script(text: str) -> str | None:
    """Name the script of most letters if that is not Latin."""
    if not _OTHER_LETTER.search(text):
        return None
    letters = _OTHER_LETTER.findall(text)
    if len(letters) <= len(_LATIN_LETTER.findall(text)):
        return None
    names = Counter(unicodedata.name(letter, "UNKNOWN").split()[0] for letter in letters)
    name = names.most_common(1)[0][0]
    return _EAST_ASIAN.get(name, name.title())


def _other_language(hits: set[str], english: int) -> str | None:
    """Name the language of most foreign words if these are two or more, and more than `english`."""
    votes = Counter(language for word in hits for language in _LANGUAGES[word])
    language, count = votes.most_common(1)[0]
    own = any(language in _LANGUAGES[word] for word in hits - _PARTICLES)
    if count < max(2, english + 1) or not own:
        return None
    return f"not English (looks like {language})"
