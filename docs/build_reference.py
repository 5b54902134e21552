"""Write the SQL reference from the code: ``python docs/build_reference.py > docs/sql-reference.md``."""

from duckprop.layouts import ACCEPTED
from duckprop.manual import Function, functions

INTRODUCTION = f"""# SQL reference

Made from the code by `make docs`; a test holds it against the code and runs every example.

The functions are there after `duckprop.connect()` or `duckprop.register(con)`. Without the catalog's name before them
they work on the connection that was registered; with it, `duckprop.propensity(…)`, on every cursor of the database.

**features** is one column of any of these types: {ACCEPTED}.
NULL features give NULL. Empty features give the model's answer to an empty customer. The order of features does not
matter, and a feature given twice counts with the sum of its values. A feature by name that the model does not know is
left out. A column number outside the model, NaN, infinity, a NULL element and lists of unequal length are errors that
name the row's position in its batch.

**model** is always last: `'name'` (its newest version), `'name@3'`, `'name@champion'` (an alias) or a bundle's folder.
A name in the registry goes before a folder of that name. Left out, it is the session variable `propensity_model`
(`SET VARIABLE propensity_model = 'retail@champion'`, which is also what `register(con, model)` sets), else the only
model there is.

**A relation** (rel, events, scored, baseline, outcomes) is named by a text: a table, a view, a CTE of the same query, a
Parquet path, or a variable of the Python program, such as a data frame. It cannot be a subquery: put one into a CTE,
`WITH those AS (…) FROM propensity_scores('those')`. Columns are named by texts too: `id := 'household_id'`.

**scored** has the columns id, category and propensity, as `propensity_scores` makes them. **outcomes** has the columns
id and category: what each customer did, one row each, or a list of categories a customer. Outcomes that come twice
count once; scored must hold each customer and category once: `propensity_evaluate` refuses others, the rest would
count them twice.
"""
GROUPS = {
    "features.sql": "Features and labels from transactions",
    "vocabulary.sql": "Vocabulary",
    "train.sql": "Training",
    "scalars.sql": "Scores, one customer a row",
    "scores.sql": "Propensity tables",
    "deciles.sql": "Deciles, lift and gain",
    "audience.sql": "Campaigns",
    "calibration.sql": "Calibration",
    "evaluate.sql": "Evaluation",
    "drift.sql": "Drift",
    "models.sql": "Models",
}


def section(function: Function) -> str:
    """Return the Markdown of one function."""
    return (
        f"### {function.name}\n\n```\n{function.signature}\n```\n\n{function.summary}.\n\n{function.details}\n\n"
        f"```sql\n{function.example};\n```\n"
    )


def pages() -> dict[str, list[Function]]:
    """Return {title: functions} in the order of the page."""
    return {title: list(functions(file)) for file, title in GROUPS.items()}


def build() -> str:
    """Return the whole page."""
    contents = "\n".join(
        f"- {title}: {', '.join(f'[{function.name}](#{function.name})' for function in found)}"
        for title, found in pages().items()
    )
    groups = (f"## {title}\n\n" + "\n".join(map(section, found)) for title, found in pages().items())
    return "\n".join([INTRODUCTION, contents, "", *groups])


if __name__ == "__main__":
    print(build(), end="")
