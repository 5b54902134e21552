-- propensity_features_asof(events, as_of, id, time, item, value, windows): what customers did before a date
CREATE TABLE events AS FROM (VALUES (1, DATE '2025-11-30', 'tea', 'hot', 12.5e0), (1, DATE '2025-11-03', 'tea', 'hot', 2.5e0), (1, DATE '2025-11-02', 'pots', 'garden', NULL), (1, DATE '2025-09-08', 'soil', 'garden', -30.0e0), (2, DATE '2025-09-07', 'tea', 'hot', 0.1e0), (2, DATE '2025-09-07', 'tea', 'hot', 0.2e0), (2, DATE '2025-09-07', 'tea', 'hot', -0.3e0), (3, DATE '2025-12-01', 'tea', 'hot', 'nan'::DOUBLE), (NULL, DATE '2025-11-30', 'tea', 'hot', 1e0), (2, NULL, 'mugs', 'hot', 1e0), (2, DATE '2025-11-30', NULL, 'gift', 1e0), (2, DATE '2025-12-02', 'paper', NULL, 'inf'::DOUBLE)) t(id, time, item, kind, value);
DESCRIBE FROM propensity_features_asof('events', DATE '2025-12-01');
FROM propensity_features_asof('events', DATE '2025-12-01') ORDER BY id;
FROM duckprop.propensity_features_asof('events', [DATE '2025-12-01', DATE '2025-11-03', DATE '2025-12-01'], windows := []) ORDER BY as_of, id;
FROM propensity_features_asof('events', DATE '2025-12-01', item := ['item', 'kind'], value := 'value', windows := [1, 28]) ORDER BY id;
-- a time within a day does not see the DATE of that day; a TIMESTAMP of the evening before was 1 day ago
SELECT as_of, count(*) AS customers FROM propensity_features_asof('events', [TIMESTAMP '2025-12-01 23:00', TIMESTAMP '2025-12-02 00:00']) GROUP BY as_of ORDER BY as_of;
WITH visits AS (SELECT 1 AS who, TIMESTAMP '2025-11-30 22:15' AS at, 'tea' AS what) FROM propensity_features_asof('visits', DATE '2025-12-01', id := 'who', time := 'at', item := 'what', windows := [1]);
-- nothing before: no row
FROM propensity_features_asof('events', DATE '2025-01-01');
-- wrong: as_of
FROM propensity_features_asof('events', NULL);
FROM propensity_features_asof('events', []);
FROM propensity_features_asof('events', [DATE '2025-12-01', NULL]);
FROM propensity_features_asof('events', '2025-12-01');
-- wrong: columns
FROM propensity_features_asof('events', DATE '2025-12-01', id := 'customer');
FROM propensity_features_asof('events', DATE '2025-12-01', time := 'kind');
FROM propensity_features_asof('events', DATE '2025-12-01', item := NULL);
FROM propensity_features_asof('events', DATE '2025-12-01', item := ['item', 'colour']);
-- wrong: windows
FROM propensity_features_asof('events', DATE '2025-12-01', windows := NULL);
FROM propensity_features_asof('events', DATE '2025-12-01', windows := [84, 28]);
FROM propensity_features_asof('events', DATE '2025-12-01', windows := [0, 28]);
FROM propensity_features_asof('events', DATE '2025-12-01', windows := 28.5);
-- wrong: values
FROM propensity_features_asof('events', DATE '2025-12-02', value := 'value');
FROM propensity_features_asof('events', DATE '2025-12-01', value := 'kind');
