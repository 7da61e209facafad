import math

import pytest

from scoring.levels import LEVELS
from training.gates import BEHAVIOUR, Gates, GatesError, judge, number, read


@pytest.fixture
def gates(tmp_path):
    """Read gates from text."""

    def make(text: str) -> Gates:
        (tmp_path / "g.toml").write_text(text, encoding="utf-8")
        return read(tmp_path / "g.toml")

    return make


def test_the_gates_of_the_package_ask_what_a_release_must_hold():
    found = read()
    assert found.least >= 400
    assert found.needs_behaviour()
    for tier in ("fast", "accurate"):
        of = {gate.metric: gate for gate in found.gates if gate.table == tier}
        wanted = {"macro_f1", "kappa", "any.f1", "ece", "triples.f1", "pairs.f1", "review.share"}
        wanted |= {f"{level}.f1" for level in LEVELS}
        wanted |= {*BEHAVIOUR, "speed"}
        assert wanted - of.keys() == set()
        assert all(of[f"{level}.f1"].margin < 0.05 for level in LEVELS)
    assert {gate.metric for gate in found.gates if gate.table == "size"} == {"model", "encoder"}


def one(gates, text, value, champion=None):
    theirs = None if champion is None else {"fast": {"macro_f1": champion, "ece": champion}}
    [verdict] = judge(gates(text), {"fast": {"macro_f1": value, "ece": value}}, theirs)
    return verdict


@pytest.mark.parametrize(
    ("line", "value", "champion", "bound", "by", "holds"),
    [
        ("macro_f1 = { limit = 0.6 }", 0.6, None, 0.6, "limit", True),
        ("macro_f1 = { limit = 0.6 }", 0.599, None, 0.6, "limit", False),
        ("macro_f1 = { margin = 0.01 }", 0.69, 0.7, 0.69, "margin", True),
        ("macro_f1 = { margin = 0.01 }", 0.689, 0.7, 0.69, "margin", False),
        ("macro_f1 = { margin = -0.01 }", 0.7, 0.7, 0.71, "margin", False),
        ("macro_f1 = { limit = 0.6, margin = 0.01 }", 0.65, 0.7, 0.69, "margin", False),
        ("macro_f1 = { limit = 0.6, margin = 0.2 }", 0.59, 0.7, 0.6, "limit", False),
        ("macro_f1 = { limit = 0.6, margin = 0.2 }", 0.61, None, 0.6, "limit", True),
        ("ece = { limit = 0.08, margin = 0.01 }", 0.05, 0.04, 0.05, "margin", True),
        ("ece = { limit = 0.08, margin = 0.01 }", 0.06, 0.04, 0.05, "margin", False),
        ("ece = { limit = 0.08, margin = 0.05 }", 0.081, 0.04, 0.08, "limit", False),
    ],
)
def test_the_stricter_of_limit_and_margin_counts(gates, line, value, champion, bound, by, holds):
    verdict = one(gates, f"[fast]\n{line}", value, champion)
    assert (verdict.bound, verdict.by, verdict.holds) == (pytest.approx(bound), by, holds)
    assert verdict.champion == champion


def test_speed_and_size_are_held_against_a_share_of_the_champions(gates):
    rules = gates("[fast]\nspeed = { margin = 0.25 }\n[size]\nmodel = { limit = 30, margin = 0.5 }")

    def holds(speed, size):
        ours = {"fast": {"speed": speed}, "size": {"model": size}}
        theirs = {"fast": {"speed": 1000.0}, "size": {"model": 10.0}}
        return [verdict.holds for verdict in judge(rules, ours, theirs)]

    assert holds(750, 15) == [True, True]
    assert holds(749, 15.1) == [False, False]
    [size] = judge(rules, {"fast": {"speed": 1.0}, "size": {"model": 31.0}}, None)  # no speed alone
    assert (size.bound, size.holds) == (30, False)


def test_a_tier_that_is_lost_does_not_hold_and_one_that_is_new_has_its_limits(gates):
    rules = gates(
        "[accurate]\nmacro_f1 = { limit = 0.6, margin = 0.01 }\nspeed = { margin = 0.1 }\n"
        "[size]\nencoder = { limit = 100 }"
    )
    none = {"fast": {}, "size": {}}
    full = none | {"accurate": {"macro_f1": 0.7, "speed": 9.0}}
    [lost] = judge(rules, none, full)
    assert not lost.holds
    assert lost.reason() == "accurate: expected the tier that the champion has, found none."
    [new] = judge(rules, full, none)
    assert (new.by, new.holds) == ("limit", True)
    assert judge(rules, none, none) == []
    assert judge(rules, none, None) == []


def test_what_is_not_defined_does_not_hold(gates):
    rules = gates("[fast]\n'threat.f1' = { limit = 0.1 }\n'warning.f1' = { margin = 0.1 }")
    first, second = judge(rules, {"fast": {"warning.f1": 0.5}}, {"fast": {"threat.f1": 0.3}})
    assert not first.holds
    assert first.reason().endswith("the champion has 0.300.")
    assert "threat.f1: expected a value, found none" in first.reason()
    assert second.holds  # the champion has none to hold it against


def test_reasons_say_what_was_expected_and_found(gates):
    low = one(gates, "[fast]\nmacro_f1 = { limit = 0.6, margin = 0.01 }", 0.5, 0.7)
    assert low.reason() == (
        "fast macro_f1: expected at least 0.690 (the champion's 0.700), found 0.500."
    )
    high = one(gates, "[fast]\nece = { limit = 0.08 }", 0.09, 0.1)
    assert high.reason() == (
        "fast ece: expected at most 0.080 (the limit), found 0.090; the champion does not reach it "
        "either (0.100)."
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "g.toml: expected at least one gate"),
        ("[fast", "g.toml: expected TOML"),
        ("[fast]\nmacro_f2 = { limit = 1 }", "g.toml, line 2: [fast] macro_f2: expected one of"),
        ("[size]\nmacro_f1 = { limit = 1 }", "line 2: [size] macro_f1: expected one of model"),
        ("\n[slow]\nece = { limit = 1 }", "line 2: [slow]: expected the tables [rows], [fast]"),
        ("ece = 1", "expected the tables [rows]"),
        ("[fast]\nece = 0.1", "line 2: [fast] ece: expected { limit = 0.1, margin = 0.1 }"),
        ("[fast]\n\nece = { limit = 'low' }", "line 3: [fast] ece: expected limit to be a number"),
        ("[fast]\nece = { limit = true }", "limit to be a number, found True"),
        ("[fast]\nece = { margin = nan }", "margin to be a number, found nan"),
        ("[fast]\nece = { most = 1 }", "line 2: [fast] ece: expected { limit"),
        ("[fast]\nece = { }", "line 2: [fast] ece: expected { limit"),
        ("[fast]\nspeed = { limit = 9 }", "line 2: [fast] speed: expected { margin = 0.1 }"),
        ("[fast.ece]\nlimit = 'x'", "line 1: [fast] ece: expected limit to be a number"),
        ("[fast]\n'any.f3' = { limit = 1 }", "line 2: [fast] any.f3: expected one of"),
        ("[fast]\nany.f3 = { limit = 1 }", "[fast] any.f3: expected one of"),
        ("[rows]\nleast = 'x'\n[fast]", "line 2: [rows] least: expected a whole number"),
        ("[rows]\nmost = 1\n[fast]", "line 2: [rows] most: expected least or"),
        ("rows = 1", "expected a table of least"),
    ],
)
def test_a_wrong_file_is_named_with_line_and_key(gates, text, found):
    with pytest.raises(GatesError) as error:
        gates(text)
    assert found in str(error.value)


def test_a_name_with_a_dot_may_do_without_quotes(gates):
    quoted = gates("[fast]\n'any.f1' = { limit = 0.5 }")
    assert gates("[fast]\nany.f1 = { limit = 0.5 }") == quoted
    assert gates("[fast.any.f1]\nlimit = 0.5") == quoted


def test_no_file_is_named(tmp_path):
    with pytest.raises(GatesError, match=r"none\.toml: expected a readable file of gates"):
        read(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(GatesError, match=r"bytes\.toml: expected a readable file"):
        read(tmp_path / "bytes.toml")


def test_numbers_are_short():
    assert [number(x) for x in (None, 0.12345, 15.66, 2307.4)] == ["–", "0.123", "15.7", "2,307"]
    assert number(math.pi) == "3.142"
