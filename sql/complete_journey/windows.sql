-- The days on which we pretend to stand ("as of"), 28 days apart. Each looks back on everything before it and is asked
-- what is bought in the 28 days that begin with it. Windows do not overlap, so no split sees another one's answers.
CREATE OR REPLACE TABLE windows AS
SELECT as_of::DATE AS as_of,
       CASE as_of::DATE WHEN DATE '2017-12-04' THEN 'test' WHEN DATE '2017-11-06' THEN 'validation' ELSE 'train'
       END AS split
FROM generate_series(DATE '2017-03-27', DATE '2017-12-04', INTERVAL 28 DAYS) AS dates (as_of)
ORDER BY as_of;

-- What is filled one date after the other, so that memory holds a single date: see support.sql and customers.sql.
CREATE OR REPLACE TEMP TABLE support (feature VARCHAR, first_household INTEGER, last_household INTEGER);
CREATE OR REPLACE TABLE customer_features (
    household_id INTEGER, as_of DATE, split VARCHAR, features STRUCT(indices INTEGER[], "values" FLOAT[])
);
