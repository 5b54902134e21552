-- models: shop club
SET VARIABLE propensity_model = 'shop';
CREATE TABLE customers AS FROM (VALUES (1, [3]), (2, []), (3, NULL), (NULL, [3, 4])) t(id, features);
DESCRIBE FROM propensity_scores('customers');
SELECT * REPLACE (round(propensity, 4) AS propensity) FROM propensity_scores('customers') ORDER BY ALL;
SELECT * REPLACE (round(propensity, 4) AS propensity) FROM duckprop.propensity_scores('customers', ['toys', 'books']) WHERE id = 1;
-- the same numbers as the scalar, whatever is asked for
SELECT bool_and(s.propensity = propensity(c.features, s.category)) AS same_numbers, count(*) AS n FROM propensity_scores('customers') AS s JOIN customers AS c USING (id);
SELECT bool_and(s.propensity = propensity(c.features, s.category)) AS same_numbers, count(*) AS n FROM propensity_scores('customers', ['toys', 'garden']) AS s JOIN customers AS c USING (id);
-- names given twice or NULL, none, all in the model's order, another model
SELECT id, category FROM propensity_scores('customers', ['toys', NULL, 'books', 'toys']) WHERE id = 1;
FROM propensity_scores('customers', []);
FROM propensity_scores('customers', [NULL]);
SELECT id, category FROM propensity_scores('customers', (SELECT list(category ORDER BY category_id DESC) FROM propensity_categories())) WHERE id = 1;
SELECT category, round(propensity, 4) AS propensity FROM propensity_scores('customers', model := 'club') WHERE id = 1;
SELECT category, round(propensity, 4) AS propensity FROM propensity_scores('customers', ['wine']::ENUM('wine', 'beer')[], model := 'club@1') WHERE id = 1;
-- another id column, names in other cases, columns called like arguments and aliases
WITH people AS (SELECT 'a-' || id AS "Who", features AS "Basket", 1 AS rel, 2 AS model, 3 AS r, 4 AS categories FROM customers WHERE id = 1) SELECT id, category FROM propensity_scores('people', ['toys'], id := 'who', features := 'basket');
WITH people AS (SELECT {'shop': 7, 'no': id} AS id, features AS "select" FROM customers WHERE id = 1) SELECT * REPLACE (round(propensity, 4) AS propensity) FROM propensity_scores('people', ['toys'], features := 'select');
WITH people AS (SELECT UUID '00000000-0000-0000-0000-000000000007' AS features, [3] AS id) SELECT id, category FROM propensity_scores('people', ['toys'], id := 'features', features := 'id');
WITH people AS (SELECT 1 AS id, [3] AS features, 5 AS r, 6 AS given, 7 AS scored, 8 AS propensities) SELECT id, category FROM propensity_scores('people', ['toys']);
-- no customer, nothing to ask a model for
CREATE VIEW nobody AS FROM customers WHERE false;
FROM propensity_scores('nobody');
FROM propensity_scores('nobody', ['shoez'], model := 'shp');
-- wrong: the categories
FROM propensity_scores('customers', ['toys', 'shoez']);
FROM propensity_scores('customers', 'toys');
FROM propensity_scores('customers', [1]);
FROM propensity_scores('customers', [['toys']]);
FROM propensity_scores('customers', ['toys'], model := 'club', category := 'toys');
FROM propensity_scores('customers', ['garden'], model := 'club');
-- wrong: the relation and its columns
FROM propensity_scores('customer');
FROM propensity_scores(NULL);
FROM propensity_scores((FROM customers));
FROM propensity_scores('customers', id := 'household_id');
FROM propensity_scores('customers', id := NULL);
FROM propensity_scores('customers', features := 'basket');
FROM propensity_scores('customers', features := NULL);
FROM propensity_scores('customers', features := 'id');
WITH people AS (SELECT 1 AS id, [3, 40] AS features) FROM propensity_scores('people', ['toys']);
WITH people AS (SELECT 1 AS id, ['item 3'] AS features) FROM propensity_scores('people', model := 'club');
-- wrong: the model
FROM propensity_scores('customers', model := 'shp');
RESET VARIABLE propensity_model;
FROM propensity_scores('customers');
