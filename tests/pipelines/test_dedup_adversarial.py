"""Corpora made to break dedup: what is right comes out, and the work grows with the corpus and not with its square."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from dedup_runs import (
    ENGINE,
    NGRAM,
    Document,
    Removal,
    by_the_rule,
    kept_by_curate,
    recipe_values,
    removals,
    run_dedup,
    shingle_set,
    write_documents,
)

from dedup.config import DedupSettings
from pipelines.curate import curate
from pipelines.dedup import dedup
from pipelines.recipe import Recipe

MANY = 100_000

WORDS = [f"word{i:02d}" for i in range(100)]


def respaced(number: int) -> str:
    """WORDS, always with the same shingles; no two numbers give the same bytes, and all give as many."""
    return "".join(word + ("\n" if number >> place & 1 else " ") for place, word in enumerate(WORDS))


def with_boilerplate(name: str, shared: int = 90) -> str:
    """100 words of which the first `shared` are always the same: 86 of 96 shingles by default, so a similarity of 86 / 106."""
    return " ".join([*WORDS[:shared], *(f"{name}x{i}" for i in range(100 - shared))])


def respelled(count: int) -> Iterator[Document]:
    """By turns the same bytes, and the same words with blanks of their own. One of the former has stars, so it is to stay."""
    for i in range(count // 2):
        yield Document(f"same{i}", respaced(0), stars=1 if i == count // 3 else None)
        yield Document(f"respaced{i}", respaced(i + 1))


@pytest.mark.slow
def test_of_100_000_equal_files_one_stays(tmp_path: Path) -> None:
    pairs = {}
    for count in (MANY // 4, MANY):
        corpus = write_documents(tmp_path / f"{count}.parquet", respelled(count))
        made = run_dedup(recipe_values(corpus), tmp_path / f"run{count}")
        pairs[count] = made.totals["candidate_pairs"]
    found = removals(tmp_path / f"run{MANY}")
    keeper = f"same{MANY // 3}"
    exact = {f"same{i}": Removal(keeper, 1.0, "exact") for i in range(MANY // 2) if i != MANY // 3}
    assert found == exact | {f"respaced{i}": Removal(keeper, 1.0, "near") for i in range(MANY // 2)}
    assert made.statistics["largest_clusters"][0]["documents"] == MANY
    check_growth(pairs)


def check_growth(pairs: dict[int, int]) -> None:
    """Candidate pairs by number of documents: four times the documents, all in the same buckets, give at most four times the pairs."""
    assert pairs[MANY] <= 4 * pairs[MANY // 4]
    assert pairs[MANY] <= 1.5 * DedupSettings().bucket_cap * MANY


def planted(count: int) -> list[Document]:
    """Pairs: a document, and one with a last word or two of its own. They share 95 of 97 shingles, or 94 of 98."""
    texts = [(with_boilerplate(f"pair{i}"), i) for i in range(count)]
    changed = [(text.rsplit(" ", 1 + i % 2)[0] + " other" * (1 + i % 2), i) for text, i in texts]
    return [
        *(Document(f"original{i}", text, stars=1) for text, i in texts),
        *(Document(f"changed{i}", text) for text, i in changed),
    ]


@pytest.mark.slow
def test_of_100_000_files_of_90_percent_boilerplate_only_the_duplicates_go(tmp_path: Path) -> None:
    """Any two are similar to 0.81, and the 200 pairs among them, to 0.95 and more, share all crowded buckets with all others."""
    pairs = {}
    for count in (MANY // 4, MANY):
        documents = [Document(f"file{i}", with_boilerplate(f"file{i}")) for i in range(count - 400)] + planted(200)
        random.Random(0).shuffle(documents)
        corpus = write_documents(tmp_path / f"{count}.parquet", documents)
        made = run_dedup(recipe_values(corpus, threshold=0.85), tmp_path / f"run{count}")
        pairs[count] = made.totals["candidate_pairs"]
        assert made.totals["measured_pairs"] >= 10 * count  # nothing spared it the work
        found = removals(tmp_path / f"run{count}")
        assert len(found) >= 198
        assert all(each == removed_for(path) for path, each in found.items())
    check_growth(pairs)


def removed_for(path: str) -> Removal:
    original = path.replace("changed", "original")
    similarity = 94 / 98 if int(path.removeprefix("changed")) % 2 else 95 / 97
    return Removal(original, pytest.approx(similarity, abs=1e-6), "near")


def test_boilerplate_is_as_similar_as_is_said() -> None:
    one, two, changed_one, changed_two = (shingle_set(each.text) for each in planted(2))
    assert len(one & changed_one) / len(one | changed_one) == 95 / 97
    assert len(two & changed_two) / len(two | changed_two) == 94 / 98
    for other in (two, changed_two, shingle_set(with_boilerplate("file0"))):
        assert len(one & other) / len(one | other) == 86 / 106


def chain(length: int, seed: int) -> list[Document]:
    """Windows over a run of words, of which the next begins ten words later: neighbours share 86 of 106 shingles, others 76 of 116."""
    words = [f"w{i:06d}" for i in range(10 * length + 90)]
    places = list(range(length))
    random.Random(seed).shuffle(places)
    return [Document(f"link{i}", " ".join(words[10 * i : 10 * i + 100]), stars=places[i]) for i in range(length)]


@pytest.mark.parametrize("components", ["scipy", "stars"])
@pytest.mark.parametrize("ordered", [False, True])
def test_a_chain_does_not_collapse(tmp_path: Path, components: str, ordered: bool) -> None:
    """Greedy, in an order at random, and along the chain, where every second link stays. The whole chain is one component."""
    documents = chain(2_000, seed=1)
    if ordered:
        documents = [each._replace(stars=i) for i, each in enumerate(documents)]
    corpus = write_documents(tmp_path / "code.parquet", documents)
    run_dedup(recipe_values(corpus, exchange={"components": components}), tmp_path / "run")
    found = removals(tmp_path / "run")
    assert found == by_the_rule(kept_by_curate(tmp_path / "run"), {each.path: each.text for each in documents}, 0.7)
    assert 700 <= len(found) <= 1_300
    assert not ordered or found.keys() == {f"link{i}" for i in range(0, 2_000, 2)}
    assert all(abs(int(path[4:]) - int(each.keeper[4:])) == 1 for path, each in found.items())


def test_a_licence_header_makes_no_duplicates(tmp_path: Path) -> None:
    """3,000 short files with 60 words of header: similarity 56 / 104, in buckets of hundreds; and every tenth with a true copy."""
    rng = random.Random(2)
    header = " ".join(WORDS[:60])
    bodies = [" ".join(f"b{rng.randrange(10**9)}" for _ in range(24)) for _ in range(5_000)]
    documents = [Document(f"file{i}", f"{header} {body}", stars=1) for i, body in enumerate(bodies)]
    documents += [Document(f"copy{i}", f"{header}\n{bodies[i]}") for i in range(0, 3_000, 10)]
    made = run_dedup(recipe_values(write_documents(tmp_path / "code.parquet", documents)), tmp_path / "run")
    assert removals(tmp_path / "run") == {f"copy{i}": Removal(f"file{i}", 1.0, "near") for i in range(0, 3_000, 10)}
    assert made.totals["candidate_pairs"] <= 200 * len(documents)


def test_short_documents_are_only_ever_exact_duplicates(tmp_path: Path) -> None:
    """Of each number of words: two equal ones, one with other blanks, one with a word more in front; and the beginnings of a longer one."""
    documents = [Document(f"{count}begin", " ".join(WORDS[:count])) for count in range(1, 11)]
    for count in range(11):
        text = " ".join(f"n{count}w{i}" for i in range(count))
        documents += [
            Document(f"{count}a", text, stars=2),
            Document(f"{count}b", text),
            Document(f"{count}c", f"{text} \n", stars=1),
        ]
        documents.append(Document(f"{count}d", f"{'#' * count}alone {text}!"))
    run_dedup(recipe_values(write_documents(tmp_path / "code.parquet", documents)), tmp_path / "run")
    found = removals(tmp_path / "run")
    assert found == by_the_rule(kept_by_curate(tmp_path / "run"), {each.path: each.text for each in documents}, 0.7)
    for count in range(11):
        assert found[f"{count}b"] == Removal(f"{count}a", 1.0, "exact")
        assert found.get(f"{count}c") == (Removal(f"{count}a", 1.0, "near") if count >= NGRAM else None)
    assert {path for path, each in found.items() if each.kind == "near"} >= {"8d", "9d", "10d", "9begin"}
    assert not [path for path, each in found.items() if each.kind == "near" and path.startswith(("0", "1b", "1c", "2", "3", "4"))]


def test_nothing_but_empty_documents(tmp_path: Path) -> None:
    documents = [Document(f"{i}", "") for i in range(5)] + [Document("blank", " \n")]
    run_dedup(recipe_values(write_documents(tmp_path / "code.parquet", documents)), tmp_path / "run")
    found = removals(tmp_path / "run")
    assert len(found) == 4
    assert {each[1:] for each in found.values()} == {(1.0, "exact", "")}
    assert "blank" not in found


def test_nothing_was_kept_to_compare(tmp_path: Path) -> None:
    corpus = write_documents(tmp_path / "code.parquet", [Document("a", "word " * 20), Document("b", "word " * 20)])
    values = recipe_values(corpus)
    values["filters"] = {"size": {"min_bytes": 10**6}, "license": {"enabled": False}, "basic": {"enabled": False}}
    made = run_dedup(values, tmp_path / "run")
    assert made.totals["in"] == made.totals["removed"] == made.totals["candidate_pairs"] == 0


@pytest.mark.slow
def test_a_document_of_50_mb_in_a_part_of_its_own(tmp_path: Path) -> None:
    """Besides an exact copy, and one in which 1,000 words far apart are others: each takes 5 of the shingles away, and brings 5."""
    words = [f"w{i:08d}" for i in range(5_000_000)]
    text = " ".join(words)
    words[::5_000] = [f"x{i:08d}" for i in range(1_000)]
    edge = 1  # the first word is in one shingle only
    shared, whole = 4_999_996 - 999 * NGRAM - edge, 4_999_996 + 999 * NGRAM + edge
    documents = [Document("large", text, stars=2), Document("copy", text), Document("changed", " ".join(words), stars=1)]
    documents += [Document(f"small{i}", " ".join(WORDS[20 * i : 20 * i + 20])) for i in range(3)]
    corpus = write_documents(tmp_path / "code.parquet", documents, rows_a_group=1)
    run_dedup(recipe_values(corpus), tmp_path / "run")
    found = removals(tmp_path / "run")
    assert found.pop("copy") == Removal("large", 1.0, "exact")
    assert found.pop("changed") == Removal("large", pytest.approx(shared / whole, abs=1e-7), "near")
    assert not found
    rows = sorted(pq.read_metadata(path).num_rows for path in (tmp_path / "run/curate/documents").iterdir())
    assert rows[:3] == [1, 1, 1]


STRANGE = {
    "four bytes": "𐍈𐍉 𝔘𝔫𝔦 🦀🦀 𠜎𠜱 🧑‍🚀 " * 4,
    "right to left": "\u202eabc\u202c \u2067אבג\u2069 \u200fשלום\u200f עולם ועוד מילה " * 4,
    "only marks": "\u200f\u200e\u202e" * 1000,
    "marks between blanks": "\u200f \u200e \u202e \u2066 \u2069 \u200d \ufeff",
    "accents": "e\u0301 a\u0300 o\u0302 u\u0308 n\u0303 c\u0327 " * 3,
    "the same, composed": "é à ô ü ñ ç " * 3,
    "control characters": "\x01 \x02 \x1b[31mred\x1b]0;title\x07 one two three four five\x7f",
    "line ends": "one\r\ntwo\rthree\u2028four\u2029five\x0bsix\x0cseven\x85eight",
    "a word of 10 MB": "a" * 10_000_000,
    "a word of 10 MB, one letter longer": "a" * 10_000_001,
    "separators of 5 MB": " \n\t;" * 1_250_000,
    "a million times the same word": "again " * 1_000_000,
    "five times the same word": "again " * 5,
    "four times the same word": "again " * 4,
}


def test_strange_texts_and_ids_follow_the_rule(tmp_path: Path) -> None:
    """Each text twice; lone surrogates and NULs, which are no text, go before: they are quarantined."""
    names = [
        "plain",
        "a/../b\\c",
        "line\nend",
        "tab\t",
        "'; drop table",
        "",
        " ",
        "\u202e",
        "🦀" * 50,
        "x" * 5_000,
        "漢",
        "\x1b[31m",
    ]
    rows = [
        {"path": f"{name}|{copy}|{names[(at + copy) % len(names)]}", "text": text, "stars": copy}
        for at, (name, text) in enumerate(STRANGE.items())
        for copy in range(2)
    ]
    lines = [json.dumps(row, ensure_ascii=at % 2 == 0) for at, row in enumerate(rows)]
    lines += ['{"path": "surrogate", "text": "\\ud800 is no text"}', '{"path": "nul", "text": "nor is \\u0000"}']
    corpus = tmp_path / "code.jsonl"
    corpus.write_text("".join(f"{line}\n" for line in lines))
    values = recipe_values(corpus) | {"max_quarantined": 0.1}
    fields = {"text": "text", "path": "path", "stars": "stars"}
    values["source"] = [{"name": "code", "type": "jsonl", "path": str(corpus), "fields": fields}]
    recipe = Recipe(**values)
    assert curate(recipe, str(tmp_path / "run"), ENGINE).totals["quarantined"] == 2
    dedup(recipe, str(tmp_path / "run"), "", ENGINE)
    found = removals(tmp_path / "run")
    texts = {str(row["path"]): str(row["text"]) for row in rows}
    assert found == by_the_rule(kept_by_curate(tmp_path / "run"), texts, 0.7)
    assert {path.split("|")[0] for path, each in found.items() if each.kind == "exact"} >= STRANGE.keys() - {
        "five times the same word",
        "a million times the same word",
    }


def test_documents_of_one_id_and_one_text_are_counted_one_by_one(tmp_path: Path) -> None:
    """A corpus may hold the same file under the same name again. All have one doc_id: one stays, whichever part it is in."""
    text = " ".join(WORDS)
    documents = [Document("same", text) for _ in range(40)] + [Document(f"other{i}", f"{text} {i}", stars=1) for i in range(2)]
    corpus = write_documents(tmp_path / "code.parquet", documents, rows_a_group=4)
    made = run_dedup(recipe_values(corpus, part_bytes=4_000), tmp_path / "run")
    assert len(list((tmp_path / "run/curate/documents").iterdir())) > 5
    assert made.totals["removed"] == 41
    rows = pq.read_table(tmp_path / "run/dedup/removals").to_pylist()
    assert len(rows) == 41
    assert len({row["doc_id"] for row in rows}) == 2
    assert len({row["keeper_id"] for row in rows}) == 1
