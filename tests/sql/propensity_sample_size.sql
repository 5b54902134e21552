-- propensity_sample_size(scored, category, lift, power, alpha, holdout): decile, n, expected_rate, required_n, is_enough
CREATE TABLE scored AS SELECT i AS id, 'tea' AS category, 1 / (2 + i // 1000) AS propensity FROM range(10000) t(i) UNION ALL FROM (VALUES (1, 'mugs', 0), (2, 'mugs', 0.5), (3, 'mugs', 1), (4, 'mugs', NULL), (NULL, 'mugs', 0.5));
FROM propensity_sample_size('scored', 'tea', 0.2);
FROM duckprop.propensity_sample_size('scored', 'mugs', lift := 0.2);
-- more power and a stricter test take more customers, an uneven holdout too
SELECT required_n FROM propensity_sample_size('scored', 'tea', 0.2, power := 0.9) WHERE decile = 1;
SELECT required_n FROM propensity_sample_size('scored', 'tea', 0.2, alpha := 0.01) WHERE decile = 1;
SELECT required_n FROM propensity_sample_size('scored', 'tea', 0.2, holdout := 0.1) WHERE decile = 1;
SELECT required_n FROM propensity_sample_size('scored', 'tea', '0.2', power := '0.8', alpha := '0.05', holdout := '0.5') WHERE decile = 1;
-- doubling is not possible for every second one; a tiny lift takes more customers than can be counted
SELECT decile, expected_rate, required_n, is_enough FROM propensity_sample_size('scored', 'tea', 1) WHERE decile < 3;
SELECT decile, expected_rate, required_n, is_enough FROM propensity_sample_size('scored', 'tea', 1e-30) WHERE decile = 1;
-- a chance that one has without customers
SELECT required_n, is_enough FROM propensity_sample_size('scored', 'tea', 0.1, power := 0.01, alpha := 0.5) WHERE decile = 1;
-- relations called like what is inside
WITH deciles AS (FROM scored) SELECT decile, n FROM propensity_sample_size('deciles', 'mugs', 0.2);
WITH raised AS (FROM scored) SELECT decile, n FROM propensity_sample_size('raised', 'mugs', 0.2);
-- wrong: the numbers
FROM propensity_sample_size('scored', 'tea', 0);
FROM propensity_sample_size('scored', 'tea', -0.2);
FROM propensity_sample_size('scored', 'tea', NULL);
FROM propensity_sample_size('scored', 'tea', 'infinity'::FLOAT);
FROM propensity_sample_size('scored', 'tea', 'a lot');
FROM propensity_sample_size('scored', 'tea', 0.2, power := 80);
FROM propensity_sample_size('scored', 'tea', 0.2, power := NULL);
FROM propensity_sample_size('scored', 'tea', 0.2, power := 1);
FROM propensity_sample_size('scored', 'tea', 0.2, alpha := 0);
FROM propensity_sample_size('scored', 'tea', 0.2, alpha := 'nan'::DOUBLE);
FROM propensity_sample_size('scored', 'tea', 0.2, holdout := 0);
FROM propensity_sample_size('scored', 'tea', 0.2, holdout := 1.5);
-- wrong: the category, the relation, its columns and propensities
FROM propensity_sample_size('scored', 'teaa', 0.2);
FROM propensity_sample_size('scored', NULL, 0.2);
FROM propensity_sample_size('scored', 'tea');
FROM propensity_sample_size('score', 'tea', 0.2);
WITH wrong AS (SELECT 1 AS id, 'tea' AS category, 1.5 AS propensity) FROM propensity_sample_size('wrong', 'tea', 0.2);
WITH wrong AS (SELECT id, category FROM scored) FROM propensity_sample_size('wrong', 'tea', 0.2);
