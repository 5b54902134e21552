-- models: shop@champion club
-- propensity_quality([model]): one row a category, split and metric
DESCRIBE FROM propensity_quality('shop');
FROM propensity_quality('shop') WHERE category IS NULL;
SELECT category, split, metric, round(value, 4) AS value, support, n, is_too_small FROM propensity_quality('shop') WHERE category IS NOT NULL;
SELECT count(*) AS n FROM propensity_quality('shop') JOIN propensity_categories('shop') USING (category) WHERE metric = 'base_rate' AND value::FLOAT = base_rate;
SELECT m, (SELECT count(*) FROM propensity_quality(m)) AS figures FROM (VALUES ('shop'), ('club'), ('shop@champion')) t(m);
SET VARIABLE propensity_model = 'club';
SELECT DISTINCT category FROM propensity_quality() ORDER BY ALL;
SELECT DISTINCT category FROM duckprop.propensity_quality(model := NULL) ORDER BY ALL;
RESET VARIABLE propensity_model;
-- wrong
FROM propensity_quality();
FROM propensity_quality('shp');
FROM propensity_quality('shop@2');
FROM propensity_quality(['shop']);
FROM propensity_quality('shop', 'auc');
FROM propensity_quality(split := 'test');
SELECT propensity_quality('shop');
