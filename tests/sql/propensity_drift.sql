-- models: shop@champion club
CREATE MACRO rounded(psi, js) AS {psi: round(psi, 6), js: round(js, 6)};
CREATE TABLE scored AS SELECT i AS id, c AS category, (i * 7 % 20) / 20 AS propensity FROM range(20) t(i), (VALUES ('toys'), ('books')) c(c) UNION ALL FROM (VALUES (20, 'toys', NULL), (21, NULL, 0.5));
CREATE TABLE earlier AS SELECT i AS id, 'toys' AS category, i / 10 AS propensity FROM range(11) t(i) UNION ALL FROM (VALUES (1, 'garden', 0.5), (2, 'books', NULL), (3, NULL, 0.5));
-- against itself: none
FROM propensity_drift('scored', 'scored');
SELECT category, rounded(psi, js) AS drift, n, n_baseline FROM propensity_drift('scored', 'earlier');
SELECT category, rounded(psi, js) AS drift, n, n_baseline FROM duckprop.propensity_drift('earlier', baseline := 'scored');
-- one propensity on either side
WITH one AS (SELECT 'toys' AS category, 0.5 AS propensity) SELECT category, rounded(psi, js) AS drift, n, n_baseline FROM propensity_drift('one', 'scored') WHERE n > 0;
WITH one AS (SELECT 'toys' AS category, 0.5 AS propensity) SELECT category, rounded(psi, js) AS drift, n, n_baseline FROM propensity_drift('scored', 'one') WHERE n_baseline > 0;
WITH one AS (SELECT 'toys' AS category, 0.5 AS propensity) FROM propensity_drift('one', 'one');
-- nothing on either side
CREATE VIEW none AS FROM scored WHERE false;
FROM propensity_drift('none', 'earlier');
FROM propensity_drift('earlier', 'none');
FROM propensity_drift('none', 'none');
-- relations called like what is inside, names of columns in other cases
WITH bins AS (SELECT category AS "Category", propensity::FLOAT AS "Propensity" FROM scored), edges AS (FROM bins) SELECT category, psi, n FROM propensity_drift('bins', 'edges');
WITH now AS (FROM scored), shares AS (FROM scored) SELECT category, psi, n FROM propensity_drift('now', 'shares');
-- the baseline of a model: named, or the session's
SELECT category, n, n_baseline FROM propensity_drift('scored', model := 'shop@champion');
SELECT category, n, n_baseline FROM propensity_drift('scored', model := 'club');
SET VARIABLE propensity_model = 'shop';
SELECT category, rounded(psi, js) AS drift, n, n_baseline FROM propensity_drift('scored') WHERE n > 0;
RESET VARIABLE propensity_model;
FROM propensity_drift('scored');
FROM propensity_drift('scored', model := 'shp');
-- wrong: propensities
WITH wrong AS (SELECT 'toys' AS category, 'nan'::FLOAT AS propensity) FROM propensity_drift('wrong', 'scored');
WITH wrong AS (SELECT 'toys' AS category, 'nan'::FLOAT AS propensity) FROM propensity_drift('scored', 'wrong');
WITH wrong AS (SELECT 'toys' AS category, -0.01 AS propensity) FROM propensity_drift('wrong', 'scored');
WITH wrong AS (SELECT 'toys' AS category, 2 AS propensity) FROM propensity_drift('scored', 'wrong');
WITH wrong AS (SELECT 'toys' AS category, '0.5' AS propensity) FROM propensity_drift('wrong', 'scored');
WITH wrong AS (SELECT 'toys' AS category, [0.5] AS propensity) FROM propensity_drift('scored', 'wrong');
-- wrong: the relations and their columns
FROM propensity_drift('score', 'scored');
FROM propensity_drift('scored', 'later');
FROM propensity_drift(NULL);
FROM propensity_drift();
WITH wrong AS (SELECT category FROM scored) FROM propensity_drift('wrong', 'scored');
WITH wrong AS (SELECT category FROM scored) FROM propensity_drift('scored', 'wrong');
WITH wrong AS (SELECT propensity FROM scored) FROM propensity_drift('wrong', 'scored');
WITH wrong AS (SELECT propensity FROM scored) FROM propensity_drift('scored', 'wrong');
FROM propensity_drift('scored', 'scored', bins := 5);
