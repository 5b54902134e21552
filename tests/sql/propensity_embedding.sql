-- propensity_embedding(features [, model]): FLOAT[], the last hidden layer
CREATE MACRO brief(list) AS list_transform(list, lambda x: round(x, 3));
SELECT typeof(propensity_embedding([3])) AS type, len(propensity_embedding([3])) AS units;
SELECT brief(propensity_embedding('3:1.0 17:0.5')) AS e, brief(propensity_embedding('3:1.0 17:0.5', 'shop@1')) AS with_model;
SELECT brief(propensity_embedding(features := ['item 3'], model := 'shop')) AS named, brief(duckprop.propensity_embedding([3])) AS prefixed;
SELECT propensity_embedding([]) AS empty, propensity_embedding(NULL) AS no_features, propensity_embedding(NULL::MAP(VARCHAR, FLOAT)) AS typed, propensity_embedding(['gone']) AS unknown;
SELECT i, brief(propensity_embedding(CASE WHEN i <> 1 THEN [i] END)) AS e FROM range(3) t(i);
SELECT list_distance(propensity_embedding('3:2 17:1'), propensity_embedding('17:0.5 3:1')) < 1e-6 AS the_row_is_scaled_to_norm_1;
-- look-alikes: the nearest to customer 3, by the angle
SELECT i, round(list_cosine_distance(propensity_embedding([i, 3]), propensity_embedding([3])), 3) AS distance FROM range(40) t(i) ORDER BY distance, i LIMIT 4;
SELECT round(array_cosine_distance(propensity_embedding([3])::FLOAT[8], propensity_embedding([17])::FLOAT[8]), 3) AS distance, list_cosine_distance(propensity_embedding([3]), propensity_embedding([3])) < 1e-6 AS itself;
SELECT count(*) AS n, count(DISTINCT e) AS different FROM (SELECT propensity_embedding([i % 40]) AS e FROM range(5000) t(i));
SELECT propensity_embedding([i]) AS nothing FROM range(0) t(i);
-- wrong
SELECT propensity_embedding([40]);
SELECT propensity_embedding(f) FROM (VALUES ([3]), (NULL), ([3, -1])) t(f);
SELECT propensity_embedding('3:1 17');
SELECT propensity_embedding({indices: [3], values: [1e30]});
SELECT propensity_embedding([3, NULL]);
SELECT propensity_embedding(['item 3', NULL]);
SELECT propensity_embedding([1.0, 0.5]);
SELECT propensity_embedding(3);
SELECT propensity_embedding([3], 'shp');
SELECT propensity_embedding([3], 'shop@2');
SELECT propensity_embedding([3], ['shop']);
SELECT propensity_embedding();
SELECT propensity_embedding([3], 'shop', 'toys');
SELECT propensity_embedding([3], category := 'toys');
