-- propensity_explain(features, category [, k, model]): STRUCT(feature, value, contribution)[], in log-odds
CREATE MACRO brief(reasons) AS list_transform(reasons, lambda r: concat_ws(' ', r.feature, r.value, round(r.contribution, 3)));
CREATE MACRO log_odds(p) AS ln(p::DOUBLE / (1 - p::DOUBLE));
SELECT typeof(propensity_explain([3], 'toys')) AS type;
SELECT brief(propensity_explain('3:1.0 17:0.5 8:2', 'toys')) AS reasons;
-- all contributions and the log-odds of a customer without features add up to the customer's
SELECT round(list_sum(list_transform(propensity_explain('3:1.0 17:0.5', c), lambda r: r.contribution::DOUBLE)) + log_odds(propensity([]::INTEGER[], c)) - log_odds(propensity('3:1.0 17:0.5', c)), 4) = 0 AS adds_up FROM (VALUES ('toys'), ('books'), ('garden')) t(c);
SELECT brief(propensity_explain([3], 'toys')) AS one, round(log_odds(propensity([3], 'toys')) - log_odds(propensity([]::INTEGER[], 'toys')), 3) AS is_the_whole_difference;
-- k of them at most, the largest magnitude first; NULL or nothing for all
SELECT brief(propensity_explain([3, 5, 17], 'toys', 1)) AS best, brief(propensity_explain([3, 5, 17], 'toys', 2)) AS two, propensity_explain([3, 5, 17], 'toys', 0) AS none;
SELECT brief(propensity_explain([3, 5], 'toys', 99)) AS of_99, brief(propensity_explain([3, 5], 'toys', NULL)) AS of_all, brief(propensity_explain([3, 5], 'toys', k := 1, model := 'shop')) AS named;
SELECT brief(propensity_explain([3, 5], 'toys', 1::HUGEINT)) AS huge, brief(propensity_explain([3, 5], 'toys', 1::UTINYINT)) AS tiny, brief(duckprop.propensity_explain([3], 'toys', 1, 'shop@1')) AS prefixed;
-- by number and by name, duplicates added up, unknown names left out
SELECT brief(propensity_explain(['item 5', 'item 3'], 'toys')) AS names, brief(propensity_explain([3, 5], 'toys')) AS numbers, brief(propensity_explain({indices: [5, 3, 5], values: [0.25, 1.0, 0.75]}, 'toys')) AS added_up;
SELECT brief(propensity_explain(MAP {'item 3': 1.0, 'gone': 7.0}, 'toys')) AS known, propensity_explain(['gone'], 'toys') AS none_known;
SELECT brief(propensity_explain('3:1 5:0', 'toys')) AS a_zero, brief(propensity_explain('5:-1', 'toys')) AS below_zero;
-- NULL and empty
SELECT propensity_explain(NULL, 'toys') AS no_features, propensity_explain([3], NULL) AS no_category, propensity_explain([], 'toys') AS no_reasons, propensity_explain('', 'toys', 3) AS none;
SELECT propensity_explain(NULL::FLOAT[40], 'toys') AS typed, propensity_explain([3], NULL::VARCHAR, 1) AS text, propensity_explain(NULL, NULL, NULL) AS nothing;
-- a category and a k a row
SELECT i, brief(propensity_explain(CASE WHEN i <> 1 THEN [i, 5] END, c, k)) AS reasons FROM (VALUES (0, 'toys', 1), (1, 'books', 1), (2, NULL, 1), (3, 'toys', NULL), (4, 'books', 0), (6, 'books', 2)) t(i, c, k);
SELECT c, brief(propensity_explain([3], c)) AS reasons FROM (SELECT unnest(['toys', 'books', NULL])::ENUM('books', 'shoes', 'toys') AS c);
SELECT i, r.feature, round(r.contribution, 3) AS contribution FROM (SELECT i, unnest(propensity_explain([i, i + 1], 'garden', 1)) AS r FROM range(3) t(i)) ORDER BY i;
SELECT propensity_explain([i], 'toys') AS nothing FROM range(0) t(i);
-- wrong: the category
SELECT propensity_explain([3], 'toyz');
SELECT propensity_explain(NULL, 'toyz');
SELECT propensity_explain([3], ['toys']);
SELECT propensity_explain([3], 7);
SELECT propensity_explain([3], c) FROM (VALUES ('toys'), ('shoez')) t(c);
-- wrong: k
SELECT propensity_explain([3], 'toys', -1);
SELECT propensity_explain([3], 'toys', k) FROM (VALUES (1), (NULL), (-2)) t(k);
SELECT propensity_explain([3], 'toys', 1.5);
SELECT propensity_explain([3], 'toys', 'one');
SELECT propensity_explain([3], 'toys', 18446744073709551615::UBIGINT);
SELECT propensity_explain([3], 'toys', 'shop');
-- wrong: the rest
SELECT propensity_explain([40], 'toys');
SELECT propensity_explain({indices: [3], values: [1e30]}, 'toys');
SELECT propensity_explain('toys', '3:1.0');
SELECT propensity_explain(['item 3', NULL], 'toys');
SELECT propensity_explain(true, 'toys');
SELECT propensity_explain([3], 'toys', 1, 'shp');
SELECT propensity_explain([3]);
SELECT propensity_explain([3], 'toys', 1, 'shop', 2);
SELECT propensity_explain([3], 'toys', top := 1);
