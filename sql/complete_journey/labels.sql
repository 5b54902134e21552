-- The answers: what each known household bought in the 28 days that begin with the as-of day (the day itself counts,
-- the 28th day after it does not). Asked are the categories with at least 20 such purchases in the training windows.
CREATE OR REPLACE TEMP TABLE bought AS
SELECT DISTINCT c.household_id, c.as_of, c.split, p.category
FROM customer_features AS c
JOIN purchases AS p ON p.household_id = c.household_id AND p.day >= c.as_of AND p.day < c.as_of + 28
WHERE p.category IS NOT NULL AND p.category NOT IN (FROM excluded_categories);

CREATE OR REPLACE TABLE categories AS
SELECT category FROM bought WHERE split = 'train' GROUP BY category HAVING count(*) >= 20 ORDER BY category;

CREATE OR REPLACE TABLE outcomes AS
SELECT household_id, as_of, category FROM bought SEMI JOIN categories USING (category)
ORDER BY as_of, household_id, category;
DROP TABLE bought;
