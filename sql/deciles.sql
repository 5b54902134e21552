-- Ranking customers category by category: deciles, and what they were worth afterwards.

-- All columns of scored, and two more. decile INTEGER: 1 for the likeliest tenth of a category's customers, to 10.
-- percentile INTEGER: 1 to 100 in the same way. Each holds equally many, the first ones one more where they cannot;
-- ties go to the lower id, so a second run gives the same. Rows whose id, category or propensity is NULL have neither
-- and are not counted.
-- Columns of scored that are called decile or percentile are replaced. Raises an error for a propensity outside [0, 1].
-- Example: FROM propensity_deciles('propensities') WHERE decile = 1 ORDER BY category, propensity DESC
CREATE OR REPLACE MACRO propensity_deciles(scored) AS TABLE
  SELECT COLUMNS(lambda c: lower(c) NOT IN ('decile', 'percentile')),
         CASE WHEN __duckprop_is_whole(scored.id, scored.category, scored.propensity)
              THEN ntile(10) OVER likeliest END::INTEGER AS decile,
         CASE WHEN __duckprop_is_whole(scored.id, scored.category, scored.propensity)
              THEN ntile(100) OVER likeliest END::INTEGER AS percentile
  FROM (SELECT * REPLACE (__duckprop_checked(propensity) AS propensity) FROM query_table(scored)) AS scored
  WINDOW likeliest AS (
    PARTITION BY scored.category, __duckprop_is_whole(scored.id, scored.category, scored.propensity)
    ORDER BY scored.propensity DESC, scored.id ASC);
COMMENT ON MACRO TABLE propensity_deciles IS
  'the propensity table with the decile and percentile of each customer in its category';

-- One row a category and decile, the likeliest first. n BIGINT: customers. responders BIGINT: those of them that acted.
-- rate DOUBLE: responders / n. lift: rate / the category's rate. cum_rate, cum_lift: the same of this decile and those
-- before it. cum_gain: share of the category's responders in them; lift and gain are NULL where nobody acted.
-- Outcomes of customers and categories that were not scored are left out, repeated ones count once; rows whose id,
-- category or propensity is NULL are not counted. Fewer customers than deciles: fewer deciles. Raises an error for a
-- propensity outside [0, 1].
-- Example: FROM propensity_lift('propensities', 'outcomes') WHERE category = 'shoes' ORDER BY decile
CREATE OR REPLACE MACRO propensity_lift(scored, outcomes) AS TABLE
  WITH counted AS (
    SELECT d.category, d.decile, count(*) AS n, count(*) FILTER (d.acted) AS responders
    FROM (SELECT p.category, p.acted, ntile(10) OVER (PARTITION BY p.category ORDER BY p.propensity DESC, p.id ASC)::INTEGER
                 AS decile FROM __duckprop_pairs(scored, outcomes) AS p) AS d
    GROUP BY d.category, d.decile
  ), summed AS (
    SELECT *, sum(n) OVER so_far AS cum_n, sum(responders) OVER so_far AS cum_responders,
           sum(responders) OVER whole AS all_responders, all_responders / sum(n) OVER whole AS base_rate
    FROM counted
    WINDOW whole AS (PARTITION BY category), so_far AS (PARTITION BY category ORDER BY decile ASC)
  )
  SELECT category, decile, n, responders, responders / n AS rate, rate / nullif(base_rate, 0) AS lift,
         cum_responders / cum_n AS cum_rate, cum_rate / nullif(base_rate, 0) AS cum_lift,
         cum_responders / nullif(all_responders, 0) AS cum_gain
  FROM summed ORDER BY category ASC, decile ASC;
COMMENT ON MACRO TABLE propensity_lift IS 'one row a category and decile: how many acted, and how that compares with all';
