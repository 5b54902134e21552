-- propensity_classes(features, category [, model]): MAP(VARCHAR, FLOAT), every class in the model's order
CREATE MACRO brief(classes) AS map_from_entries(list_transform(map_entries(classes), lambda e: {k: e.key, v: round(e.value, 4)}));
SELECT typeof(propensity_classes([3], 'toys')) AS type, brief(propensity_classes('3:1.0 17:0.5', 'toys')) AS classes;
SELECT brief(propensity_classes(features := '3:1.0 17:0.5', category := 'books', model := 'shop@1')) AS named, brief(duckprop.propensity_classes('3:1.0 17:0.5', 'books', 'shop')) AS prefixed;
-- the positive class is the propensity, to the last bit, and all add up to 1
SELECT bool_and(propensity_classes([i], category)['yes'] = propensity([i], category)) AS same_numbers, bool_and(abs(list_sum(map_values(propensity_classes([i], category))::DOUBLE[]) - 1) < 1e-6) AS add_up FROM range(40) t(i), propensity_categories();
SELECT round(propensity_classes([3], 'toys')['no'], 4) AS no, propensity_classes([3], 'toys')['perhaps'] AS no_such_class;
-- a category a row, ENUM, NULL, the empty customer
SELECT category, brief(propensity_classes([3, 17], category)) AS classes FROM (VALUES ('toys'), (NULL), ('books'), ('toys')) t(category);
SELECT c, brief(propensity_classes([3], c)) AS classes FROM (SELECT unnest(['toys', 'books', NULL])::ENUM('books', 'shoes', 'toys') AS c);
SELECT propensity_classes(NULL, 'toys') AS no_features, propensity_classes([3], NULL) AS no_category, propensity_classes(NULL, NULL::VARCHAR) AS neither, brief(propensity_classes([], 'toys')) AS empty;
SELECT i, brief(propensity_classes(CASE WHEN i <> 1 THEN [i] END, 'toys', CASE WHEN i > 1 THEN 'shop@1' END)) AS classes FROM range(3) t(i);
SELECT i, brief(propensity_classes(['item 3', 'gone'], 'toys')) AS by_name FROM range(1) t(i);
SELECT propensity_classes([i], 'toys') AS nothing FROM range(0) t(i);
-- wrong: the category
SELECT propensity_classes([3], 'toyz');
SELECT propensity_classes(NULL, 'toyz');
SELECT propensity_classes([3], 'yes');
SELECT propensity_classes([3], ['toys']);
SELECT propensity_classes([3], 7);
SELECT propensity_classes([3], c) FROM (VALUES ('toys'), ('shoez')) t(c);
-- wrong: the rest
SELECT propensity_classes([40], 'toys');
SELECT propensity_classes('toys', '3:1.0');
SELECT propensity_classes({indices: [3], values: [1e30]}, 'toys');
SELECT propensity_classes(['item 3', NULL], 'toys');
SELECT propensity_classes([3], 'toys', 'shp');
SELECT propensity_classes([3], 'toys', ['shop']);
SELECT propensity_classes([3]);
SELECT propensity_classes([3], 'toys', 'shop', 'yes');
SELECT propensity_classes([3], 'toys', class := 'yes');
