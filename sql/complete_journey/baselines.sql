-- What an analyst would do without a model, for every household and category of the test window: the figures to beat.
-- Rates are learnt on the training windows only.
--   popularity           the category's rate
--   last_28_days         the rate among those who did, or did not, buy it in the last 28 days
--   personal_frequency   the household's own rate per 28 days since its first visit, as if it had come with 4 more such
--                        periods at the category's rate: the prior strength, of 1, 2, 3, 4, 6 and 8, with the lowest
--                        log loss on the validation window
CREATE OR REPLACE TABLE baselines AS
WITH past AS (      -- one row per window, household and category bought before; in training only the latest 28 days
    SELECT as_of, split, household_id, name AS category, min(as_of - day) AS days_ago,
           count(DISTINCT (as_of - day - 1) // 28) AS periods
    FROM visits JOIN items USING (item_id) JOIN windows ON day < as_of AND (split = 'test' OR day >= as_of - 28)
    WHERE visits.kind = 'category' AND split IN ('train', 'test')
    GROUP BY as_of, split, household_id, name
),
examples AS (
    SELECT count(*) AS n FROM customer_features WHERE split = 'train'
),
positives AS (
    SELECT category, count(*) AS n FROM outcomes JOIN windows USING (as_of) WHERE split = 'train' GROUP BY category
),
recent AS (         -- training examples with a purchase in the last 28 days, and how many of them bought again
    SELECT past.category, count(*) AS n, count(o.household_id) AS n_again
    FROM past LEFT JOIN outcomes AS o USING (household_id, as_of, category)
    WHERE past.split = 'train' GROUP BY past.category
),
rates AS (          -- 20 examples at the category's own rate steady the two conditional ones
    SELECT category, p.n / e.n AS rate,
           (coalesce(r.n_again, 0) + 20 * rate) / (coalesce(r.n, 0) + 20) AS rate_yes,
           (p.n - coalesce(r.n_again, 0) + 20 * rate) / (e.n - coalesce(r.n, 0) + 20) AS rate_no
    FROM positives AS p LEFT JOIN recent AS r USING (category) CROSS JOIN examples AS e
),
customers AS (
    SELECT household_id, as_of, max((as_of - day - 1) // 28) + 1 AS periods_observed
    FROM purchases JOIN windows ON day < as_of WHERE split = 'test' GROUP BY household_id, as_of
)
SELECT household_id, as_of, category, rate::FLOAT AS popularity,
       if(coalesce(days_ago <= 28, false), rate_yes, rate_no)::FLOAT AS last_28_days,
       ((coalesce(periods, 0) + 4 * rate) / (periods_observed + 4))::FLOAT AS personal_frequency,
       coalesce(days_ago <= 84, false) AS bought_last_84_days
FROM customers CROSS JOIN rates LEFT JOIN past USING (household_id, as_of, category)
ORDER BY household_id, category;
