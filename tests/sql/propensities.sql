-- propensities(features, categories [, model]): MAP(VARCHAR, FLOAT), in the order of the list
CREATE MACRO brief(m) AS list_transform(map_entries(m), lambda e: concat_ws(' ', e.key, round(e.value, 4)));
SELECT typeof(propensities([3], ['toys', 'books'])) AS type;
SELECT brief(propensities([3], ['toys', 'books'])) AS p, brief(propensities('3:1.0', ['books', 'toys'], 'shop@1')) AS turned;
SELECT brief(propensities(features := [3], categories := ['toys'], model := 'shop')) AS named, brief(duckprop.propensities([3], ['toys'])) AS prefixed;
SELECT round(propensities([3], ['toys', 'books'])['toys'], 4) AS toys, propensities([3], ['toys'])['books'] AS not_asked_for;
SELECT brief(propensities([3], (SELECT list(category) FROM propensity_categories()))) AS all_of_them;
SELECT bool_and(propensities([i], ['toys', 'garden'])['garden'] = propensity([i], 'garden')) AS same_numbers FROM range(40) t(i);
-- a name given twice counts once, NULL elements are passed over, an empty list gives an empty map
SELECT brief(propensities([3], ['toys', NULL, 'toys', 'books', 'toys'])) AS p;
SELECT propensities([3], []) AS none, propensities([3], [NULL]) AS untyped, propensities([3], [NULL, NULL]::VARCHAR[]) AS typed;
SELECT propensities([3], NULL) AS no_list, propensities([3], NULL::VARCHAR[]) AS typed, propensities(NULL, ['toys']) AS no_features, propensities(NULL, NULL) AS neither;
SELECT brief(propensities([], ['toys', 'books'])) AS base_rates, propensities([], ['toys'])['toys'] = propensity([], 'toys') AS same;
-- lists, ENUMs and arrays, one a row
SELECT i, brief(propensities([i], those)) AS p FROM (VALUES (0, ['toys']), (1, ['books', 'toys']), (2, NULL), (3, []), (4, ['music', NULL, 'music'])) t(i, those);
SELECT i, brief(propensities(CASE WHEN i <> 1 THEN [i] END, ['garden', 'toys'])) AS p FROM range(3) t(i);
SELECT brief(propensities([3], ['toys', 'books']::ENUM('books', 'toys')[])) AS enums, brief(propensities([3], ['toys', 'books']::VARCHAR[2])) AS array;
SELECT i, brief(propensities([3], [c, 'toys'])) AS p FROM (VALUES (0, 'books'), (1, NULL), (2, 'toys')) t(i, c);
SELECT propensities([i], ['toys']) AS nothing FROM range(0) t(i);
SELECT count(*) AS n, bool_and(p['toys'] = q) AS same FROM (SELECT propensities([i % 40], if(i % 3 = 0, ['toys'], ['books', 'toys'])) AS p, propensity([i % 40], 'toys') AS q FROM range(5000) t(i));
-- wrong: the list
SELECT propensities([3], ['toys', 'shoez']);
SELECT propensities([3], ['Toys']);
SELECT propensities([3], ['']);
SELECT propensities([3], 'toys');
SELECT propensities([3], [1]);
SELECT propensities([3], [['toys']]);
SELECT propensities([3], {c: 'toys'});
SELECT propensities([3], MAP {'toys': 1});
SELECT propensities([3], ['shoez']::ENUM('shoez')[]);
SELECT propensities([3], those) FROM (VALUES (['toys']), (NULL), (['toys', 'bookz'])) t(those);
SELECT propensities(NULL, ['shoez']);
SELECT propensities(['toys'], [3]);
-- wrong: the rest
SELECT propensities([40], ['toys']);
SELECT propensities('3:one', ['toys']);
SELECT propensities(3.5, ['toys']);
SELECT propensities([3], ['toys'], 'shp');
SELECT propensities([3], ['toys'], model := 'shop@2');
SELECT propensities([3]);
SELECT propensities([3], ['toys'], 'shop', 1);
SELECT propensities([3], category := 'toys');
