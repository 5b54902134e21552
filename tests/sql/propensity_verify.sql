-- models: shop@champion club
-- propensity_verify([model]): one row an engine, compared with MXNet
DESCRIBE FROM propensity_verify('shop');
SELECT engine, rows, max_abs_difference BETWEEN 0 AND 1e-6 AS is_small, is_within_tolerance FROM propensity_verify('shop');
SELECT engine, rows, is_within_tolerance FROM duckprop.propensity_verify('shop@champion');
SELECT rows, is_within_tolerance FROM propensity_verify(model := 'club@1');
SELECT m.model, v.is_within_tolerance FROM propensity_models() m, propensity_verify(m.model) v ORDER BY m.model;
SELECT m, (SELECT bool_and(is_within_tolerance) FROM propensity_verify(m)) AS good FROM (VALUES ('shop@1'), ('club')) t(m);
SET VARIABLE propensity_model = 'club';
SELECT engine, is_within_tolerance FROM propensity_verify();
SELECT engine, is_within_tolerance FROM propensity_verify(NULL);
RESET VARIABLE propensity_model;
-- wrong
FROM propensity_verify();
FROM propensity_verify('shp');
FROM propensity_verify('shop@9');
FROM propensity_verify('club@champion');
FROM propensity_verify('../shop');
FROM propensity_verify(['shop']);
FROM propensity_verify('shop', 100);
FROM propensity_verify(rows := 100);
SELECT propensity_verify('shop');
