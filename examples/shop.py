"""Make up a year of a small shop: python shop.py [FILE], which is purchases.parquet where none is given.

4,000 customers with a hobby that the table does not show buy sixteen kinds of things in 2025; seven of ten purchases
belong to the hobby. Columns: customer_id BIGINT, day DATE, category VARCHAR; no NULL. The dice fall the same way on
every machine, so everything that is computed from it can be compared.
"""

import sys

import duckdb

_PURCHASES = """
    WITH visits AS (
        SELECT customer_id, dice('hobby' || customer_id, 4) AS hobby,
               customer_id || '/' || unnest(range(2 + dice('often' || customer_id, 30))) AS visit
        FROM range(1, 4001) AS customers(customer_id)
    ),
    shelf AS (SELECT ['seeds', 'pots', 'soil', 'tools', 'coffee', 'tea', 'mugs', 'biscuits',
                      'yarn', 'needles', 'patterns', 'buttons', 'paint', 'brushes', 'paper', 'frames'] AS categories)
    SELECT customer_id, DATE '2025-01-01' + dice('day' || visit, 365) AS day,
           categories[1 + if(dice('why' || visit, 10) < 7, 4 * hobby + dice('own' || visit, 4),
                             dice('any' || visit, 16))] AS category
    FROM visits, shelf
    ORDER BY day, customer_id, visit
"""


def write_purchases(path: str = "purchases.parquet") -> None:
    """Write the purchases to a Parquet file; one that is there is replaced."""
    with duckdb.connect() as con:
        con.execute("CREATE MACRO dice(text, sides) AS (md5_number_lower(text) % sides)::INTEGER")
        con.sql(_PURCHASES).write_parquet(path)


if __name__ == "__main__":
    write_purchases(*sys.argv[1:])
