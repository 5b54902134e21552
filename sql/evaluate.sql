-- How good propensities are. What needs a sorted copy of them is computed in Python, the rest here.

-- Lists of k categories: precision, recall and nDCG, the mean over the customers that acted in a scored category, and
-- coverage, the share of all categories that are on any customer's list. NULL with fewer categories than k.
CREATE OR REPLACE MACRO __duckprop_of_lists(pairs, min_support) AS TABLE
  WITH customers AS (  -- the lowest by (−propensity, category): ties go to the lower category, as in propensity_topk
    SELECT p.id, count(*) FILTER (p.acted) AS acts,
           min({minus: -p.propensity, category: p.category, acted: p.acted}, 10) AS best
    FROM query_table(pairs) AS p GROUP BY p.id
  ), places AS (
    SELECT id, acts, generate_subscripts(best, 1) AS place, unnest(best, recursive := true) FROM customers
  ), sizes AS (
    SELECT unnest([1, 3, 5, 10]) AS k, count(DISTINCT p.category) AS categories FROM query_table(pairs) AS p
  ), lists AS (
    SELECT k, id, acts, sum(acted::INTEGER) AS hits, sum(acted::INTEGER / log2(place + 1)) AS gain,
           sum(if(place <= acts, 1 / log2(place + 1), 0)) AS most
    FROM places JOIN sizes ON place <= k WHERE acts > 0 GROUP BY ALL
  ), figures AS (
    SELECT k, unnest([{metric: 'precision', figure: hits / k}, {metric: 'recall', figure: hits / acts},
                      {metric: 'ndcg', figure: gain / most}], recursive := true) FROM lists
  ), means AS (
    SELECT metric || '_at_' || k AS metric, if(k <= categories, avg(figure), NULL) AS value,
           1.959963984540054e0 * stddev_pop(figure) / sqrt(count(figure)) AS reach, count(figure) AS support
    FROM sizes CROSS JOIN (VALUES ('precision'), ('recall'), ('ndcg')) AS names(metric)
    LEFT JOIN figures USING (k, metric) GROUP BY k, categories, metric
    UNION ALL
    SELECT 'coverage_at_' || k, if(k <= categories, count(DISTINCT category) / categories, NULL), NULL, count(DISTINCT id)
    FROM sizes LEFT JOIN places ON place <= k GROUP BY k, categories
  )
  SELECT NULL::VARCHAR AS category, metric, value, if(value < reach, 0, value - reach) AS ci_low,
         if(value + reach > 1, 1, value + reach) AS ci_high, support, support < min_support AS is_too_small
  FROM means;

-- category VARCHAR, NULL for all of them together. metric VARCHAR. value, ci_low, ci_high DOUBLE: the figure and its 95 %
-- interval, NULL where nothing supports it. support BIGINT: how many responders (customers for lists) it rests on.
-- is_too_small BOOLEAN: fewer than min_support, or fewer that did not respond, so that it says little.
-- Metrics of a category: auc (area under the ROC curve, a tie counts one half), average_precision, log_loss (in nats,
-- propensities kept off 0 and 1 by 1e-6), brier, and ece, the mean distance of propensity and rate over 20 bins of equal
-- size. Overall: micro_…, the same of all pairs of a customer and a category at once; macro_…, the mean over the
-- categories with at least min_support responders; and for lists of k = 1, 3, 5, 10 categories precision_at_k,
-- recall_at_k and ndcg_at_k, the mean over the customers that acted in a scored category, and coverage_at_k, the share
-- of the categories that are on any customer's list (no interval).
-- Intervals are those of the infinitesimal jackknife: customers are independent of each other, what one customer does
-- in several categories is not. An interval without any width, as of a perfect ranking of a few, promises nothing.
-- Outcomes of customers and categories that were not scored are left out, repeated ones count once; rows whose id,
-- category or propensity is NULL are left out; without rows, values are NULL. Raises an error for a propensity
-- outside [0, 1], for a customer that a category holds twice, and for a min_support that is no whole number from 1.
-- Memory: about 200 bytes a pair of a customer and a category; evaluate a sample of the customers where that is too much.
-- Example: FROM propensity_evaluate('propensities', 'outcomes') WHERE category IS NULL ORDER BY metric
CREATE OR REPLACE MACRO propensity_evaluate(scored, outcomes, min_support := 5) AS TABLE
  WITH __duckprop_evaluated AS MATERIALIZED (
    FROM __duckprop_pairs(scored, outcomes)
  ), customers AS (
    SELECT id, (row_number() OVER () - 1)::INTEGER AS customer FROM (SELECT DISTINCT id FROM __duckprop_evaluated)
  ), columns AS (
    SELECT category, list(customer) AS who, list(propensity) AS propensities, list(acted) AS acts
    FROM __duckprop_evaluated JOIN customers USING (id) GROUP BY category
  )
  SELECT unnest(__duckprop_propensity_evaluate(list(category::VARCHAR ORDER BY category ASC), list(who ORDER BY category ASC),
                                               list(propensities ORDER BY category ASC), list(acts ORDER BY category ASC),
                                               __duckprop_whole(min_support, 'min_support')), recursive := true)
  FROM columns
  UNION ALL
  FROM __duckprop_of_lists('__duckprop_evaluated', __duckprop_whole(min_support, 'min_support'));
COMMENT ON MACRO TABLE propensity_evaluate IS 'one row a category and metric: how good propensities are, with an interval';
