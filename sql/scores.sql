-- Propensity tables, one row a customer and category. No customer is scored twice, whatever is filtered, sorted or
-- joined afterwards: unnest stands between the score and the rest; a filter on the id goes below it.

-- The names in a list of categories, each once and none NULL; NULL for NULL. Computed once, being constant: the call
-- checks them and names the closest of the model's.
CREATE OR REPLACE MACRO __duckprop_asked(categories, model) AS
  map_keys(__duckprop_propensities([]::INTEGER[], categories, model));

-- id: the column of that name, under the name id, in its own type. category VARCHAR. propensity FLOAT in [0, 1].
-- One row for each customer and category; categories := ['tea', 'coffee'] asks for these alone, and only they are
-- computed. A customer whose features are NULL has no rows; one without features has the base rates. Columns of another
-- name are given as texts: id := 'household_id', features := 'basket'. Other columns of the relation are not kept:
-- join them by id. Raises an error for a category that is not in the model and for bad features.
-- Example: FROM propensity_scores('customers', ['shoes', 'toys']) ORDER BY id, category
CREATE OR REPLACE MACRO propensity_scores(rel, categories := NULL, id := 'id', features := 'features', model := NULL)
AS TABLE
  SELECT scored.id,
         unnest(CASE WHEN categories IS NULL
           THEN list_transform(__duckprop_propensity_categories(__duckprop_version(model)), lambda c: c.category)
           ELSE __duckprop_asked(categories, __duckprop_version(model)) END) AS category,
         unnest(scored.propensities) AS propensity
  FROM (
    SELECT struct_extract(__duckprop_row, coalesce(id, 'NULL')) AS id,
           struct_extract(__duckprop_row, coalesce(features, 'NULL')) AS __duckprop_given,
           __duckprop_propensity_vector(__duckprop_given, __duckprop_asked(categories, __duckprop_version(model)),
                                        __duckprop_version(model)) AS propensities
    FROM query_table(rel) AS __duckprop_row WHERE __duckprop_given IS NOT NULL
  ) AS scored;
COMMENT ON MACRO TABLE propensity_scores IS 'one row a customer and category: the propensity table in its long form';

-- id: the column of that name, under the name id. category VARCHAR, propensity FLOAT, rank INTEGER from 1: the k best
-- categories of each customer, ties to the lower category id. A customer whose features are NULL has no rows.
-- For categories to choose from, to leave out, or a threshold, call propensity_topk.
-- Raises an error for a k that is negative or no whole number, and for bad features.
-- Example: FROM propensity_top('customers', 2) ORDER BY id, rank
CREATE OR REPLACE MACRO propensity_top(rel, k, id := 'id', features := 'features', model := NULL) AS TABLE
  SELECT scored.id, scored.best.category, scored.best.propensity, scored.best.rank
  FROM (
    SELECT struct_extract(__duckprop_row, coalesce(id, 'NULL')) AS id,
           unnest(__duckprop_propensity_topk(struct_extract(__duckprop_row, coalesce(features, 'NULL')), k,
                                             NULL, NULL, NULL, __duckprop_version(model))) AS best
    FROM query_table(rel) AS __duckprop_row
  ) AS scored;
COMMENT ON MACRO TABLE propensity_top IS 'one row a customer and rank: the k likeliest categories of each customer';
