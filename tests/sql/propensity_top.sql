-- models: shop club
SET VARIABLE propensity_model = 'shop';
CREATE TABLE customers AS FROM (VALUES (1, [3]), (2, []), (3, NULL), (NULL, [3, 4])) t(id, features);
DESCRIBE FROM propensity_top('customers', 1);
SELECT * REPLACE (round(propensity, 4) AS propensity) FROM propensity_top('customers', 2) ORDER BY id, rank;
SELECT * REPLACE (round(propensity, 4) AS propensity) FROM duckprop.propensity_top('customers', 99) WHERE id = 1 ORDER BY rank;
SELECT * REPLACE (round(propensity, 4) AS propensity) FROM propensity_top('customers', 9, model := 'club') WHERE id = 1 ORDER BY rank;
-- the first of all scores
SELECT bool_and(t.category = s.category AND t.propensity = s.propensity) AS same, count(*) AS n FROM propensity_top('customers', 1) AS t JOIN (FROM propensity_scores('customers') QUALIFY row_number() OVER (PARTITION BY id ORDER BY propensity DESC) = 1) AS s USING (id);
-- none of them
FROM propensity_top('customers', 0);
FROM propensity_top('customers', NULL);
-- another id column, columns called like arguments and aliases
WITH people AS (SELECT 'a' AS k, [3] AS "Features", 2 AS id, 3 AS best, 4 AS scored, 5 AS r) SELECT id, category, rank FROM propensity_top('people', 1, id := 'K');
-- wrong
FROM propensity_top('customers', -1);
FROM propensity_top('customers', 2.5);
FROM propensity_top('customers', 'two');
FROM propensity_top('customers');
FROM propensity_top('customer', 1);
FROM propensity_top('customers', 1, id := 'household_id');
FROM propensity_top('customers', 1, id := NULL);
FROM propensity_top('customers', 1, features := 'basket');
FROM propensity_top('customers', 1, features := 'id');
FROM propensity_top('customers', 1, categories := ['toys']);
FROM propensity_top('customers', 1, model := 'shp');
