-- models: shop@champion club
-- propensity_model_info([model]): one row a fact
DESCRIBE FROM propensity_model_info('shop');
FROM propensity_model_info('shop') WHERE section <> 'files';
SELECT property, len(value) AS letters, regexp_full_match(value, '[0-9a-f]*') AS is_hexadecimal FROM propensity_model_info('shop') WHERE section = 'files';
SELECT property FROM propensity_model_info('club@1') WHERE section = 'files';
SELECT value FROM propensity_model_info('shop@champion') WHERE section = 'model' AND property = 'reference';
SELECT property, a.value AS shop, b.value AS club FROM propensity_model_info('shop') a JOIN duckprop.propensity_model_info(model := 'club') b USING (section, property) WHERE a.value <> b.value AND section <> 'files';
SELECT value::DOUBLE AS macro_auc FROM propensity_model_info('shop') WHERE section = 'metrics test overall' AND property = 'macro_auc';
SELECT m, (SELECT value FROM propensity_model_info(m) WHERE property = 'categories') AS categories FROM (VALUES ('shop'), ('club')) t(m);
SELECT count(*) AS n FROM propensity_model_info('shop') WHERE property IN ('base_rates', 'mean_propensity');
SET VARIABLE propensity_model = 'club';
SELECT value FROM propensity_model_info() WHERE property = 'reference';
SELECT value FROM propensity_model_info(NULL) WHERE property = 'reference';
RESET VARIABLE propensity_model;
-- wrong
FROM propensity_model_info();
FROM propensity_model_info('shp');
FROM propensity_model_info('shop@2');
FROM propensity_model_info('club@champion');
FROM propensity_model_info(['shop']);
FROM propensity_model_info('');
FROM propensity_model_info('shop', 'metrics');
FROM propensity_model_info(section := 'metrics');
SELECT propensity_model_info('shop');
