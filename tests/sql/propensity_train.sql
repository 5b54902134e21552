-- propensity_train(features_rel, labels_rel, name, …): a model trained and published, its figures as rows
CREATE TABLE customers AS SELECT i AS customer, DATE '2025-12-01' AS as_of, [{'feature': 'has ' || i % 4, 'value': 1e0}, {'feature': 'of all', 'value': 1e0}] AS basket, if(i % 5 = 0, 'test', if(i % 5 = 1, 'validation', 'train')) AS split FROM range(400) t(i);
CREATE TABLE outcomes AS SELECT customer, as_of, ['tea', 'mugs', 'pots', 'cups'][1 + customer % 4] AS category FROM customers;
DESCRIBE FROM propensity_train('customers', 'outcomes', 'retail');
SELECT model, split, metric, round(value, 1) AS about, support FROM propensity_train('customers', 'outcomes', 'retail', ids := ['customer', 'as_of'], features := 'basket', settings := {'epochs': 8, 'hidden': [16], 'batch': 16, 'dropout': 0, 'seed': 3}, outcome := 'bought in December', promote := 'champion');
-- a SELECT, other columns, a MAP of settings, a vocabulary
SELECT DISTINCT model FROM duckprop.propensity_train('SELECT customer AS id, basket AS features FROM customers', 'SELECT customer AS id, category AS family FROM outcomes', 'retail', category := 'family', settings := MAP {'epochs': 1, 'hidden': 4, 'dropout': 0.5}, vocabulary := 'SELECT range AS "column", ''has '' || range AS feature FROM range(4)');
SELECT model, aliases, categories, features FROM propensity_models() WHERE name = 'retail' ORDER BY ALL;
SELECT value FROM propensity_model_info('retail@1') WHERE property = 'outcome';
SELECT category, round(propensity, 1) AS about FROM (SELECT unnest(propensity_topk(basket, 1, model := 'retail@champion'), recursive := true) FROM customers WHERE customer = 2);
-- planning trains nothing
PREPARE later AS FROM propensity_train('customers', 'outcomes', 'retail', ids := ['customer', 'as_of'], features := 'basket');
SELECT count(*) FROM propensity_models() WHERE name = 'retail';
-- wrong
FROM propensity_train('customers', 'outcomes');
FROM propensity_train('customers', 'outcomes', NULL);
FROM propensity_train('customers', 'outcomes', 'my shop');
FROM propensity_train('customers', NULL, 'retail');
FROM propensity_train('customers', 'outcomes', 'retail');
FROM propensity_train('customers', 'outcomes', 'retail', ids := ['customer', NULL]);
FROM propensity_train('customers', 'outcomes', 'retail', ids := 'customer', features := 'baskets');
FROM propensity_train('customers', 'outcomes', 'retail', ids := 'customer', features := 'basket', category := 'customer', min_positives := 2);
FROM propensity_train('customers', 'outcomes', 'retail', min_positives := 2.5);
FROM propensity_train('customers', 'outcomes', 'retail', settings := {'epoch': 5});
FROM propensity_train('customers', 'outcomes', 'retail', settings := {'epochs': 'five'});
FROM propensity_train('customers', 'outcomes', 'retail', settings := {'epochs': 0});
FROM propensity_train('customers', 'outcomes', 'retail', settings := {'learning_rate': 'slow'});
FROM propensity_train('customers', 'outcomes', 'retail', settings := [5]);
FROM propensity_train('customers', 'outcomes', 'retail', promote := '3');
FROM propensity_train('customers', 'outcomes', 'retail', classes := 'yes');
CREATE TEMP TABLE mine AS FROM customers;
FROM propensity_train('mine', 'outcomes', 'retail');
WITH mine AS (FROM customers) FROM propensity_train('customers', 'mine', 'retail', ids := 'customer', features := 'basket');
SELECT count(*) FROM propensity_models() WHERE name = 'retail';
