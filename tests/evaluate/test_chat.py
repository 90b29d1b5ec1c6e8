"""Prompts of chats, compared with those of lm-eval's own `simple_evaluate`; whose templates and ends are used."""

from __future__ import annotations

import json
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import lm_eval
import pytest
import transformers
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from tokenizers import AddedToken, Tokenizer
from tokenizers.processors import TemplateProcessing

from tests.evaluate.sighted_models import llava
from tests.evaluate.vllm_backend.stand_in import StandInParams
from tests.parents.checkpoints import VOCABULARY, write_llama, write_tokenizer
from tests.runs_for_tests import raw_config, start_run, write_parents, write_tasks
from tsugiki.config.evaluation import Evaluation
from tsugiki.config.load import dump_config, parse_config
from tsugiki.config.validate import validate_config
from tsugiki.errors import ConfigError
from tsugiki.evaluate.candidate_model import CandidateModel
from tsugiki.evaluate.chat import OWN, at_date, ends_of, open_chat
from tsugiki.evaluate.evaluators.harness import Harness
from tsugiki.evaluate.language_model import LanguageModel
from tsugiki.evaluate.vllm_backend.language_model import VllmLanguageModel
from tsugiki.parents.between import template_lender
from tsugiki.parents.run_models import RunModels
from tsugiki.report.page import write_report
from tsugiki.steps.best import write_model
from tsugiki.steps.chats import describe_chats

LLAMA_2 = """{{ bos_token }}{% for message in messages %}{% if message['role'] == 'system' %}\
[INST] w50 {{ message['content'] }} w51 {% elif message['role'] == 'user' %}{{ message['content'] }} [/INST]\
{% else %} {{ message['content'] }} {{ eos_token }}{% endif %}{% endfor %}"""
CHATML = """{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] \
+ '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""
QWEN_3 = (
    CHATML
    + """{% if add_generation_prompt and enable_thinking is defined and enable_thinking is false %}\
{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}"""
)
"""The ways in which they write BOS, turns, and a closed thinking part are those of the models' own."""
MARKS = ("<|im_start|>", "<|im_end|>", "<think>", "</think>")


def write_chat_tokenizer(folder: Path, template: str | None) -> None:
    """A tokenizer with the tokens of chats, which begins each text with BOS."""
    write_tokenizer(folder, VOCABULARY[: -len(MARKS)], template)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_special_tokens([AddedToken(one, special=True) for one in ("<s>", "</s>")])
    tokenizer.add_special_tokens([AddedToken(one, special=True) for one in MARKS[:2]])
    tokenizer.add_tokens([AddedToken(one, special=False) for one in MARKS[2:]])
    tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer.save(str(folder / "tokenizer.json"))


SHOTS = """fewshot_config:
  sampler: first_n
  samples:
    - {prompt: "w1 w2", target: "w3"}
    - {prompt: "w4 w5", target: "w6"}
"""


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The task `words` with a description and two solved examples."""
    folder = write_tasks(tmp_path_factory.mktemp("tasks") / "tasks", shots=2)
    path = folder / "words.yaml"
    path.write_text(path.read_text() + 'description: "w7 w8"\n' + SHOTS)
    return folder


def section(tasks: Path, **changes: Any) -> dict[str, Any]:
    """An evaluation of the task."""
    return {
        "task_paths": [str(tasks)],
        "objectives": [{"name": "even", "task": "words", "metric": "even,none"}],
        "items": {"search": 8, "validation": 5, "test": 6},
        "batch_size": 4,
        "device": "cpu",
        "apply_chat_template": True,
        **changes,
    }


def model_of(folder: Path, template: str) -> tuple[Any, Any]:
    """A tiny model and its tokenizer."""
    write_llama(folder)
    write_chat_tokenizer(folder, template)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = tokenizer.eos_token
    return transformers.AutoModelForCausalLM.from_pretrained(folder), tokenizer


@pytest.mark.parametrize(
    ("template", "ours"),
    [
        (LLAMA_2, {"system_instruction": "w9"}),
        (CHATML, {"system_instruction": "w9", "fewshot_as_multiturn": False}),
        (CHATML, {"gen_prefix": "w10"}),
        (QWEN_3, {"chat_template_args": {"enable_thinking": False}}),
        (QWEN_3, {"chat_template_args": {"enable_thinking": True}}),
    ],
)
def test_prompts_are_lm_evals_and_have_one_bos_with_either_backend(
    tmp_path: Path, tasks: Path, template: str, ours: dict[str, Any]
) -> None:
    """Whether the template writes it or the tokenizer."""
    live, tokenizer = model_of(tmp_path / "model", template)
    config = parse_config(
        raw_config(
            write_parents(tmp_path / "m"), tasks, tmp_path, evaluation=section(tasks, **ours)
        ),
        where="test",
    ).evaluation
    settings = {"chat_template_args": config.chat_template_args}
    reference = HFLM(pretrained=live, tokenizer=tokenizer, batch_size=4, **settings)
    theirs = shutil.copytree(tasks, tmp_path / "theirs")
    if config.gen_prefix:  # which lm-eval takes from the task alone
        with (theirs / "words.yaml").open("a") as file:
            file.write(f"gen_prefix: {config.gen_prefix}\n")
    manager = TaskManager(include_path=str(theirs), include_defaults=False)
    results = lm_eval.simple_evaluate(
        reference,
        tasks=["words"],
        task_manager=manager,
        limit=3,
        bootstrap_iters=0,
        apply_chat_template=True,
        fewshot_as_multiturn=config.multiturn,
        system_instruction=config.system_instruction,
    )
    expected = {one["doc_id"]: one["arguments"][0][0] for one in results["samples"]["words"]}
    model = LanguageModel(live, tokenizer, batch_size=4, **settings)
    asked = Harness(config).requests(model, "words", [0, 1, 2])
    assert [one.args[0] for one in asked] == [expected[index] for index in range(3)]
    assert "w1 w2" in expected[0]
    vllm = VllmLanguageModel(None, StandInParams, tokenizer, ends=[2], max_length=128, **settings)
    for one in asked:
        ids, _ = model.tok_batch_encode([one.args[0]])
        assert ids[0].tolist() == vllm._encoded(one.args[0])
        assert ids[0].tolist().count(tokenizer.bos_token_id) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"system_instruction": "w9"},
        {"fewshot_as_multiturn": False},
        {"gen_prefix": "w10"},
    ],
)
def test_settings_of_prompts_are_part_of_the_identity_where_they_are_set(
    tmp_path: Path, tasks: Path, change: dict[str, Any]
) -> None:
    """And leave no trace where they are not."""
    models = write_parents(tmp_path / "models")
    plain, other = (
        parse_config(
            raw_config(models, tasks, tmp_path, evaluation=section(tasks, **changes)), where="test"
        )
        for changes in ({}, change)
    )
    identity = Harness(plain.evaluation).identity()
    assert Harness(other.evaluation).identity() == {**identity, **change}
    (name,) = change
    assert name not in identity
    assert name not in dump_config(plain).decode()


def chat_run(tmp_path: Path, tasks: Path, **changes: Any) -> Any:
    """A run whose parent b alone has a chat template, and ends its turns with a token of its own."""
    models = write_parents(tmp_path / "models")
    for name in ("base", "a", "b"):
        write_chat_tokenizer(models / name, CHATML if name == "b" else None)
    end = {"eos_token_id": 61, "repetition_penalty": 1.5}
    (models / "b" / "generation_config.json").write_text(json.dumps(end))
    raw = raw_config(models, tasks, tmp_path / "results", evaluation=section(tasks, **changes))
    return parse_config(raw, where="test"), {one: models / one for one in ("base", "a", "b")}


def test_where_the_owner_has_no_template_that_of_the_parent_with_one_is_used(
    tmp_path: Path, tasks: Path
) -> None:
    """With the tokens at which it ends its turns."""
    config, folders = chat_run(tmp_path, tasks)
    chat = open_chat(config, folders)
    assert (chat.source, chat.template) == ("b", CHATML)
    assert chat.ends == (2, 61)
    files = chat.files(folders["base"])
    assert files["chat_template.jinja"].decode() == CHATML
    assert json.loads(files["generation_config.json"]) == {"eos_token_id": [2, 61]}
    (folders["base"] / "chat_template.jinja").write_text(LLAMA_2)
    assert open_chat(config, folders) == OWN
    assert OWN.files(folders["base"]) == {}
    assert OWN.identity(config, {"base": folders["base"]}) == {}


def test_a_template_may_be_another_parents_or_a_files(tmp_path: Path, tasks: Path) -> None:
    """And is part of the identity by its text."""
    file = tmp_path / "mine.jinja"
    file.write_text(LLAMA_2)
    config, folders = chat_run(tmp_path, tasks, chat_template=str(file))
    mine = open_chat(config, folders)
    assert (mine.template, mine.ends) == (LLAMA_2, ())
    file.write_text(CHATML)
    assert open_chat(config, folders).identity(config, {}) != mine.identity(config, {})
    config, folders = chat_run(tmp_path / "other", tasks, chat_template="a")
    with pytest.raises(ConfigError, match="`a` has no chat template"):
        open_chat(config, folders)


@pytest.mark.parametrize("name", ["c", "nothing.jinja"])
def test_a_template_that_is_not_there_is_a_fault(tmp_path: Path, tasks: Path, name: str) -> None:
    """Before anything is read."""
    config, _ = chat_run(tmp_path, tasks, chat_template=name)
    with pytest.raises(ConfigError, match=r"evaluation\.chat_template"):
        validate_config(config, where="test")


def test_a_template_without_a_chat_is_refused(tmp_path: Path, tasks: Path) -> None:
    """It would mean nothing."""
    with pytest.raises(ConfigError, match="needs `apply_chat_template: true`"):
        chat_run(tmp_path, tasks, chat_template="b", apply_chat_template=False)


def test_answers_and_the_written_model_end_at_the_tokens_of_all_parents(
    tmp_path: Path, tasks: Path
) -> None:
    """In stock transformers, without the lender's other settings; and the end is no part of an answer."""
    config, _ = chat_run(tmp_path, tasks, apply_chat_template=False, end_tokens="parents")
    run = start_run(config.model_dump(mode="json"))
    folders = {one: tmp_path / "models" / one for one in ("base", "a", "b")}
    chat = open_chat(config, folders)
    recipe = run.recipe(weight=0.5)
    out = tmp_path / "out"
    write_model(config, recipe, RunModels(folders, run.digests), out)
    stock = transformers.AutoModelForCausalLM.from_pretrained(out)
    assert stock.generation_config.eos_token_id == [2, 61]
    assert stock.generation_config.repetition_penalty != 1.5
    live, _ = CandidateModel(folders, run.digests, config.evaluation, chat=chat).build(recipe)
    assert live.model.generation_config.eos_token_id == [2, 61]
    assert ends_of(out) == [2, 61]


def test_the_report_says_whose_template_and_ends_the_merged_model_has(
    tmp_path: Path, tasks: Path
) -> None:
    """The owner of all else, the parent that lends the template, and the tokens with their ids."""
    config, folders = chat_run(tmp_path, tasks)
    run = start_run(config.model_dump(mode="json"))
    said = " ".join(describe_chats(run.files, run.config))
    assert "tokenizer and generation settings of base." in said
    assert "chat template of b, applied to every prompt." in said
    assert "end at the tokens </s> (2) <|im_end|> (61)." in said
    assert said in write_report(run.files, run.config, [said]).read_text().replace(
        "&lt;", "<"
    ).replace("&gt;", ">")
    shutil.rmtree(folders["b"])
    assert len(describe_chats(run.files, run.config)) == 1, "no more than what is known without it"


DAY = date(2026, 3, 7)

DATED = """{{- bos_token }}
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


def tokenizer_with(folder: Path, template: str) -> transformers.PreTrainedTokenizerBase:
    """A tokenizer with a chat template."""
    write_tokenizer(folder, VOCABULARY)
    (folder / "chat_template.jinja").write_text(template)
    return transformers.AutoTokenizer.from_pretrained(folder)


def written(tokens: transformers.PreTrainedTokenizerBase) -> str:
    """What the template writes, as lm-eval asks for it."""
    return str(tokens.apply_chat_template(CHAT, tokenize=False, add_generation_prompt=True))


def dated(tokens: transformers.PreTrainedTokenizerBase, day: date | None = DAY) -> None:
    """Let a tokenizer write a run's date."""
    OWN.apply(tokens, Evaluation.model_construct(date=day))


def test_a_template_writes_the_runs_date(tmp_path: Path) -> None:
    """Not today's."""
    tokens = tokenizer_with(tmp_path, DATED)
    dated(tokens)
    assert written(tokens) == "<s>Today Date: 07 Mar 2026\n\nuser: w1 w2assistant:"


def test_a_run_without_a_date_has_one_all_the_same(tmp_path: Path) -> None:
    """Its items.json was written before dates were recorded."""
    tokens = tokenizer_with(tmp_path, DATED)
    dated(tokens, None)
    assert "Today Date: 26 Jul 2024\n" in written(tokens)


@pytest.mark.parametrize(
    "form", ["%Y-%m-%d", "%A, %B %-d", "%H:%M:%S.%f", "100%% on %j", "%%d is %d", "%c", "no time"]
)
def test_forms_of_dates_are_pythons(tmp_path: Path, form: str) -> None:
    """Also those that a C library adds, and a percent sign that is none."""
    tokens = tokenizer_with(
        tmp_path, "{{ strftime_now('" + form + "') }}|{{ messages[0].content }}"
    )
    dated(tokens)
    assert written(tokens) == DAY.strftime(form) + "|w1 w2"


@pytest.mark.parametrize(
    "start", ["\n", "\n\n", "  {% if true %}x{% endif %}", "{%- if true %}y{% endif %}", " "]
)
def test_nothing_else_that_a_template_writes_changes(tmp_path: Path, start: str) -> None:
    """White space at its start is stripped or kept as before."""
    template = start + "{# {{ strftime_now('%d') }} #}{{ messages[0].content }}\n  \n"
    plain = written(tokenizer_with(tmp_path, template))
    tokens = tokenizer_with(tmp_path, template)
    dated(tokens)
    assert tokens.chat_template != template
    assert written(tokens) == plain


def test_the_date_is_written_within_macros_too(tmp_path: Path) -> None:
    """They see the names of the template that they stand in."""
    macro = "{% macro head(x) %}{{ x }} {{ strftime_now(format='%d.%m.') }}{% endmacro %}{{ head('on') }}"
    tokens = tokenizer_with(tmp_path, macro + "{{ messages[0].content }}")
    dated(tokens)
    assert written(tokens) == "on 07.03.w1 w2"


def test_each_named_template_gets_the_date(tmp_path: Path) -> None:
    """A tokenizer may have several."""
    tokens = tokenizer_with(tmp_path, DATED)
    tokens.chat_template = {"default": DATED, "tool_use": "{{ messages[0].content }}"}
    dated(tokens)
    assert "07 Mar 2026" in written(tokens)
    assert tokens.chat_template["tool_use"] == "{{ messages[0].content }}"


def test_a_template_without_a_clock_stays_as_it_is() -> None:
    """Byte for byte."""
    assert at_date("{{ messages }} %d", DAY) == "{{ messages }} %d"


def test_the_date_is_part_of_the_identity_only_where_a_template_reads_the_clock(
    tmp_path: Path, tasks: Path
) -> None:
    """Scores that do not depend on it are not made again."""
    config, folders = chat_run(tmp_path, tasks, date=DAY)
    template = "chat_template.jinja"
    (folders["a"] / template).write_text(DATED)
    (folders["b"] / template).write_text("{{ messages }}")
    dated, plain = {"a": folders["a"]}, {"b": folders["b"]}
    assert OWN.identity(config, plain) == {}
    assert OWN.identity(config, dated) == {"date": "2026-03-07"}
    later = config.evaluation.model_copy(update={"date": date(2026, 3, 8)})
    later_run = config.model_copy(update={"evaluation": later})
    assert OWN.identity(later_run, dated) == {"date": "2026-03-08"}
    assert OWN.identity(config, dated | plain).keys() == {"date", "chat_templates"}


def test_the_identity_says_where_a_template_takes_contents_in_parts_alone(
    tmp_path: Path, tasks: Path
) -> None:
    """A vision-language model's; its chats of text once had no text, and such scores are others."""
    config, _ = chat_run(tmp_path, tasks)
    eyes = {"eyes": llava(tmp_path / "eyes")}
    assert OWN.identity(config, eyes) == {"chat_contents": "in parts"}
    (eyes["eyes"] / "chat_template.jinja").write_text(CHATML)
    assert OWN.identity(config, eyes) == {}
    plain = chat_run(tmp_path / "plain", tasks, apply_chat_template=False)[0]
    assert OWN.identity(plain, {"eyes": llava(tmp_path / "eyes")}) == {}


def test_one_rule_says_who_lends_a_template_to_the_run_and_to_its_check(
    tmp_path: Path, tasks: Path
) -> None:
    """The first parent with one, for all stages, once the owner of any stage's tokenizer has none."""
    config, folders = chat_run(tmp_path, tasks)
    stage = config.stages[0]
    space = stage.space.model_copy(update={"tokenizer": "b"})
    both = config.model_copy(
        update={"stages": [stage, stage.model_copy(update={"name": "ps2", "space": space})]}
    )
    (folders["a"] / "chat_template.jinja").write_text(LLAMA_2)
    known = {"base": None, "a": LLAMA_2, "b": CHATML}
    assert [both.owner(one) for one in both.stages] == ["base", "b"]
    assert template_lender(both, known) == open_chat(both, folders).source == "a"
    assert template_lender(both, known | {"base": LLAMA_2}) is None
