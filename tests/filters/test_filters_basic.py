"""StarCoder's rules, each on both sides of its limit, and how settings are layered."""

from __future__ import annotations

import pytest
from filter_batches import batch, reasons
from pydantic import ValidationError

from pipelines.filters.basic import BasicFilter, BasicSettings
from pipelines.filters.basic_rules import BUILT_IN, Rules

GOOD = "def f(x):\n    return x + 1\n"


def check(texts: list[str], language: str | list[str] = "python", kind: str | list[str] = "code", **settings: object) -> list[str]:
    filter_ = BasicFilter(BasicSettings.model_validate(settings), [])
    return reasons(filter_.check, batch(texts, language=language, kind=kind))


def test_longest_line() -> None:
    short = "word " * 10 + "\n"
    texts = [short * 30 + "x" * n + "\n" for n in (1000, 1001)]
    assert check(texts) == ["", "the longest line has 1001 characters; at most 1000 wanted (filters.basic.max_line_length)"]
    assert check([texts[1].replace("x", "é")])[0].startswith("the longest line has 1001 characters")


def test_mean_line() -> None:
    texts = ["x" * 100 + "\n" + "y" * 100, "x" * 100 + "\n" + "y" * 101]
    words = "lines have 100.5 characters on average; at most 100 wanted (filters.basic.max_mean_line_length)"
    assert check(texts) == ["", words]


def test_letters_and_digits() -> None:
    texts = ["a+++", "a++++", "é+++", "中+++", "²+++", "😀+++"]
    found = check(texts)
    assert [bool(each) for each in found] == [not (sum(map(str.isalnum, text)) / len(text) >= 0.25) for text in texts]
    assert found[1] == "the share of letters and digits is 0.2; at least 0.25 wanted (filters.basic.min_alphanumeric)"


def test_xml_under_another_name() -> None:
    declaration = '<?xml version="1.0"?>\n' + "<a>words and words</a>\n" * 5
    texts = [declaration, "é" * 86 + declaration, "é" * 87 + declaration]
    words = "an XML declaration within the first 100 characters (filters.basic.drop_xml)"
    assert check(texts, max_mean_line_length=0) == [words, words, ""]
    assert check(texts[:1], "xslt") == [""]
    assert check(texts[:1], drop_xml=False) == [""]


@pytest.mark.parametrize("language", [name for name, rules in BUILT_IN.items() if rules.max_line_length == 0])
def test_languages_without_a_line_limit(language: str) -> None:
    text = "word " * 500
    assert check([text], language, max_characters=0, languages={"json": {"max_characters": 0}}) == [""]
    assert check([text])[0] != ""


def test_json_and_yaml_must_be_small_and_wordy() -> None:
    texts = ["a" * 99, "a" * 100, "a" * 5000, "a" * 5001, "a" * 100 + "1" * 100, "a" * 100 + "1" * 101]
    assert [bool(each) for each in check(texts, "json")] == [True, False, False, True, False, True]
    assert "the share of letters is" in check(texts, "json")[5]
    lines = ["\n".join(text[i : i + 50] for i in range(0, len(text), 50)) for text in texts[:3]]
    assert [bool(each) for each in check(lines, "yaml")] == [False, False, True]


def test_shaders_have_shorter_lines() -> None:
    text = "x\n" * 20 + "y" * 501
    assert [bool(each) for each in check([text, text], ["glsl", "c"])] == [True, False]


def test_prose_is_not_checked_unless_asked_for() -> None:
    assert check(["+" * 50], kind="prose") == [""]
    assert check(["+" * 50], kind="prose", kinds=["code", "prose"])[0] != ""
    mixed = check([GOOD, "+" * 50, "+" * 50, GOOD], kind=["code", "prose", "code", "prose"])
    assert [bool(each) for each in mixed] == [False, False, True, False]


def test_settings_come_in_layers() -> None:
    settings = BasicSettings(
        max_line_length=10, languages={"markdown": Rules(max_line_length=20), "python": Rules(min_alphabetic=0.5)}
    )
    assert settings.rules("markdown")["max_line_length"] == 20
    assert settings.rules("markdown")["max_mean_line_length"] == 0
    assert settings.rules("tex")["max_line_length"] == 0
    assert settings.rules("python") == {**settings.rules("go"), "min_alphabetic": 0.5}
    assert settings.rules("go")["max_line_length"] == 10


def test_every_limit_can_be_set_in_general_and_by_language() -> None:
    assert set(Rules.model_fields) <= set(BasicSettings.model_fields)
    with pytest.raises(ValidationError):
        BasicSettings.model_validate({"languages": {"python": {"max_line_lenght": 5}}})


def test_an_empty_text_has_no_letters() -> None:
    assert "share of letters and digits is 0" in check([""])[0]
    assert check([""], min_alphanumeric=0.0) == [""]
    assert check([]) == []
