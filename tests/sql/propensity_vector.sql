-- propensity_vector(features [, model]): FLOAT[], in the order of propensity_categories()
CREATE MACRO brief(list) AS list_transform(list, lambda p: round(p, 4));
SELECT typeof(propensity_vector([3])) AS type, len(propensity_vector([3])) AS n;
SELECT brief(propensity_vector('3:1.0 17:0.5')) AS p, brief(propensity_vector('3:1.0 17:0.5', 'shop@1')) AS q;
SELECT brief(propensity_vector([])) AS base_rates, propensity_vector(NULL) AS no_features, propensity_vector(NULL::FLOAT[40]) AS none;
SELECT i, brief(propensity_vector(CASE WHEN i <> 1 THEN [i] END)) AS p FROM range(3) t(i);
SELECT bool_and(propensity_vector([i])[category_id + 1] = propensity([i], category)) AS same_numbers FROM range(40) t(i), propensity_categories();
SELECT propensity_vector([i]) AS nothing FROM range(0) t(i);
-- wrong
SELECT propensity_vector([40]);
SELECT propensity_vector('3:1.0 17');
SELECT propensity_vector(3);
SELECT propensity_vector([3], 'shp');
SELECT propensity_vector([3], 'shop@2');
SELECT propensity_vector();
SELECT propensity_vector([3], 'shop', 'toys');
SELECT propensity_vector([3], category := 'toys');
