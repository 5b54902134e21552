-- What is known about each household on the morning of one day: SET VARIABLE as_of = DATE '2017-12-04'; FROM features.
-- One row per household and feature; value = 1 + ln(n), where n counts visits (distinct baskets), or is 1 for a fact.
-- Only purchases BEFORE the as-of day enter. A household without one has no row.
--
-- How features are named:  kind:item [when]
--   when counted in days before the as-of day: 'last 28 days' | '29-84 days ago' | '85+ days ago'
--   product:1029743 last 28 days          type: category: department: alike; manufacturer: and store: know only
--                                         'last 28 days' and '29+ days ago'
--   category:YOGURT last bought 8-14 days ago         category:YOGURT in 3 four-week periods
--   weekday:Monday 20-29% of visits                   hour:08-11 20-29% of visits
--   private label:about 30% of lines                  discounted:about 40% of lines
--   last visit:4-7 days ago                           first visit:140-167 days ago
--   visits:about 10 last 28 days     spend:about 31.0 last 28 days     lines per visit:about 7     (steps of sqrt 2)
--   month:April                                       of the as-of day
--   coupon:10000089238 redeemed                       campaign:13 redeemed | running | ended
--   age:45-54  income:35-49K  kids_count:unknown      and the other columns of demographics
CREATE OR REPLACE TEMP VIEW features AS
WITH history AS NOT MATERIALIZED (     -- lines of receipts; scanned anew by each reader: cheaper than kept in memory
    SELECT *, getvariable('as_of')::DATE - day AS days_ago,
           CASE WHEN days_ago <= 28 THEN 'last 28 days' WHEN days_ago <= 84 THEN '29-84 days ago'
                ELSE '85+ days ago' END AS period
    FROM purchases
    WHERE day < getvariable('as_of')::DATE
),
counts AS (                   -- how many visits brought the item home, and how long ago
    SELECT household_id, item_id,
           CASE WHEN getvariable('as_of')::DATE - day <= 28 THEN 1
                WHEN kind IN ('manufacturer', 'store') THEN 4
                WHEN getvariable('as_of')::DATE - day <= 84 THEN 2 ELSE 3 END AS period,
           count(*) AS n
    FROM visits
    WHERE day < getvariable('as_of')::DATE
    GROUP BY household_id, item_id, period
),
rhythm AS MATERIALIZED (      -- how lately and how regularly a category was bought
    SELECT household_id, item_id, min(getvariable('as_of')::DATE - day) AS days_ago,
           least(8, count(DISTINCT (getvariable('as_of')::DATE - day - 1) // 28)) AS periods
    FROM visits
    WHERE kind = 'category' AND day < getvariable('as_of')::DATE
    GROUP BY household_id, item_id
),
households AS MATERIALIZED (  -- one row each: habits over the whole history
    SELECT household_id, min(days_ago) AS last_visit, least(13, max(days_ago) // 28) AS age_in_periods,
           count(DISTINCT basket_id) AS visits, count(*) AS lines,
           round(10 * count(*) FILTER (discounted) / lines)::INTEGER AS discounted,
           round(10 * count(*) FILTER (private_label) / nullif(count(private_label), 0))::INTEGER AS private_label
    FROM history GROUP BY household_id
),
activity AS MATERIALIZED (    -- one row per household and period
    SELECT household_id, period, round(2 * log2(1 + count(DISTINCT basket_id)))::INTEGER AS visits,
           round(2 * log2(1 + greatest(0, sum(cents)) / 100))::INTEGER AS spend
    FROM history GROUP BY household_id, period
),
shares AS (                   -- when the household shops: tenths of its visits
    SELECT household_id, 'weekday:' || dayname(day) AS item,
           10 * count(DISTINCT basket_id) // any_value(visits) AS tenths
    FROM history JOIN households USING (household_id) GROUP BY household_id, dayname(day)
    UNION ALL
    SELECT household_id, format('hour:{:02d}-{:02d}', hour // 4 * 4, hour // 4 * 4 + 3),
           10 * count(DISTINCT basket_id) // any_value(visits)
    FROM history JOIN households USING (household_id) GROUP BY household_id, hour // 4
),
answers AS (
    FROM demographics UNPIVOT INCLUDE NULLS (answer FOR question IN
        (age, income, home_ownership, marital_status, household_size, household_comp, kids_count))
),
facts AS (
    SELECT household_id, item || ' last bought '
           || CASE WHEN days_ago <= 7 THEN '1-7' WHEN days_ago <= 14 THEN '8-14' WHEN days_ago <= 28 THEN '15-28'
                   WHEN days_ago <= 56 THEN '29-56' WHEN days_ago <= 112 THEN '57-112' ELSE '113+' END
           || ' days ago' AS feature FROM rhythm JOIN items USING (item_id)
    UNION ALL
    SELECT household_id, item || ' in ' || periods || if(periods = 8, '+', '') || ' four-week periods'
    FROM rhythm JOIN items USING (item_id)
    UNION ALL
    SELECT household_id, item || ' ' || if(tenths = 10, '100', 10 * tenths || '-' || 10 * tenths + 9) || '% of visits'
    FROM shares
    UNION ALL
    SELECT household_id, 'private label:' || coalesce('about ' || 10 * private_label || '% of lines', 'unknown')
    FROM households
    UNION ALL
    SELECT household_id, 'discounted:about ' || 10 * discounted || '% of lines' FROM households
    UNION ALL
    SELECT household_id, 'last visit:'
           || CASE WHEN last_visit <= 1 THEN '1' WHEN last_visit <= 3 THEN '2-3' WHEN last_visit <= 7 THEN '4-7'
                   WHEN last_visit <= 14 THEN '8-14' WHEN last_visit <= 28 THEN '15-28'
                   WHEN last_visit <= 56 THEN '29-56' ELSE '57+' END || ' days ago' FROM households
    UNION ALL
    SELECT household_id, 'first visit:' || 28 * age_in_periods
           || if(age_in_periods = 13, '+', '-' || 28 * age_in_periods + 27) || ' days ago' FROM households
    UNION ALL
    SELECT household_id, 'lines per visit:about ' || round(2 ^ (round(2 * log2(1 + lines / visits)) / 2) - 1)::INTEGER
    FROM households
    UNION ALL
    SELECT household_id, 'visits:about ' || round(2 ^ (visits / 2) - 1)::INTEGER || ' ' || period FROM activity
    UNION ALL
    SELECT household_id, format('spend:about {:.1f} ', 2 ^ (spend / 2) - 1) || period FROM activity
    UNION ALL
    SELECT household_id, 'month:' || monthname(getvariable('as_of')::DATE) FROM households
    UNION ALL
    SELECT DISTINCT household_id, 'campaign:' || campaign
           || if(last_day >= getvariable('as_of')::DATE, ' running', ' ended')
    FROM mailings SEMI JOIN households USING (household_id) WHERE first_day < getvariable('as_of')::DATE
    UNION ALL
    SELECT household_id, question || ':' || coalesce(answer, 'unknown')
    FROM answers SEMI JOIN households USING (household_id)
),
redeemed AS (
    FROM redemptions SEMI JOIN households USING (household_id) WHERE day < getvariable('as_of')::DATE
),
named AS (
    SELECT household_id, n, item || ' ' || ['last 28 days', '29-84 days ago', '85+ days ago', '29+ days ago'][period]
           AS feature
    FROM counts JOIN items USING (item_id)
    UNION ALL
    SELECT household_id, 1, feature FROM facts
    UNION ALL
    SELECT household_id, count(*), 'coupon:' || coupon || ' redeemed' FROM redeemed GROUP BY household_id, coupon
    UNION ALL
    SELECT household_id, count(*), 'campaign:' || campaign || ' redeemed' FROM redeemed GROUP BY household_id, campaign
)
SELECT household_id, feature, (1 + ln(n))::FLOAT AS value FROM named;
