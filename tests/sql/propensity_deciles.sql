-- propensity_deciles(scored): scored's columns, decile, percentile
CREATE TABLE scored AS FROM (VALUES (1, 'tea', 0.9), (2, 'tea', 0.5), (3, 'tea', 0.5), (4, 'tea', 0.1), (5, 'tea', NULL), (1, 'mugs', 0.2), (NULL, 'mugs', 0.3), (2, NULL, 0.4)) t(id, category, propensity);
FROM propensity_deciles('scored') ORDER BY category, decile, id;
-- equal population, the first deciles one more; percentiles alike
WITH many AS (SELECT i AS id, 'tea' AS category, 1 / (i + 1) AS propensity FROM range(23) t(i)) SELECT decile, count(*) AS n, min(id) AS first, max(id) AS last, max(percentile) AS percentile FROM duckprop.propensity_deciles('many') GROUP BY decile ORDER BY decile;
-- all tied: the lower id first
WITH many AS (SELECT 9 - i AS id, 'tea' AS category, 0.5 AS propensity FROM range(10) t(i)) SELECT id, decile FROM propensity_deciles('many') ORDER BY decile;
-- columns that are replaced, that are called like ours, in other cases, and other types
WITH many AS (SELECT 1 AS "ID", 'tea' AS "Category", 0.5::FLOAT AS "Propensity", 'x' AS "Decile", 'y' AS "order", {'id': 7} AS scored, 'z' AS likeliest) FROM propensity_deciles('many');
WITH many AS (SELECT UUID '00000000-0000-0000-0000-000000000007' AS id, 'tea'::ENUM('tea') AS category, 1 AS propensity) FROM propensity_deciles('many');
CREATE VIEW none AS FROM scored WHERE false;
FROM propensity_deciles('none');
WITH unknown AS (SELECT id, category, NULL AS propensity FROM scored ORDER BY ALL LIMIT 1) FROM propensity_deciles('unknown');
-- wrong: propensities
WITH wrong AS (SELECT 1 AS id, 'tea' AS category, 'nan'::FLOAT AS propensity) FROM propensity_deciles('wrong');
WITH wrong AS (SELECT 1 AS id, 'tea' AS category, '-infinity'::FLOAT AS propensity) FROM propensity_deciles('wrong');
WITH wrong AS (SELECT 1 AS id, 'tea' AS category, -0.01 AS propensity) FROM propensity_deciles('wrong');
WITH wrong AS (SELECT 1 AS id, 'tea' AS category, 85 AS propensity) FROM propensity_deciles('wrong');
WITH wrong AS (SELECT 1 AS id, 'tea' AS category, '0.5' AS propensity) FROM propensity_deciles('wrong');
WITH wrong AS (SELECT 1 AS id, 'tea' AS category, [0.5] AS propensity) FROM propensity_deciles('wrong');
-- wrong: the relation and its columns
FROM propensity_deciles('score');
FROM propensity_deciles();
FROM propensity_deciles((FROM scored));
WITH wrong AS (SELECT id, category FROM scored) FROM propensity_deciles('wrong');
WITH wrong AS (SELECT id, propensity FROM scored) FROM propensity_deciles('wrong');
WITH wrong AS (SELECT category, propensity FROM scored) FROM propensity_deciles('wrong');
