-- Whether propensities are still distributed as they were.

-- The tenths of a baseline, as propensity_baseline(model) has them for the rows that training held back: one
-- row a category, uppers FLOAT[] ascending, the last one infinite, and how many rows lie above the one before and not
-- above its own. Equal propensities stay together: fewer bins then.
CREATE OR REPLACE MACRO __duckprop_tenths(baseline) AS TABLE
  WITH given AS MATERIALIZED (  -- read twice: a view must not score its customers twice
    SELECT baseline.category::VARCHAR AS category, __duckprop_checked(baseline.propensity)::FLOAT AS propensity
    FROM query_table(baseline) AS baseline
    WHERE baseline.category IS NOT NULL AND baseline.propensity IS NOT NULL
  ), edges AS MATERIALIZED (  -- else DuckDB makes the lists anew for each row that it joins them to
    SELECT category, list_sort(list_distinct(list_append(quantile_disc(propensity,
             [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]), 'infinity'::FLOAT)), 'ASC') AS uppers
    FROM given GROUP BY category
  )
  SELECT category, any_value(uppers) AS uppers, map_values(histogram(propensity, uppers)) AS counts
  FROM given JOIN edges USING (category) GROUP BY category;

-- The entropy of one share, in bits.
CREATE OR REPLACE MACRO __duckprop_entropy(share) AS CASE WHEN share > 0 THEN -share * log2(share) ELSE 0 END;

-- One row a category of either side. psi DOUBLE: population stability index, Σ (a − b) ln(a / b) over the shares a of
-- scored and b of the baseline in the baseline's ten bins, half a customer added to each so that none is empty; below 0.1
-- little has changed, above 0.25 much (a rule of thumb, Siddiqi 2006). js DOUBLE in [0, 1]: Jensen–Shannon divergence of
-- the same shares in bits, 0 for equal ones. n, n_baseline BIGINT: customers; where one of them is 0, psi and js are NULL.
-- With few customers psi is large by chance: about 9 / n + 9 / n_baseline without any drift.
-- baseline is a relation like scored; left out, it is the one that training stored in the model: the propensities of the
-- customers it held back. Rows whose category or propensity is NULL are left out. Raises an error for a propensity
-- outside [0, 1], and, without a baseline, for a model that has none.
-- Example: FROM propensity_drift('propensities', 'propensities') ORDER BY psi DESC
CREATE OR REPLACE MACRO propensity_drift(scored, baseline := NULL, model := NULL) AS TABLE
  WITH __duckprop_bins AS MATERIALIZED (
    SELECT stored.category, list(stored.upper ORDER BY stored.bin ASC) AS uppers,
           list(stored.n ORDER BY stored.bin ASC) AS counts
    FROM (SELECT unnest(CASE WHEN baseline IS NULL THEN __duckprop_propensity_baseline(__duckprop_version(model)) END,
                 recursive := true)) AS stored
    GROUP BY stored.category
    UNION ALL
    FROM __duckprop_tenths(coalesce(baseline, scored)) WHERE baseline IS NOT NULL
  ), now AS (
    SELECT scored.category::VARCHAR AS category, count(*) AS n, map_values(histogram(__duckprop_checked(scored.propensity)::FLOAT,
                                                               coalesce(bins.uppers, ['infinity'::FLOAT]))) AS counts
    FROM query_table(scored) AS scored LEFT JOIN __duckprop_bins AS bins ON scored.category::VARCHAR = bins.category
    WHERE scored.category IS NOT NULL AND scored.propensity IS NOT NULL GROUP BY scored.category::VARCHAR
  ), shares AS (
    SELECT coalesce(now.category, bins.category) AS category,
           coalesce(now.n, 0) AS n, coalesce(list_sum(bins.counts), 0)::BIGINT AS n_baseline,
           list_zip(now.counts, bins.counts) AS pairs, len(bins.counts) AS size
    FROM now FULL JOIN __duckprop_bins AS bins ON now.category = bins.category
  )
  SELECT category,
         CASE WHEN n > 0 AND n_baseline > 0 THEN list_sum([
           ((pair[1] + 0.5e0) / (n + 0.5e0 * size) - (pair[2] + 0.5e0) / (n_baseline + 0.5e0 * size))
           * ln((pair[1] + 0.5e0) / (n + 0.5e0 * size) / ((pair[2] + 0.5e0) / (n_baseline + 0.5e0 * size)))
           FOR pair IN pairs]) END AS psi,
         CASE WHEN n > 0 AND n_baseline > 0 THEN greatest(0, least(1, list_sum([
           __duckprop_entropy((pair[1] / n + pair[2] / n_baseline) / 2)
           - (__duckprop_entropy(pair[1] / n) + __duckprop_entropy(pair[2] / n_baseline)) / 2
           FOR pair IN pairs]))) END AS js,
         n, n_baseline
  FROM shares ORDER BY category ASC;
COMMENT ON MACRO TABLE propensity_drift IS
  'one row a category: how far its propensities have moved from those of a baseline, the model''s own or another';
