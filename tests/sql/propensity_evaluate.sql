CREATE TABLE customers AS SELECT id, [id % 40, id % 7] AS features FROM range(60) AS numbers(id);
CREATE TABLE scored AS SELECT id, category, round(propensity, 1) AS propensity FROM propensity_scores('customers');
CREATE TABLE outcomes AS SELECT id, category FROM scored WHERE ascii(md5(category || id)) < 48 + 10 * propensity;
CREATE MACRO brief(found) AS TABLE SELECT category, metric, round(value, 6) AS value, round(ci_low, 4) AS ci_low, round(ci_high, 4) AS ci_high, support, is_too_small FROM query_table(found);
-- one category, all together, lists
WITH found AS (FROM propensity_evaluate('scored', 'outcomes')) FROM brief('found') WHERE category = 'toys' ORDER BY metric;
WITH found AS (FROM propensity_evaluate('scored', 'outcomes')) FROM brief('found') WHERE category IS NULL ORDER BY metric;
DESCRIBE FROM propensity_evaluate('scored', 'outcomes');
WITH found AS (FROM propensity_evaluate('scored', 'outcomes')) SELECT count(*) AS rows, count(DISTINCT category) AS categories, count(DISTINCT metric) AS metrics FROM found;
-- a table of lists of categories, repeated outcomes and those of strangers make no difference
WITH lists AS (SELECT id, list(category) AS category FROM outcomes GROUP BY id), a AS (FROM propensity_evaluate('scored', 'lists')), b AS (FROM propensity_evaluate('scored', 'outcomes')) SELECT count(*) AS same FROM a JOIN b ON a.metric = b.metric AND a.category IS NOT DISTINCT FROM b.category AND round(a.value, 9) IS NOT DISTINCT FROM round(b.value, 9);
WITH more AS (FROM outcomes UNION ALL FROM outcomes UNION ALL SELECT 999, 'toys' UNION ALL SELECT 1, 'cheese' UNION ALL SELECT NULL, 'toys' UNION ALL SELECT 1, NULL), a AS (FROM propensity_evaluate('scored', 'more')), b AS (FROM propensity_evaluate('scored', 'outcomes')) SELECT count(*) AS same FROM a JOIN b ON a.metric = b.metric AND a.category IS NOT DISTINCT FROM b.category AND round(a.value, 9) IS NOT DISTINCT FROM round(b.value, 9);
WITH unknown AS (FROM scored UNION ALL SELECT 77, 'toys', NULL), found AS (FROM propensity_evaluate('unknown', 'outcomes')) FROM brief('found') WHERE category = 'toys' AND metric = 'auc';
-- little support is said so; a higher bar leaves categories out of the means
WITH few AS (FROM outcomes WHERE category = 'toys' LIMIT 2), found AS (FROM propensity_evaluate('scored', 'few')) SELECT category, metric, value IS NULL AS is_null, support, is_too_small FROM found WHERE metric IN ('auc', 'macro_auc', 'precision_at_1') ORDER BY ALL;
WITH found AS (FROM propensity_evaluate('scored', 'outcomes', min_support := 1000)) SELECT metric, value, support, is_too_small FROM found WHERE metric LIKE 'macro%' ORDER BY metric;
-- everybody acted; nobody did; one row; fewer categories than a list is long; no rows
WITH all_of_them AS (SELECT id, category FROM scored), found AS (FROM propensity_evaluate('scored', 'all_of_them')) FROM brief('found') WHERE category = 'toys' ORDER BY metric;
WITH none AS (FROM outcomes LIMIT 0), found AS (FROM propensity_evaluate('scored', 'none')) FROM brief('found') WHERE category = 'toys' OR metric LIKE '%5' OR metric LIKE 'micro%' ORDER BY ALL;
WITH one AS (SELECT 1 AS id, 'toys' AS category, 0.25 AS propensity), found AS (FROM propensity_evaluate('one', 'outcomes')) FROM brief('found') WHERE value IS NOT NULL ORDER BY ALL;
WITH nothing AS (FROM scored LIMIT 0), found AS (FROM propensity_evaluate('nothing', 'outcomes')) FROM brief('found') ORDER BY ALL;
-- wrong: propensities
WITH bad AS (FROM scored UNION ALL SELECT 77, 'toys', 1.5) FROM propensity_evaluate('bad', 'outcomes');
WITH bad AS (FROM scored UNION ALL SELECT 77, 'toys', 'nan'::FLOAT) FROM propensity_evaluate('bad', 'outcomes');
WITH bad AS (SELECT id, category, 'high' AS propensity FROM scored) FROM propensity_evaluate('bad', 'outcomes');
WITH bad AS (SELECT id, category FROM scored) FROM propensity_evaluate('bad', 'outcomes');
-- wrong: a customer twice
WITH bad AS (FROM scored UNION ALL FROM scored WHERE id = 3 AND category = 'toys') FROM propensity_evaluate('bad', 'outcomes');
-- wrong: relations and columns
FROM propensity_evaluate('scoredd', 'outcomes');
FROM propensity_evaluate('scored', 'outcomez');
WITH bad AS (SELECT id AS customer, category, propensity FROM scored) FROM propensity_evaluate('bad', 'outcomes');
WITH bad AS (SELECT id AS customer, category FROM outcomes) FROM propensity_evaluate('scored', 'bad');
WITH bad AS (SELECT 'c7' AS id, category FROM outcomes) FROM propensity_evaluate('scored', 'bad');
-- wrong: arguments
FROM propensity_evaluate('scored', 'outcomes', min_support := 0);
FROM propensity_evaluate('scored', 'outcomes', min_support := NULL);
FROM propensity_evaluate('scored', 'outcomes', min_support := 'five');
FROM propensity_evaluate('scored', 'outcomes', min_support := 2.5);
FROM propensity_evaluate('scored');
FROM propensity_evaluate('scored', 'outcomes', bins := 10);
