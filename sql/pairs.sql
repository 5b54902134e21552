-- What several families share: the reading of scored relations and of outcomes.
-- scored has the columns id, category and propensity, as propensity_scores makes them. outcomes has the columns id and
-- category, VARCHAR or a list of them: what each customer did, as propensity_labels makes it.

-- A propensity as it is; an error for what is none. NULL is NULL.
CREATE OR REPLACE MACRO __duckprop_checked(propensity) AS
  CASE WHEN propensity IS NULL OR propensity BETWEEN 0 AND 1 THEN propensity
       ELSE error(format(E'propensity is {}, outside [0, 1]\ngive the propensities of a model, or other probabilities',
                         propensity)) END;

-- Whether a row says something: of which customer, in which category, how likely.
CREATE OR REPLACE MACRO __duckprop_is_whole(id, category, propensity) AS
  id IS NOT NULL AND category IS NOT NULL AND propensity IS NOT NULL;

-- Each customer and category that acted, once.
CREATE OR REPLACE MACRO __duckprop_acted(outcomes) AS TABLE
  SELECT DISTINCT acts.id, acts.category
  FROM (SELECT outcomes.id, unnest([outcomes.category], recursive := true) AS category
        FROM query_table(outcomes) AS outcomes) AS acts
  WHERE acts.id IS NOT NULL AND acts.category IS NOT NULL;

-- Each customer and category with a propensity, and whether the customer acted in it.
CREATE OR REPLACE MACRO __duckprop_pairs(scored, outcomes) AS TABLE
  WITH __duckprop_acts AS (FROM __duckprop_acted(outcomes))  -- in place, DuckDB's errors would miss the point
  SELECT s.id, s.category, s.propensity,  -- no join: ids of two types may match one row with several
         EXISTS (FROM __duckprop_acts AS a WHERE a.id = s.id AND a.category = s.category) AS acted
  FROM (SELECT scored.id AS id, scored.category AS category, __duckprop_checked(scored.propensity) AS propensity
        FROM query_table(scored) AS scored
        WHERE __duckprop_is_whole(scored.id, scored.category, scored.propensity)) AS s;
