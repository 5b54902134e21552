-- propensity_lift(scored, outcomes): category, decile, n, responders, rate, lift, cum_rate, cum_lift, cum_gain
CREATE TABLE scored AS SELECT i AS id, 'tea' AS category, 1 - i / 20 AS propensity FROM range(20) t(i) UNION ALL SELECT i, 'mugs', 0.5 FROM range(3) t(i) UNION ALL FROM (VALUES (0, 'pots', NULL), (NULL, 'mugs', 0.5), (1, NULL, 0.5));
CREATE TABLE outcomes AS FROM (VALUES (0, 'tea'), (1, 'tea'), (4, 'tea'), (19, 'tea')) t(id, category);
FROM propensity_lift('scored', 'outcomes');
-- repeated outcomes, unknown customers and categories, NULLs: no difference
WITH acts AS (FROM outcomes UNION ALL FROM outcomes UNION ALL FROM (VALUES (99, 'tea'), (1, 'hats'), (NULL, 'tea'), (2, NULL), (NULL, NULL))) SELECT count(*) AS n, count(DISTINCT l) AS different FROM (SELECT l FROM propensity_lift('scored', 'outcomes') AS l UNION ALL SELECT m FROM duckprop.propensity_lift('scored', 'acts') AS m);
-- lists of categories
WITH acts AS (SELECT 0 AS id, ['tea', 'mugs', 'tea', NULL] AS category UNION ALL SELECT 1, [] UNION ALL SELECT 2, NULL) SELECT category, decile, n, responders FROM propensity_lift('scored', 'acts') WHERE responders > 0;
-- nobody acted
WITH acts AS (FROM outcomes WHERE false) FROM propensity_lift('scored', 'acts') WHERE category = 'mugs';
-- everybody acted
WITH acts AS (SELECT id, ['tea', 'mugs'] AS category FROM scored) FROM propensity_lift('scored', 'acts') WHERE category = 'mugs';
-- ids of another type, ENUMs, names of columns in other cases, relations called like what is inside
WITH counted AS (SELECT id::VARCHAR AS "ID", category::ENUM('tea', 'mugs', 'pots') AS "Category", propensity AS "Propensity" FROM scored), summed AS (SELECT id::VARCHAR AS "ID", category::ENUM('mugs', 'tea') AS "Category" FROM outcomes) FROM propensity_lift('counted', 'summed') WHERE responders > 0;
WITH none AS (FROM scored WHERE false) FROM propensity_lift('none', 'outcomes');
-- wrong: propensities
WITH wrong AS (SELECT 1 AS id, 'tea' AS category, 'nan'::FLOAT AS propensity) FROM propensity_lift('wrong', 'outcomes');
WITH wrong AS (SELECT 1 AS id, 'tea' AS category, 1.01 AS propensity) FROM propensity_lift('wrong', 'outcomes');
-- wrong: the relations and their columns
FROM propensity_lift('scored');
FROM propensity_lift('outcomes', 'scored');
FROM propensity_lift('scored', 'actions');
FROM propensity_lift('scored', NULL);
WITH wrong AS (SELECT id AS customer, category FROM outcomes) FROM propensity_lift('scored', 'wrong');
WITH wrong AS (SELECT id, category AS item FROM outcomes) FROM propensity_lift('scored', 'wrong');
WITH wrong AS (SELECT id, {'name': category} AS category FROM outcomes) FROM propensity_lift('scored', 'wrong');
WITH wrong AS (SELECT id, 7 AS category FROM outcomes) FROM propensity_lift('scored', 'wrong');
WITH wrong AS (SELECT 'x' AS id, category FROM outcomes) FROM propensity_lift('scored', 'wrong');
WITH wrong AS (SELECT DATE '2026-01-01' AS id, category FROM outcomes) FROM propensity_lift('scored', 'wrong');
FROM propensity_lift('scored', 'outcomes', 'shop');
