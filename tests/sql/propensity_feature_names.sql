-- models: shop club
-- propensity_feature_names([model]): one row a column; club knows its columns by number alone
DESCRIBE FROM propensity_feature_names('shop');
FROM propensity_feature_names('shop') WHERE "column" IN (0, 1, 39);
SELECT count(*) AS n, count(DISTINCT "column") AS columns, min("column") AS first, max("column") AS last, count(feature) AS named FROM propensity_feature_names('shop@1');
SELECT count(*) AS n, count(DISTINCT "column") AS columns, min("column") AS first, max("column") AS last, count(feature) AS named FROM propensity_feature_names(model := 'club');
FROM duckprop.propensity_feature_names('club') LIMIT 2;
-- the column of a name: what features by number and by name have in common
SELECT f.feature, propensity([f."column"], 'toys', 'shop') = propensity([f.feature], 'toys', 'shop') AS same FROM propensity_feature_names('shop') f WHERE feature LIKE 'item 1_' ORDER BY "column" LIMIT 2;
SELECT m, (SELECT count(feature) FROM propensity_feature_names(m)) AS named FROM (VALUES ('shop'), ('club'), ('shop@1')) t(m);
SELECT count(*) AS n FROM propensity_feature_names('shop') WHERE feature = 'gone';
SET VARIABLE propensity_model = 'shop';
SELECT count(feature) AS n FROM propensity_feature_names();
SELECT count(feature) AS n FROM propensity_feature_names(NULL);
RESET VARIABLE propensity_model;
-- wrong
SELECT count(*) FROM propensity_feature_names();
FROM propensity_feature_names('shp');
FROM propensity_feature_names('shop@9');
FROM propensity_feature_names('club@champion');
FROM propensity_feature_names(['shop']);
FROM propensity_feature_names(3);
FROM propensity_feature_names('shop', 'item 3');
FROM propensity_feature_names(feature := 'item 3');
SELECT propensity_feature_names('shop');
