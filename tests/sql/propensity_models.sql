-- models: shop@champion club shop@next
-- propensity_models(): one row a version; and which model a call means
DESCRIBE FROM propensity_models();
SELECT model, name, version, aliases, categories, features FROM propensity_models();
SELECT created, macro_auc, log_loss FROM propensity_models() WHERE model = 'shop@1';
SELECT name, max(version) AS newest FROM duckprop.propensity_models() GROUP BY name ORDER BY name;
SELECT m.name, count(*) AS n FROM propensity_models() m, range(2) GROUP BY m.name ORDER BY m.name;
-- name is the newest version, name@2 a version, name@champion an alias; two versions in one query
SELECT round(propensity([3], 'toys', 'shop'), 4) AS newest, round(propensity([3], 'toys', 'shop@2'), 4) AS two, round(propensity([3], 'toys', 'shop@next'), 4) AS next;
SELECT round(propensity([3], 'toys', 'shop@1'), 4) AS one, round(propensity([3], 'toys', 'shop@champion'), 4) AS champion, round(propensity([3], 'toys', 'club'), 4) AS club;
-- a model a row, rows in their order
SELECT m, round(propensity([i], 'toys', m), 4) AS p FROM (VALUES (3, 'shop@1'), (3, 'club'), (5, 'shop@champion'), (5, 'shop@1'), (3, 'shop@next')) t(i, m);
SELECT m, list_transform(propensity_topk([3], 1, model := m), lambda b: b.category) AS best FROM (VALUES ('shop@1'), ('club'), ('shop@champion')) t(m);
SELECT m, len(propensity_vector([3], m)) AS n FROM (VALUES ('shop@1'), ('club')) t(m);
-- wrong: none is named, and there are two
SELECT propensity([3], 'toys');
SELECT propensity_vector([3], NULL);
SELECT propensity([3], 'toys', m) FROM (VALUES ('club'), (NULL)) t(m);
-- the session variable names it
SET VARIABLE propensity_model = 'shop@champion';
SELECT round(propensity([3], 'toys'), 4) AS champion, round(propensity([3], 'toys', 'club'), 4) AS club, round(propensity([3], 'toys', NULL), 4) AS left_out;
SELECT m, round(propensity([3], 'toys', m), 4) AS p FROM (VALUES ('club'), (NULL)) t(m);
SET VARIABLE propensity_model = 'shop@champ';
SELECT propensity([3], 'toys');
RESET VARIABLE propensity_model;
SELECT propensity([3], 'toys');
-- wrong: names
SELECT propensity([3], 'toys', 'clup');
SELECT propensity([3], 'toys', 'shop@3');
SELECT propensity([3], 'toys', 'shop@champoin');
SELECT propensity([3], 'toys', 'club@champion');
SELECT propensity([3], 'shoes', 'club');
SELECT propensity([3], 'shoes', m) FROM (VALUES ('shop@1'), ('club')) t(m);
-- wrong: an error names the row's place in its batch, whichever model it belongs to
SELECT propensity([i], 'toys', m) FROM (VALUES (3, 'shop@1'), (3, 'club'), (NULL, 'club'), (40, 'club')) t(i, m);
SELECT propensity(f, 'toys', m) FROM (VALUES ([3], 'shop@1'), ([3], 'club'), (NULL, 'club'), ([99], 'club')) t(f, m);
SELECT propensity_topk([3], k, model := m) FROM (VALUES (1, 'shop@1'), (1, 'shop@1'), (-1, 'club')) t(k, m);
SELECT propensity_topk([3], 1, min_propensity := p, model := m) FROM (VALUES (1, 'shop@1'), (1, 'shop@1'), (7, 'club')) t(p, m);
-- wrong: names for a model that knows only numbers
SELECT propensity(['item 3'], 'toys', 'club');
SELECT propensity_coverage(MAP {'item 3': 1}, 'club');
SELECT propensity_models();
FROM propensity_models('shop');
