"""Dates in chat templates."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
import transformers

from tests.parents.checkpoints import VOCABULARY, write_tokenizer
from tsugiki.evaluate.chat_template import at_date, chat_identity, stop_clock

DAY = date(2026, 3, 7)

LLAMA = """{{- bos_token }}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{{- "Today Date: " + date_string + "\\n\\n" }}
{%- for message in messages %}
    {{- message['role'] + ': ' + message['content'] | trim }}
{%- endfor %}
{%- if add_generation_prompt %}{{- 'assistant:' }}{%- endif %}"""
"""The lines about the date are those of Llama 3.2."""

CHAT = [{"role": "user", "content": "w1 w2"}]


def tokenizer(folder: Path, template: str) -> transformers.PreTrainedTokenizerBase:
    """A tokenizer with a chat template."""
    write_tokenizer(folder, VOCABULARY)
    (folder / "chat_template.jinja").write_text(template)
    return transformers.AutoTokenizer.from_pretrained(folder)


def written(tokens: transformers.PreTrainedTokenizerBase) -> str:
    """What the template writes, as lm-eval asks for it."""
    return str(tokens.apply_chat_template(CHAT, tokenize=False, add_generation_prompt=True))


def test_a_template_writes_the_runs_date(tmp_path: Path) -> None:
    """Not today's."""
    tokens = tokenizer(tmp_path, LLAMA)
    stop_clock(tokens, DAY)
    assert written(tokens) == "<s>Today Date: 07 Mar 2026\n\nuser: w1 w2assistant:"


def test_a_run_without_a_date_has_one_all_the_same(tmp_path: Path) -> None:
    """Its items.json was written before dates were recorded."""
    tokens = tokenizer(tmp_path, LLAMA)
    stop_clock(tokens, None)
    assert "Today Date: 26 Jul 2024\n" in written(tokens)


@pytest.mark.parametrize(
    "form", ["%Y-%m-%d", "%A, %B %-d", "%H:%M:%S.%f", "100%% on %j", "%%d is %d", "%c", "no time"]
)
def test_forms_of_dates_are_pythons(tmp_path: Path, form: str) -> None:
    """Also those that a C library adds, and a percent sign that is none."""
    tokens = tokenizer(tmp_path, "{{ strftime_now('" + form + "') }}|{{ messages[0].content }}")
    stop_clock(tokens, DAY)
    assert written(tokens) == DAY.strftime(form) + "|w1 w2"


@pytest.mark.parametrize(
    "start", ["\n", "\n\n", "  {% if true %}x{% endif %}", "{%- if true %}y{% endif %}", " "]
)
def test_nothing_else_that_a_template_writes_changes(tmp_path: Path, start: str) -> None:
    """White space at its start is stripped or kept as before."""
    template = start + "{# {{ strftime_now('%d') }} #}{{ messages[0].content }}\n  \n"
    plain = written(tokenizer(tmp_path, template))
    tokens = tokenizer(tmp_path, template)
    stop_clock(tokens, DAY)
    assert tokens.chat_template != template
    assert written(tokens) == plain


def test_the_date_is_written_within_macros_too(tmp_path: Path) -> None:
    """They see the names of the template that they stand in."""
    macro = "{% macro head(x) %}{{ x }} {{ strftime_now(format='%d.%m.') }}{% endmacro %}{{ head('on') }}"
    tokens = tokenizer(tmp_path, macro + "{{ messages[0].content }}")
    stop_clock(tokens, DAY)
    assert written(tokens) == "on 07.03.w1 w2"


def test_each_named_template_gets_the_date(tmp_path: Path) -> None:
    """A tokenizer may have several."""
    tokens = tokenizer(tmp_path, LLAMA)
    tokens.chat_template = {"default": LLAMA, "tool_use": "{{ messages[0].content }}"}
    stop_clock(tokens, DAY)
    assert "07 Mar 2026" in written(tokens)
    assert tokens.chat_template["tool_use"] == "{{ messages[0].content }}"


def test_a_template_without_a_clock_stays_as_it_is() -> None:
    """Byte for byte."""
    assert at_date("{{ messages }} %d", DAY) == "{{ messages }} %d"


def test_the_date_is_part_of_the_identity_only_where_a_template_reads_the_clock(
    tmp_path: Path,
) -> None:
    """Scores that do not depend on it are not made again."""
    for name, template in (("dated", LLAMA), ("plain", "{{ messages }}")):
        (tmp_path / name).mkdir()
        tokenizer(tmp_path / name, template)
    dated, plain = tmp_path / "dated", tmp_path / "plain"
    assert chat_identity([plain], DAY) == {}
    assert chat_identity([dated], DAY) == {"date": "2026-03-07"}
    assert chat_identity([dated], date(2026, 3, 8)) != chat_identity([dated], DAY)
    assert chat_identity([dated, plain], DAY).keys() == {"date", "chat_templates"}
