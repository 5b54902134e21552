-- propensity_calibration(scored, outcomes, bins): category, bin, n, mean_propensity, observed_rate, ci_low, ci_high
CREATE TABLE scored AS SELECT i AS id, 'tea' AS category, i / 8 AS propensity FROM range(8) t(i) UNION ALL FROM (VALUES (1, 'mugs', 0.5), (2, 'mugs', 0.5), (3, 'mugs', NULL), (NULL, 'mugs', 0.5), (1, NULL, 0.5), (1, 'pots', NULL));
CREATE TABLE outcomes AS FROM (VALUES (0, 'tea'), (6, 'tea'), (7, 'tea'), (7, 'tea'), (99, 'tea'), (NULL, 'tea'), (1, 'hats'), (2, 'mugs')) t(id, category);
FROM propensity_calibration('scored', 'outcomes');
FROM duckprop.propensity_calibration('scored', 'outcomes', 3) WHERE category = 'tea';
FROM propensity_calibration('scored', 'outcomes', bins := 1);
FROM propensity_calibration('scored', 'outcomes', bins := '2') WHERE category = 'mugs';
-- lists of categories; a relation called like what is inside, a column called like an argument
WITH binned AS (SELECT *, 7 AS bins FROM scored), acts AS (SELECT 1 AS id, ['mugs', 'tea'] AS category) FROM propensity_calibration('binned', 'acts', bins := 1);
-- nothing to count
WITH none AS (FROM scored WHERE false) FROM propensity_calibration('none', 'outcomes');
WITH none AS (FROM outcomes WHERE false) FROM propensity_calibration('scored', 'none', bins := 1);
-- wrong: bins
FROM propensity_calibration('scored', 'outcomes', bins := 0);
FROM propensity_calibration('scored', 'outcomes', bins := -3);
FROM propensity_calibration('scored', 'outcomes', bins := 2.5);
FROM propensity_calibration('scored', 'outcomes', bins := NULL);
FROM propensity_calibration('scored', 'outcomes', bins := 'two');
FROM propensity_calibration('scored', 'outcomes', bins := [0.1, 0.2]);
-- wrong: propensities, relations, columns
WITH wrong AS (SELECT 1 AS id, 'tea' AS category, 'infinity'::DOUBLE AS propensity) FROM propensity_calibration('wrong', 'outcomes');
WITH wrong AS (SELECT 1 AS id, 'tea' AS category, '0.5' AS propensity) FROM propensity_calibration('wrong', 'outcomes');
WITH wrong AS (SELECT id, category AS item FROM outcomes) FROM propensity_calibration('scored', 'wrong');
FROM propensity_calibration('outcomes', 'outcomes');
FROM propensity_calibration('scored');
