-- propensity_topk(features, k [, categories, exclude, min_propensity, model]): STRUCT(category, propensity, rank)[]
CREATE MACRO brief(best) AS list_transform(best, lambda b: concat_ws(' ', b.rank, b.category, round(b.propensity, 4)));
SELECT typeof(propensity_topk([3], 2)) AS type;
SELECT brief(propensity_topk([3], 2)) AS best;
SELECT brief(propensity_topk([3], 2, NULL, NULL, NULL, 'shop')) AS best;
SELECT brief(propensity_topk([3], 99)) AS everything, propensity_topk([3], 0) AS nothing;
SELECT brief(propensity_topk([3], 9, categories := ['toys', 'garden'])) AS only_two;
SELECT brief(propensity_topk([3], 2, exclude := ['toys'])) AS without_toys;
SELECT brief(propensity_topk([3], 9, min_propensity := 0.1)) AS likely;
SELECT brief(propensity_topk([3], 9, categories := ['toys', 'books', NULL, 'toys'], exclude := ['toys', NULL])) AS both;
SELECT propensity_topk([3], 2, categories := []) AS none_allowed, propensity_topk([3], 9, min_propensity := 1) AS none_likely;
SELECT brief(propensity_topk([3], 1, categories := ['books', 'toys']::VARCHAR[2])) AS fixed, brief(propensity_topk([3], 1, categories := ['toys']::ENUM('toys', 'books')[])) AS enum;
SELECT brief(propensity_topk([3], sum(i))) AS sums_are_hugeint FROM range(3) t(i);
-- a row's own k, list and threshold
SELECT k, brief(propensity_topk([3], k)) AS best FROM (VALUES (2), (0), (NULL), (1)) t(k);
SELECT those, brief(propensity_topk([3], 2, categories := those)) AS best FROM (VALUES (['books', 'music']), (NULL), ([]), (['shoes'])) t(those);
SELECT never, brief(propensity_topk([3], 1, exclude := never)) AS best FROM (VALUES (['toys']), (NULL), (['books'])) t(never);
SELECT least, brief(propensity_topk([3], 9, min_propensity := least)) AS best FROM (VALUES (0.5), (NULL), (0.2)) t(least);
SELECT i, brief(propensity_topk(CASE WHEN i <> 1 THEN [i] END, 1)) AS best FROM range(3) t(i);
SELECT propensity_topk(NULL, 2) AS no_features, propensity_topk([3], NULL) AS no_k, brief(propensity_topk([], 1)) AS base_rate;
SELECT b.category, b.rank FROM (SELECT unnest(propensity_topk([3], 2)) AS b);
SELECT bool_and(b.propensity = propensity([i], b.category)) AS same_numbers FROM (SELECT i, unnest(propensity_topk([i], 5)) AS b FROM range(40) t(i));
-- a threshold equal to the propensity keeps it
SELECT len(propensity_topk([3], 9, min_propensity := propensity([3], 'garden'))) AS kept;
SELECT bool_and(len(propensity_topk([i], 1, ['toys'], NULL, propensity([i], 'toys')::DECIMAL(18, 9))) = 1) AS kept FROM range(40) t(i);
-- wrong: k
SELECT propensity_topk([3], -1);
SELECT propensity_topk([3], k) FROM (VALUES (2), (NULL), (-7)) t(k);
SELECT propensity_topk([3], 2.5);
SELECT propensity_topk([3], 'two');
SELECT propensity_topk([3], 18446744073709551615::UBIGINT);
-- wrong: the lists
SELECT propensity_topk([3], 2, categories := ['toys', 'shoez']);
SELECT propensity_topk([3], 2, exclude := ['bookz']);
SELECT propensity_topk([3], 2, categories := 'toys');
SELECT propensity_topk([3], 2, exclude := 'toys');
SELECT propensity_topk([3], 2, categories := [['toys']]);
SELECT propensity_topk([3], 2, categories := [1]);
SELECT propensity_topk([3], 2, categories := those) FROM (VALUES (['toys']), (['shoez'])) t(those);
-- wrong: the threshold
SELECT propensity_topk([3], 2, min_propensity := 1.5);
SELECT propensity_topk([3], 2, min_propensity := -0.25);
SELECT propensity_topk([3], 2, min_propensity := 'nan'::FLOAT);
SELECT propensity_topk([3], 2, min_propensity := least) FROM (VALUES (0.5), (NULL), (2)) t(least);
SELECT propensity_topk([3], 2, min_propensity := 'half');
SELECT propensity_topk([3], 2, min_propensity := [0.5]);
SELECT propensity_topk([3], 2, min_propensity := true);
-- wrong: features, model, arguments
SELECT propensity_topk([40], 2);
SELECT propensity_topk(DATE '2026-01-01', 2);
SELECT propensity_topk([3], 2, model := 'shp');
SELECT propensity_topk([3]);
SELECT propensity_topk([3], 2, 'toys', 'books', 0.5, 'shop', 7);
SELECT propensity_topk([3], n := 2);
