-- models: shop club
-- propensity_baseline([model]): how propensities were distributed on the validation rows, one row a category and bin
DESCRIBE FROM propensity_baseline('shop');
SELECT category, bin, round(upper, 4) AS upper, n FROM propensity_baseline('shop') WHERE category IN ('books', 'toys');
SELECT category, count(*) AS bins, sum(n) AS n, max(upper) AS last FROM propensity_baseline('shop@1') GROUP BY category ORDER BY category;
SELECT category, count(*) AS bins, sum(n) AS n FROM duckprop.propensity_baseline(model := 'club') GROUP BY ALL ORDER BY ALL;
-- the bin of a propensity: the first whose upper edge it does not exceed
SELECT i, round(p, 4) AS p, bin FROM (SELECT i, propensity([i], 'toys', 'shop') AS p FROM range(4) t(i)) ASOF JOIN (SELECT bin, upper FROM propensity_baseline('shop') WHERE category = 'toys') ON p <= upper ORDER BY i;
SELECT m, (SELECT count(DISTINCT category) FROM propensity_baseline(m)) AS categories FROM (VALUES ('shop'), ('club')) t(m);
SELECT count(*) AS n FROM propensity_baseline('shop') WHERE category = 'wine';
SET VARIABLE propensity_model = 'shop';
SELECT sum(n) AS n FROM propensity_baseline();
SELECT sum(n) AS n FROM propensity_baseline(NULL);
RESET VARIABLE propensity_model;
-- wrong
FROM propensity_baseline();
FROM propensity_baseline('shp');
FROM propensity_baseline('shop@2');
FROM propensity_baseline('shop@champion');
FROM propensity_baseline(['shop']);
FROM propensity_baseline('shop', 'toys');
FROM propensity_baseline(category := 'toys');
SELECT propensity_baseline('shop');
