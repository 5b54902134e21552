"""The promise to users, frozen: names, argument order, defaults, result columns and types of every public function."""

import re
from pathlib import Path

import duckdb
import pytest

from duckprop.udfs import ALL

SCALARS = {
    "propensity(features, category, model := NULL)": "FLOAT",
    "propensities(features, categories, model := NULL)": "MAP(VARCHAR, FLOAT)",
    "propensity_topk(features, k, categories := NULL, exclude := NULL, min_propensity := NULL, model := NULL)": (
        "STRUCT(category VARCHAR, propensity FLOAT, rank INTEGER)[]"
    ),
    "propensity_vector(features, model := NULL)": "FLOAT[]",
    "propensity_classes(features, category, model := NULL)": "MAP(VARCHAR, FLOAT)",
    "propensity_explain(features, category, k := NULL, model := NULL)": (
        'STRUCT(feature VARCHAR, "value" FLOAT, contribution FLOAT)[]'
    ),
    "propensity_embedding(features, model := NULL)": "FLOAT[]",
    "propensity_coverage(features, model := NULL)": "FLOAT",
    "propensity_holdout(id, share, salt := '')": "BOOLEAN",
}
TABLES = {
    "propensity_models()": {
        "model": "VARCHAR",
        "name": "VARCHAR",
        "version": "INTEGER",
        "aliases": "VARCHAR[]",
        "categories": "INTEGER",
        "features": "INTEGER",
        "created": "VARCHAR",
        "macro_auc": "FLOAT",
        "log_loss": "FLOAT",
    },
    "propensity_categories(model := NULL)": {"category_id": "INTEGER", "category": "VARCHAR", "base_rate": "FLOAT"},
    "propensity_feature_names(model := NULL)": {"column": "INTEGER", "feature": "VARCHAR"},
    "propensity_model_info(model := NULL)": {"section": "VARCHAR", "property": "VARCHAR", "value": "VARCHAR"},
    "propensity_quality(model := NULL)": {
        "category": "VARCHAR",
        "split": "VARCHAR",
        "metric": "VARCHAR",
        "value": "DOUBLE",
        "ci_low": "DOUBLE",
        "ci_high": "DOUBLE",
        "support": "BIGINT",
        "n": "BIGINT",
        "is_too_small": "BOOLEAN",
    },
    "propensity_baseline(model := NULL)": {
        "category": "VARCHAR",
        "bin": "INTEGER",
        "upper": "FLOAT",
        "n": "BIGINT",
    },
    "propensity_features_asof(events, as_of, id := 'id', time := 'time', item := 'item', value := NULL, "
    "windows := [28, 84])": {
        "id": "INTEGER",
        "as_of": "DATE",
        "features": 'STRUCT(feature VARCHAR, "value" FLOAT)[]',
    },
    "propensity_labels(events, as_of, days, id := 'id', time := 'time', item := 'item')": {
        "id": "INTEGER",
        "as_of": "DATE",
        "category": "VARCHAR",
    },
    "propensity_vocabulary(features_rel, min_customers := 20, features := 'features')": {
        "column": "INTEGER",
        "feature": "VARCHAR",
        "customers": "BIGINT",
    },
    "propensity_scores(rel, categories := NULL, id := 'id', features := 'features', model := NULL)": {
        "id": "INTEGER",
        "category": "VARCHAR",
        "propensity": "FLOAT",
    },
    "propensity_top(rel, k, id := 'id', features := 'features', model := NULL)": {
        "id": "INTEGER",
        "category": "VARCHAR",
        "propensity": "FLOAT",
        "rank": "INTEGER",
    },
    "propensity_deciles(scored)": {
        "id": "INTEGER",
        "category": "VARCHAR",
        "propensity": "FLOAT",
        "decile": "INTEGER",
        "percentile": "INTEGER",
    },
    "propensity_lift(scored, outcomes)": {
        "category": "VARCHAR",
        "decile": "INTEGER",
        "n": "BIGINT",
        "responders": "BIGINT",
        "rate": "DOUBLE",
        "lift": "DOUBLE",
        "cum_rate": "DOUBLE",
        "cum_lift": "DOUBLE",
        "cum_gain": "DOUBLE",
    },
    "propensity_calibration(scored, outcomes, bins := 10)": {
        "category": "VARCHAR",
        "bin": "INTEGER",
        "n": "BIGINT",
        "mean_propensity": "DOUBLE",
        "observed_rate": "DOUBLE",
        "ci_low": "DOUBLE",
        "ci_high": "DOUBLE",
    },
    "propensity_drift(scored, baseline := NULL, model := NULL)": {
        "category": "VARCHAR",
        "psi": "DOUBLE",
        "js": "DOUBLE",
        "n": "BIGINT",
        "n_baseline": "BIGINT",
    },
    "propensity_audience(scored, category, n := NULL, share := NULL, min_propensity := NULL, holdout := 0, "
    "salt := NULL)": {
        "id": "INTEGER",
        "propensity": "FLOAT",
        "decile": "INTEGER",
        "is_holdout": "BOOLEAN",
    },
    "propensity_sample_size(scored, category, lift, power := 0.8, alpha := 0.05, holdout := 0.5)": {
        "decile": "INTEGER",
        "n": "BIGINT",
        "expected_rate": "DOUBLE",
        "required_n": "BIGINT",
        "is_enough": "BOOLEAN",
    },
    "propensity_evaluate(scored, outcomes, min_support := 5)": {
        "category": "VARCHAR",
        "metric": "VARCHAR",
        "value": "DOUBLE",
        "ci_low": "DOUBLE",
        "ci_high": "DOUBLE",
        "support": "BIGINT",
        "is_too_small": "BOOLEAN",
    },
    "propensity_train(features_rel, labels_rel, name, ids := ['id'], features := 'features', category := 'category', "
    "split := 'split', vocabulary := NULL, classes := ['yes', 'no'], min_positives := 20, outcome := NULL, "
    "settings := NULL, promote := NULL)": {
        "model": "VARCHAR",
        "split": "VARCHAR",
        "metric": "VARCHAR",
        "value": "DOUBLE",
        "support": "BIGINT",
    },
    "propensity_verify(model := NULL)": {
        "engine": "VARCHAR",
        "rows": "BIGINT",
        "max_abs_difference": "DOUBLE",
        "is_within_tolerance": "BOOLEAN",
    },
}
CALLS = {
    "propensity": "propensity([3], 'toys')",
    "propensities": "propensities([3], ['toys'])",
    "propensity_topk": "propensity_topk([3], 2)",
    "propensity_vector": "propensity_vector([3])",
    "propensity_classes": "propensity_classes([3], 'toys')",
    "propensity_explain": "propensity_explain([3], 'toys')",
    "propensity_embedding": "propensity_embedding([3])",
    "propensity_coverage": "propensity_coverage([3])",
    "propensity_holdout": "propensity_holdout(7, 0.1)",
}
EVENTS = """CREATE TABLE events AS SELECT 1 AS id, DATE '2025-11-30' AS time, 'tea' AS item, 2.5e0 AS value;
            CREATE TABLE customers AS SELECT 1 AS id, [{'feature': 'tea', 'value': 1}] AS features;
            CREATE TABLE scored AS SELECT 1 AS id, 'tea' AS category, 0.5::FLOAT AS propensity;
            CREATE TABLE outcomes AS SELECT 1 AS id, 'tea' AS category"""
TABLE_CALLS = {
    "propensity_features_asof": "propensity_features_asof('events', DATE '2025-12-01')",
    "propensity_labels": "propensity_labels('events', DATE '2025-12-01', 28)",
    "propensity_vocabulary": "propensity_vocabulary('customers')",
    "propensity_train": "propensity_train('customers', 'outcomes', 'retail')",
    "propensity_scores": "propensity_scores('customers')",
    "propensity_top": "propensity_top('customers', 2)",
    "propensity_deciles": "propensity_deciles('scored')",
    "propensity_lift": "propensity_lift('scored', 'outcomes')",
    "propensity_calibration": "propensity_calibration('scored', 'outcomes')",
    "propensity_evaluate": "propensity_evaluate('scored', 'outcomes')",
    "propensity_drift": "propensity_drift('scored')",
    "propensity_audience": "propensity_audience('scored', 'tea', 2)",
    "propensity_sample_size": "propensity_sample_size('scored', 'tea', 0.1)",
}
"""A call that binds, of every table function that needs arguments; it may read EVENTS."""
TOO_MANY = ", ".join(["NULL"] * 20)


def name_of(signature):
    return signature.partition("(")[0]


def signature_as_duckdb_says_it(con, call):
    """Return what DuckDB lists as the one candidate when a macro is called with too many arguments."""
    with pytest.raises(duckdb.BinderException) as caught:
        con.execute(call)
    text = re.sub(r'"system"\.main\.list_value\((.*?)\)', r"[\1]", str(caught.value))
    return re.findall(r"^\t(.*)$", text, re.MULTILINE)


def test_these_are_all_the_public_functions(con):
    found = con.execute(
        "SELECT function_name FROM duckdb_functions() "
        "WHERE database_name = 'duckprop' AND NOT starts_with(function_name, '__') ORDER BY ALL"
    ).fetchall()
    assert [name for (name,) in found] == sorted(map(name_of, [*SCALARS, *TABLES]))


@pytest.mark.parametrize("signature", SCALARS)
def test_a_scalars_arguments_and_type(con, signature):
    name = name_of(signature)
    assert signature_as_duckdb_says_it(con, f"SELECT {name}({TOO_MANY})") == [signature]
    assert con.execute(f"SELECT typeof({CALLS[name]})").fetchone() == (SCALARS[signature],)


@pytest.mark.parametrize("signature", TABLES)
def test_a_tables_arguments_columns_and_types(con, signature):
    name = name_of(signature)
    assert signature_as_duckdb_says_it(con, f"FROM {name}({TOO_MANY})") == [signature]
    con.execute(EVENTS)
    described = con.execute(f"DESCRIBE FROM {TABLE_CALLS.get(name, f'{name}()')}").fetchall()
    assert [(column, kind) for column, kind, *_ in described] == list(TABLES[signature].items())


def test_every_public_function_has_a_comment_of_one_line(con):
    comments = con.execute(
        "SELECT function_name, comment FROM duckdb_functions() "
        "WHERE database_name = 'duckprop' AND NOT starts_with(function_name, '__')"
    ).fetchall()
    assert all(comment and "\n" not in comment for _, comment in comments), comments


def test_private_functions_have_the_arity_and_type_that_their_udf_says(con):
    found = con.execute(
        "SELECT function_name, len(parameters) FROM duckdb_functions() "
        "WHERE starts_with(function_name, '__duckprop_p') AND function_type = 'scalar'"
    ).fetchall()
    assert sorted(found) == sorted((udf.private_name, len(udf.arguments)) for udf in ALL)


@pytest.mark.parametrize("udf", ALL, ids=lambda udf: udf.name)
def test_every_udf_has_a_file_a_transcript_and_a_docstring(udf):
    tests = Path(__file__).parent
    assert (tests.parent / "udfs" / f"{udf.name}.py").is_file()
    assert (tests / "sql" / f"{udf.name}.sql").is_file()
    assert (tests / "expected" / f"{udf.name}.out").is_file()
    assert "Return" in (udf.body.__doc__ or "")


@pytest.mark.parametrize("udf", ALL, ids=lambda udf: udf.name)
def test_a_udf_is_in_the_public_catalog_under_its_own_name(con, udf):
    assert udf.name in {name_of(signature) for signature in [*SCALARS, *TABLES]}
    assert udf.private_name == f"__duckprop_{udf.name}"
