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
    "propensity_explain(features, category, k := NULL, model := NULL)": (
        'STRUCT(feature VARCHAR, "value" FLOAT, contribution FLOAT)[]'
    ),
    "propensity_embedding(features, model := NULL)": "FLOAT[]",
    "propensity_coverage(features, model := NULL)": "FLOAT",
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
    "propensity_explain": "propensity_explain([3], 'toys')",
    "propensity_embedding": "propensity_embedding([3])",
    "propensity_coverage": "propensity_coverage([3])",
}
TOO_MANY = ", ".join(["NULL"] * 20)


def name_of(signature):
    return signature.partition("(")[0]


def signature_as_duckdb_says_it(con, call):
    """Return what DuckDB lists as the one candidate when a macro is called with too many arguments."""
    with pytest.raises(duckdb.BinderException) as caught:
        con.execute(call)
    return re.findall(r"^\t(.*)$", str(caught.value), re.MULTILINE)


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
    described = con.execute(f"DESCRIBE FROM {name}()").fetchall()
    assert [(column, kind) for column, kind, *_ in described] == list(TABLES[signature].items())


def test_every_public_function_has_a_comment_of_one_line(con):
    comments = con.execute(
        "SELECT function_name, comment FROM duckdb_functions() "
        "WHERE database_name = 'duckprop' AND NOT starts_with(function_name, '__')"
    ).fetchall()
    assert all(comment and "\n" not in comment for _, comment in comments), comments


def test_private_functions_have_the_arity_and_type_that_their_udf_says(con):
    found = con.execute(
        "SELECT function_name, len(parameters) FROM duckdb_functions() WHERE starts_with(function_name, '__duckprop_p')"
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
