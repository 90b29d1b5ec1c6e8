"""Telling a text's language by its script."""

from __future__ import annotations

import pytest

from tsugiki.evaluate.language import is_in_language, script, share_in_language


@pytest.mark.parametrize(
    ("character", "expected"),
    [
        ("あ", "hiragana"),
        ("ア", "katakana"),
        ("ー", "katakana"),
        ("漢", "han"),
        ("々", "han"),
        ("a", "latin"),
        ("é", "latin"),
        ("Ж", "other"),
        ("7", None),
        ("。", None),
        (" ", None),
        ("×", None),  # noqa: RUF001 - the multiplication sign, inside the block of Latin letters
    ],
)
def test_a_character_has_the_script_of_its_block(character: str, expected: str | None) -> None:
    """Letters have a script; digits, punctuation and spaces have none."""
    assert script(character) == expected


def test_digits_and_signs_do_not_count() -> None:
    """Only the letters of an answer decide."""
    assert share_in_language("3+4=7個です。", "ja") == 1.0
    assert share_in_language("3+4=7 apples.", "ja") == 0.0
    assert share_in_language("3+4=7 apples.", "en") == 1.0


def test_mixed_text_has_the_share_of_its_letters() -> None:
    """Two kana and two Latin letters are half Japanese, which is not more than half."""
    assert share_in_language("ねこ ab", "ja") == 0.5
    assert not is_in_language("ねこ ab", "ja")
    assert is_in_language("ねこ a", "ja")


def test_half_width_katakana_is_japanese_and_full_width_latin_is_latin() -> None:
    """Compatibility forms count as their ordinary counterparts."""
    assert is_in_language("ﾄﾑ", "ja")
    assert is_in_language("ａｂｃ", "en")  # noqa: RUF001


def test_a_text_without_letters_is_in_no_language() -> None:
    """A bare number is neither Japanese nor English, and so is silence."""
    assert not is_in_language("7", "ja")
    assert not is_in_language("7", "en")
    assert share_in_language("", "ja") == 0.0
