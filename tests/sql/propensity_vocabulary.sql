-- propensity_vocabulary(features_rel, min_customers, features): the names that are worth a column
CREATE TABLE customers AS FROM (VALUES (1, [{'feature': 'tea', 'value': 2e0}, {'feature': 'mugs', 'value': 1e0}]), (2, [{'feature': 'tea', 'value': 1e0}, {'feature': 'tea', 'value': 3e0}]), (3, [{'feature': 'pots', 'value': 0e0}, {'feature': 'mugs', 'value': 1e0}, {'feature': NULL, 'value': 1e0}, {'feature': '', 'value': 1e0}]), (4, NULL), (5, [])) t(id, features);
DESCRIBE FROM propensity_vocabulary('customers');
FROM propensity_vocabulary('customers', 1);
FROM duckprop.propensity_vocabulary('customers', min_customers := 2);
FROM propensity_vocabulary('customers');
-- a list of names and a MAP are the same
CREATE TABLE others AS SELECT list_transform(features, lambda f: f.feature) AS names, map_from_entries(list_transform(list_distinct(names), lambda name: (name, 1))) AS amounts FROM customers;
FROM propensity_vocabulary('others', 2, 'names');
FROM propensity_vocabulary('others', 2, features := 'amounts');
-- wrong
FROM propensity_vocabulary('customers', 0);
FROM propensity_vocabulary('customers', NULL);
FROM propensity_vocabulary('customers', 2, features := 'feature');
FROM propensity_vocabulary('customers', 2, features := 'id');
CREATE TABLE numbered AS SELECT [3, 17] AS features;
FROM propensity_vocabulary('numbered', 1);
