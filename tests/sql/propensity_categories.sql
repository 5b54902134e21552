-- propensity_categories([model]): one row a category, in the order of propensity_vector
DESCRIBE FROM propensity_categories();
SELECT category_id, category, round(base_rate, 4) AS base_rate FROM propensity_categories();
SELECT count(*) AS n FROM propensity_categories('shop@1');
SELECT count(*) AS n FROM propensity_categories(model := 'shop');
SELECT count(*) AS n FROM duckprop.propensity_categories(NULL);
SELECT category, round(propensity([3], category), 4) AS p FROM propensity_categories() ORDER BY p DESC LIMIT 2;
SELECT m, (SELECT count(*) FROM propensity_categories(m)) AS n FROM (VALUES ('shop'), ('shop@1')) t(m);
-- wrong
FROM propensity_categories('shp');
FROM propensity_categories('shop@9');
FROM propensity_categories('shop@champion');
FROM propensity_categories(['shop']);
FROM propensity_categories('shop', 'toys');
FROM propensity_categories(category := 'toys');
SELECT propensity_categories('shop');
