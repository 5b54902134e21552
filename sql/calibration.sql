-- Whether propensities mean what they say.

-- A bound of the 95 % interval of a rate among n (Wilson 1927); side: -1 for the lower one, 1 for the upper one.
CREATE OR REPLACE MACRO __duckprop_wilson(rate, n, side) AS
  greatest(0, least(1, (rate + 1.920729410347062e0 / n
    + side * 1.959963984540054e0 * sqrt(rate * (1 - rate) / n + 0.960364705173531e0 / n / n)) / (1 + 3.841458820694124e0 / n)));

-- One row a category and bin, the least likely first. n BIGINT: customers. mean_propensity, observed_rate DOUBLE in
-- [0, 1]: what was said, and what happened. ci_low, ci_high DOUBLE: the 95 % interval of the observed rate (Wilson 1927).
-- Bins hold equally many customers, the first ones one more where they cannot; ties go to the lower id. Rows whose id,
-- category or propensity is NULL are left out. Outcomes of what was not scored are left out, repeated ones count once.
-- Raises an error for a propensity outside [0, 1] and for bins that are no whole number from 1.
-- Example: FROM propensity_calibration('propensities', 'outcomes', bins := 2) WHERE category = 'shoes' ORDER BY bin
CREATE OR REPLACE MACRO propensity_calibration(scored, outcomes, bins := 10) AS TABLE
  WITH binned AS (
    SELECT p.category, p.propensity, p.acted,
           ntile(__duckprop_whole(bins, 'bins'))
             OVER (PARTITION BY p.category ORDER BY p.propensity ASC, p.id ASC)::INTEGER AS bin
    FROM __duckprop_pairs(scored, outcomes) AS p
  ), counted AS (
    SELECT category, bin, count(*) AS n, favg(propensity) AS mean_propensity,  -- avg differs with the order of the rows
           count(*) FILTER (acted) / n AS observed_rate
    FROM binned GROUP BY category, bin
  )
  SELECT *, __duckprop_wilson(observed_rate, n, -1) AS ci_low, __duckprop_wilson(observed_rate, n, 1) AS ci_high
  FROM counted ORDER BY category ASC, bin ASC;
COMMENT ON MACRO TABLE propensity_calibration IS 'one row a category and bin of propensity: what was said and what happened';
