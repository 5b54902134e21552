-- propensity_audience(scored, category, n, share, min_propensity, holdout, salt): id, propensity, decile, is_holdout
CREATE TABLE scored AS SELECT i AS id, 'tea' AS category, 1 - i / 20 AS propensity FROM range(20) t(i) UNION ALL FROM (VALUES (20, 'tea', NULL), (NULL, 'tea', 0.9), (1, NULL, 0.9), (7, 'mugs', 0.5), (5, 'mugs', 0.5), (6, 'mugs', 0.5), (1, 'pots', NULL));
FROM propensity_audience('scored', 'tea', n := 3);
FROM propensity_audience('scored', 'tea', 2);
FROM duckprop.propensity_audience('scored', 'tea', share := 0.11);
FROM propensity_audience('scored', 'tea', min_propensity := 0.9);
FROM propensity_audience('scored', 'mugs', n := 2);
SELECT count(*) AS n FROM propensity_audience('scored', 'tea', share := 0.1) UNION ALL SELECT count(*) FROM propensity_audience('scored', 'tea', share := '0.15') UNION ALL SELECT count(*) FROM propensity_audience('scored', 'tea', share := 0) UNION ALL SELECT count(*) FROM propensity_audience('scored', 'tea', share := 1) UNION ALL SELECT count(*) FROM propensity_audience('scored', 'tea', min_propensity := 0) UNION ALL SELECT count(*) FROM propensity_audience('scored', 'tea', n := 99);
SELECT count(*) AS n FROM propensity_audience('scored', 'tea', n := 6, share := 0.2, min_propensity := 0.5) UNION ALL SELECT count(*) FROM propensity_audience('scored', 'tea', n := 3, share := 0.2, min_propensity := 0.5) UNION ALL SELECT count(*) FROM propensity_audience('scored', 'tea', n := 6, share := 0.5, min_propensity := 0.9);
FROM propensity_audience('scored', 'tea', n := 0);
-- a holdout, the same customers in a larger audience, others for another salt
FROM propensity_audience('scored', 'tea', n := 4, holdout := 0.5);
SELECT id, is_holdout FROM propensity_audience('scored', 'tea', n := 5, holdout := 0.5);
SELECT id, is_holdout, propensity_holdout(id, 0.5, 'tea') AS by_category, propensity_holdout(id, 0.5, '2026') AS by_salt FROM propensity_audience('scored', 'tea', n := 5, holdout := 0.5, salt := 2026);
SELECT bool_and(is_holdout) AS all_held FROM propensity_audience('scored', 'tea', n := 9, holdout := 1);
FROM propensity_audience('scored', 'tea', n := 1, holdout := NULL);
-- other types and names; columns and relations called like arguments and what is inside
WITH asked AS (SELECT 'c-' || id AS "ID", category::ENUM('tea', 'mugs', 'pots') AS "Category", propensity::FLOAT AS "Propensity", 1 AS n, 2 AS share, 3 AS holdout, 4 AS salt FROM scored) FROM propensity_audience('asked', 'tea', n := 2);
WITH closest AS (SELECT {'category': id} AS id, 7 AS category, 1 AS propensity FROM scored) FROM propensity_audience('closest', 7, n := 2);
-- wrong: the category
FROM propensity_audience('scored', 'teaa', n := 2);
FROM propensity_audience('scored', 'Mugs', n := 2);
FROM propensity_audience('scored', 'hats', n := 2);
FROM propensity_audience('scored', 'pots', n := 2);
FROM propensity_audience('scored', NULL, n := 2);
FROM propensity_audience('scored', ['tea'], n := 2);
FROM propensity_audience('scored', 7, n := 2);
WITH none AS (FROM scored WHERE false) FROM propensity_audience('none', 'tea', n := 2);
WITH asked AS (FROM scored) FROM propensity_audience('asked', 'teas', n := 2);
-- wrong: how many
FROM propensity_audience('scored', 'tea');
FROM propensity_audience('scored', 'tea', holdout := 0.5);
FROM propensity_audience('scored', 'tea', n := -1);
FROM propensity_audience('scored', 'tea', n := 2.5);
FROM propensity_audience('scored', 'tea', n := 'two');
FROM propensity_audience('scored', 'tea', n := [2]);
FROM propensity_audience('scored', 'tea', share := 10);
FROM propensity_audience('scored', 'tea', share := 'nan'::FLOAT);
FROM propensity_audience('scored', 'tea', share := 'some');
FROM propensity_audience('scored', 'tea', min_propensity := -0.1);
FROM propensity_audience('scored', 'tea', min_propensity := 90);
-- wrong: the holdout
FROM propensity_audience('scored', 'tea', n := 2, holdout := 10);
FROM propensity_audience('scored', 'tea', n := 2, holdout := -0.1);
-- wrong: the relation, its columns and propensities
FROM propensity_audience('score', 'tea', n := 2);
FROM propensity_audience('scored');
WITH wrong AS (SELECT 1 AS id, 'tea' AS category, 1.5 AS propensity) FROM propensity_audience('wrong', 'tea', n := 2);
WITH wrong AS (SELECT 1 AS id, 'tea' AS category, '0.5' AS propensity) FROM propensity_audience('wrong', 'tea', n := 2);
WITH wrong AS (SELECT id, category FROM scored) FROM propensity_audience('wrong', 'tea', n := 2);
WITH wrong AS (SELECT id, propensity FROM scored) FROM propensity_audience('wrong', 'tea', n := 2);
WITH wrong AS (SELECT category, propensity FROM scored) FROM propensity_audience('wrong', 'tea', n := 2);
