-- propensity_coverage(features [, model]): FLOAT, share of the row's features that the model knows
SELECT typeof(propensity_coverage([3])) AS type;
SELECT propensity_coverage(['item 3', 'item 17']) AS all_known, propensity_coverage(['item 3', 'gone']) AS half, propensity_coverage(['gone']) AS none_known;
SELECT propensity_coverage(MAP {'item 3': 1.0, 'gone': 2.0, 'new': 0.5, 'item 4': 0}) AS map, propensity_coverage([{name: 'item 3', value: 1.0}]) AS pairs;
SELECT propensity_coverage([3, 17]) AS by_number, propensity_coverage('3:1.0') AS text, propensity_coverage([3], 'shop') AS with_model;
-- a feature given twice is one feature, known or not
SELECT propensity_coverage(['item 3', 'item 3', 'gone']) AS known_twice, propensity_coverage(['item 3', 'gone', 'gone']) AS unknown_twice;
SELECT propensity_coverage(NULL) AS no_row, propensity_coverage([]) AS no_features, propensity_coverage('') AS no_text, propensity_coverage(NULL::VARCHAR[]) AS typed;
SELECT f, propensity_coverage(f) AS share FROM (VALUES (['item 3']), (NULL), ([]), (['gone', 'item 3'])) t(f);
-- an unknown name changes nothing else
SELECT propensity(['item 3', 'gone'], 'toys') = propensity(['item 3'], 'toys') AS ignored, propensity(['gone'], 'toys') = propensity([], 'toys') AS as_empty;
-- wrong
SELECT propensity_coverage([40]);
SELECT propensity_coverage(['item 3', NULL]);
SELECT propensity_coverage(MAP {'gone': 'nan'::FLOAT});
SELECT propensity_coverage(TRUE);
SELECT propensity_coverage(['item 3'], 'shp');
SELECT propensity_coverage();
SELECT propensity_coverage(['item 3'], 'shop', 'toys');
