-- propensity_labels(events, as_of, days, id, time, item): what customers did from a date on
CREATE TABLE events AS FROM (VALUES (1, DATE '2025-11-30', 'soil'), (1, DATE '2025-12-01', 'tea'), (1, DATE '2025-12-28', 'tea'), (1, DATE '2025-12-28', 'mugs'), (2, DATE '2025-12-29', 'pots'), (2, DATE '2025-12-05', NULL), (NULL, DATE '2025-12-05', 'paper'), (3, NULL, 'frames')) t(id, time, item);
DESCRIBE FROM propensity_labels('events', DATE '2025-12-01', 28);
FROM propensity_labels('events', DATE '2025-12-01', 28) ORDER BY id, category;
FROM duckprop.propensity_labels('events', [DATE '2025-12-01', DATE '2025-12-29'], 1) ORDER BY as_of, id, category;
-- other names; a TIMESTAMP as it is
WITH visits AS (SELECT 7 AS who, TIMESTAMP '2025-12-01' + to_hours(h::INTEGER) AS at, h AS what FROM range(22, 27) t(h)) FROM propensity_labels('visits', TIMESTAMP '2025-12-01 23:00', 1, id := 'who', time := 'at', item := 'what') ORDER BY category;
-- nothing happened: no row
FROM propensity_labels('events', DATE '2026-12-01', 28);
-- wrong
FROM propensity_labels('events', DATE '2025-12-01', NULL);
FROM propensity_labels('events', DATE '2025-12-01', 0);
FROM propensity_labels('events', DATE '2025-12-01', 1.5);
FROM propensity_labels('events', NULL, 28);
FROM propensity_labels('events', DATE '2025-12-01', 28, item := 'category');
FROM propensity_labels('events', DATE '2025-12-01', 28, time := 'item');
