"""Several questions about the same features: one reading, one pass through the sparse layer, the same bits."""

import numpy as np
import pytest
from conftest import CATEGORIES

import duckprop
from duckprop import kernels
from duckprop.engine import ENGINES
from duckprop.udfs import udf

ROWS, BATCHES = 5000, 3
QUESTIONS = {
    "propensity": "propensity(features, 'toys')",
    "another category": "propensity(features, 'books')",
    "a category a row": "propensity(features, category)",
    "propensities": "propensities(features, ['toys', 'books'])",
    "propensities of a row's own": "propensities(features, [category, 'music'])",
    "topk": "propensity_topk(features, 3)",
    "topk of a row's own": "propensity_topk(features, 3, [category])",
    "vector": "propensity_vector(features)",
    "embedding": "propensity_embedding(features)",
    "coverage": "propensity_coverage(features)",
}


@pytest.fixture
def customers(con):
    con.execute(f"""
        SET threads = 1;
        CREATE TABLE customers AS
        SELECT id, (['toys', 'books', 'garden'])[1 + id % 3] AS category,
               CASE WHEN id % 11 <> 5 THEN list_transform(range(id % 7), lambda i: (hash(id, i) % 40)::INTEGER) END
               AS features
        FROM range({ROWS}) t(id)
    """)
    return con


@pytest.fixture
def counted(monkeypatch):
    """Count the calls of what reads features and of the sparse layer; both do what they always do."""
    calls = {"read_features": 0, "sparse_rows": 0}

    def counting(module, name):
        function = getattr(module, name)

        def count(*arguments):
            calls[name] += 1
            return function(*arguments)

        monkeypatch.setattr(module, name, count)

    counting(udf, "read_features")
    counting(kernels, "sparse_rows")
    return calls


def run(con, counted, *questions):
    """Return how often features were read, and how many calls the sparse layer took."""
    counted.update(dict.fromkeys(counted, 0))
    udf._recent.clear()
    con.execute(f"SELECT {', '.join(questions)} FROM customers").fetchall()
    return counted["read_features"], counted["sparse_rows"]


def test_all_questions_at_once_cost_one_reading_and_one_pass(customers, counted):
    reads, passes = run(customers, counted, QUESTIONS["propensity"])
    assert reads == BATCHES
    assert passes >= BATCHES
    assert run(customers, counted, *QUESTIONS.values()) == (reads, passes)
    assert run(customers, counted, *reversed(QUESTIONS.values())) == (reads, passes)


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS.keys())
def test_a_question_asked_twice_of_the_same_rows_costs_what_it_costs_once(customers, counted, question):
    alone = run(customers, counted, question)
    assert run(customers, counted, question, f"[{question}]", QUESTIONS["topk"], question)[0] == alone[0]
    assert alone[0] == BATCHES


def test_an_explanation_reads_the_features_with_the_others(customers, counted):
    explain = "propensity_explain(features, category, 3)"
    reads, passes = run(customers, counted, explain)
    assert (reads, run(customers, counted, explain, *QUESTIONS.values())[0]) == (BATCHES, BATCHES)
    assert passes >= BATCHES


def test_other_features_are_another_reading(customers, counted):
    both = run(customers, counted, QUESTIONS["vector"], "propensity_vector(list_append(features, 3))")
    assert both[0] == 2 * BATCHES


@pytest.mark.parametrize("engine", ENGINES)
def test_every_function_gives_the_same_bits(customers, engine):
    duckprop.register(customers, engine=engine)
    singles = ", ".join(f"propensity(features, '{category}')" for category in CATEGORIES)
    found = customers.execute(f"""
        SELECT category, propensity_vector(features) AS vector, [{singles}] AS single,
               propensities(features, {list(CATEGORIES)}) AS listed, propensity_topk(features, 99) AS best,
               propensity(features, category) AS own, propensities(features, [category, 'music']) AS own_listed,
               propensity_topk(features, 9, [category, 'shoes']) AS own_best
        FROM customers ORDER BY id
    """).fetchall()
    assert len(found) == ROWS
    nulls = 0
    for category, vector, single, listed, best, own, own_listed, own_best in found:
        if vector is None:
            nulls += 1
            assert [single, listed, best, own, own_listed, own_best] == [[None] * 5, None, None, None, None, None]
            continue
        right = dict(zip(CATEGORIES, vector, strict=True))
        assert single == vector
        assert listed == right
        assert {each["category"]: each["propensity"] for each in best} == right
        assert own == right[category]
        assert own_listed == {name: right[name] for name in (category, "music")}
        assert {each["category"]: each["propensity"] for each in own_best} == {n: right[n] for n in (category, "shoes")}
    assert 0 < nulls < ROWS


@pytest.mark.parametrize("engine", ENGINES)
def test_a_row_alone_gives_the_bits_that_it_has_among_others(customers, engine):
    duckprop.register(customers, engine=engine)
    questions = ", ".join(question for name, question in QUESTIONS.items() if name != "coverage")
    whole = customers.execute(f"SELECT {questions} FROM customers ORDER BY id").fetchall()
    for number in range(0, ROWS, 499):
        assert customers.execute(f"SELECT {questions} FROM customers WHERE id = {number}").fetchone() == whole[number]
    embeddings = np.array([row[-1] for row in whole if row[-1] is not None], np.float32)
    assert len(np.unique(embeddings, axis=0)) > 1000
