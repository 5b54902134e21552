-- The features that are worth a column of the network: those that enough customers have.

CREATE OR REPLACE MACRO __duckprop_text(name) AS
  CASE WHEN typeof(name) = 'VARCHAR' OR starts_with(typeof(name), 'ENUM') THEN name::VARCHAR
       ELSE error(format(E'the features have no names but columns of type {}\nnumbered features need no vocabulary',
                         typeof(name))) END;

-- One row a customer and name in a list of names, the first field of a list of structs, or a key of a MAP.
CREATE OR REPLACE MACRO __duckprop_feature_names(features_rel, features) AS TABLE
  WITH given AS (
    SELECT row_number() OVER () AS customer, struct_extract(__duckprop_row, coalesce(features, 'NULL')) AS sparse
    FROM query_table(features_rel) AS __duckprop_row
  ),
  kept AS (
    FROM given
    WHERE CASE WHEN starts_with(typeof(sparse), 'MAP(') OR ends_with(typeof(sparse), ']') THEN sparse IS NOT NULL
               ELSE error(format(E'column \'{}\' is of type {}\ngive a list of names or of structs, or a MAP',
                                 features, typeof(sparse))) END
  ),
  listed AS (
    SELECT customer, unnest(struct_extract({'list': sparse, 'other': NULL::VARCHAR[]},
                                           if(ends_with(typeof(sparse), ']'), 'list', 'other')), recursive := true)
    FROM kept
  ),
  mapped AS (
    SELECT customer, unnest(map_keys(struct_extract({'map': sparse, 'other': NULL::MAP(VARCHAR, FLOAT)},
                                                    if(starts_with(typeof(sparse), 'MAP('), 'map', 'other')))) AS name
    FROM kept
  )
  SELECT #1 AS customer, __duckprop_text(#2) AS name FROM listed
  UNION ALL
  SELECT customer, __duckprop_text(name) FROM mapped;

-- Columns: "column" INTEGER, from 0 in the order of the names; feature VARCHAR; customers BIGINT, rows that have it.
-- Give it the training rows only, or what is learnt on them knows names that only the future has. The features are a
-- list of names, a list of structs with the name first, or a MAP with names as keys. A name that a row has twice counts
-- once; NULL features and NULL or empty names are passed over. Without rows there is nothing to number: no rows.
-- Numbered features, and min_customers that is NULL or no whole number from 1 on, are errors.
-- Example: WITH training AS (FROM propensity_features_asof('events', DATE '2025-07-01'))
-- FROM propensity_vocabulary('training', min_customers := 2)
CREATE OR REPLACE MACRO propensity_vocabulary(features_rel, min_customers := 20, features := 'features') AS TABLE
  WITH counted AS (
    SELECT name, count(DISTINCT customer) AS customers
    FROM __duckprop_feature_names(features_rel, features) WHERE name <> '' GROUP BY name
  )
  SELECT (row_number() OVER (ORDER BY name ASC) - 1)::INTEGER AS "column", name AS feature, customers
  FROM counted WHERE customers >= __duckprop_whole(min_customers, 'min_customers')
  ORDER BY "column" ASC;
COMMENT ON MACRO TABLE propensity_vocabulary IS
  'one row a feature that enough customers have, numbered from 0 in the order of the names';
