"""Documents that tasks have in other words are found where they stand in different sets."""

from __future__ import annotations

from datasets import Dataset

from tsugiki.canonical import digest_bytes
from tsugiki.config.items import Items
from tsugiki.contracts.document_sets import DocumentSets
from tsugiki.evaluate.documents import SourceDocuments, divide
from tsugiki.evaluate.overlap import (
    SourceFacts,
    crossings,
    overlap_faults,
    overlap_notes,
    texts_of,
)

COUNT = 1000
SIZES = Items(search=200, validation=200, test=600)


def questions(task: str, count: int = COUNT) -> list[dict[str, str]]:
    """Documents with a question that every task has, and something of the task's own."""
    return [
        {"question": f"What is {n} plus 1?", "prompt": f"{task}: {n}", "id": f"q{n}"}
        for n in range(count)
    ]


def divided(
    tasks: dict[str, list[dict[str, str]]], keys: dict[str, list[str]] | None = None
) -> DocumentSets:
    """The division of documents by their content, or by keys."""
    known = {
        task: SourceDocuments(
            [digest_bytes(repr(one).encode()) for one in found], (keys or {}).get(task)
        )
        for task, found in tasks.items()
    }
    return divide(known, objectives=set(tasks), sizes=SIZES, seed=1)


def crossed(sets: DocumentSets, first: str, second: str) -> int:
    """Search documents of the first task whose question is in the other's test set, by their places."""
    test = {one.id for one in sets.tasks[second].test}
    return sum(one.id in test for one in sets.tasks[first].search)


def test_variants_of_one_data_set_are_a_fault_with_the_number_and_the_fix() -> None:
    """Another prompt makes other bytes, and so other sets: about 200 x 600 / 1000 = 120 are in both."""
    tasks = {"a": questions("a"), "b": questions("b")[::-1]}
    sets = divided(tasks)
    facts = {task: SourceFacts(COUNT, texts_of(found)) for task, found in tasks.items()}
    found = list(crossings(sets, facts))
    leaked = sum(
        COUNT - 1 - one.id in {other.id for other in sets.tasks["b"].test}
        for one in sets.tasks["a"].search
    )
    assert 90 < leaked < 150
    (fault,) = overlap_faults(found)
    assert f"{leaked} of the 200 search documents of a are in the test set of b" in str(fault)
    assert "document_keys: {a: question, b: question}" in str(fault)
    assert list(overlap_notes(found)) == []


def test_the_fix_that_is_told_is_one() -> None:
    """With keys, equal questions are in equal sets, and nothing is found any more."""
    tasks = {"a": questions("a"), "b": questions("b")[::-1]}
    keys = {task: [one["question"] for one in found] for task, found in tasks.items()}
    facts = {task: SourceFacts(COUNT, texts_of(found)) for task, found in tasks.items()}
    assert list(crossings(divided(tasks, keys), facts)) == []
    named = {task: [str(n) for n in range(COUNT)] for task in tasks}
    sets = divided({"a": questions("a"), "b": questions("b")}, named)
    assert crossed(sets, "a", "b") == 0


def test_documents_at_one_place_of_one_data_set_are_a_fault() -> None:
    """Where no text is the same, as of two columns of one data set."""
    sets = divided({"a": questions("a"), "b": questions("b")})
    one = SourceFacts(COUNT, family="sums", data="sums, main, test")
    (fault,) = overlap_faults(list(crossings(sets, {"a": one, "b": one})))
    leaked = crossed(sets, "a", "b")
    assert leaked > 90
    assert f"{leaked} of the 200 search documents of a are in the test set of b" in str(fault)
    assert 'document_keys: {a: "#", b: "#"}' in str(fault)


def test_parts_of_one_data_set_that_are_as_long_may_be_translations() -> None:
    """They are told, and refuse nothing; keys for both are the answer."""
    sets = divided({"en": questions("en"), "ja": questions("ja")})
    facts = {
        name: SourceFacts(COUNT, family="sums", data=f"sums, {name}, test") for name in ("en", "ja")
    }
    found = list(crossings(sets, facts))
    assert list(overlap_faults(found)) == []
    (note,) = overlap_notes(found)
    assert note.endswith('say so: `document_keys: {en: "#", ja: "#"}`')
    assert list(crossings(sets, facts, frozenset(facts))) == []
    longer = facts | {"ja": SourceFacts(COUNT + 1, family="sums", data="sums, ja, test")}
    assert list(crossings(sets, longer)) == []


def test_names_of_documents_and_a_few_equal_texts_are_no_fault() -> None:
    """Two data sets may both have a document `q17`, and one question in common."""
    other = [
        {"question": f"Who wrote book {n}?", "prompt": "", "id": f"q{n}"} for n in range(COUNT)
    ]
    tasks = {"a": questions("a"), "b": other}
    facts = {task: SourceFacts(COUNT, texts_of(found)) for task, found in tasks.items()}
    assert list(crossings(divided(tasks), facts)) == []
    for n in range(40):
        other[n]["question"] = tasks["a"][n]["question"]
    facts["b"] = SourceFacts(COUNT, texts_of(other))
    found = list(crossings(divided(tasks), facts))
    assert list(overlap_faults(found)) == []
    (note,) = overlap_notes(found)
    assert "share 40 documents, by their text in the column 'question'" in note


def test_only_columns_of_text_are_read_of_a_data_set() -> None:
    """Images beside them are not decoded."""
    rows = [{"question": "How many?", "n": 1, "of": ["a"]}, {"question": "Who?", "n": 2, "of": []}]
    assert (
        texts_of(rows) == texts_of(Dataset.from_list(rows)) == {"question": ["How many?", "Who?"]}
    )
    assert texts_of([]) == {}
