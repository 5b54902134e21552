-- propensity_holdout(id, share, salt): BOOLEAN
SELECT typeof(propensity_holdout(7, 0.5)) AS type;
SELECT id, propensity_holdout(id, 0.5) AS half, propensity_holdout(id, 0.1) AS tenth, propensity_holdout(id, 0.5, 'tea') AS tea, duckprop.propensity_holdout(id, 0.5, salt := 'mugs') AS mugs FROM range(8) t(id);
SELECT left(md5(':3'), 8) AS digits, ('0x' || left(md5(':3'), 8))::BIGINT / 4294967296 AS place, propensity_holdout(3, 0.5) AS half;
-- the text of the id counts, whatever its type; the salt's too
SELECT propensity_holdout(3, 0.78) AS int, propensity_holdout('3', 0.78) AS text, propensity_holdout(3::UTINYINT, 0.78) AS tinyint, propensity_holdout(3, 0.78, NULL) AS no_salt, propensity_holdout(3, '0.78', '') AS text_share, propensity_holdout(3, 0.78e0) AS double_share;
SELECT propensity_holdout(3, 0.5, 2026) = propensity_holdout('3', 0.5, '2026') AS same;
SELECT propensity_holdout(UUID '00000000-0000-0000-0000-000000000007', 0.5) AS uuid, propensity_holdout({'shop': 7, 'no': 1}, 0.5) AS struct, propensity_holdout('é', 0.5) AS accent, propensity_holdout('', 0.5) AS empty;
SELECT propensity_holdout(NULL, 0.5) AS no_id, propensity_holdout(3, NULL) AS no_share, propensity_holdout(3, 0) AS nobody, propensity_holdout(3, 1) AS everybody;
-- columns called like arguments, a share a row
SELECT propensity_holdout(salt, id, share) AS held FROM (SELECT 3 AS salt, 0.5 AS id, 'tea' AS share);
SELECT share, propensity_holdout(3, share) AS held FROM (VALUES (0.2), (NULL), (0.9)) t(share);
-- wrong
SELECT propensity_holdout(3, 10);
SELECT propensity_holdout(3, -0.1);
SELECT propensity_holdout(3, 'nan'::FLOAT);
SELECT propensity_holdout(3, 'infinity'::DOUBLE);
SELECT propensity_holdout(3, 'half');
SELECT propensity_holdout(3, [0.5]);
SELECT propensity_holdout(3, share) FROM (VALUES (0.2), (NULL), (1.1)) t(share);
SELECT propensity_holdout(3);
SELECT propensity_holdout(3, 0.5, 'tea', 'mugs');
SELECT propensity_holdout(id := 3, holdout := 0.5);
