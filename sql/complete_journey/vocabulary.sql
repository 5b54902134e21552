-- The columns of the task: every feature that at least two different training households have. What a single household
-- has teaches nothing about another. Numbered by name, so that the same data always get the same numbers.
CREATE OR REPLACE TABLE feature_names AS
SELECT (row_number() OVER (ORDER BY feature) - 1)::INTEGER AS "column", feature
FROM support
GROUP BY feature
HAVING min(first_household) < max(last_household)
ORDER BY feature;
DROP TABLE support;
