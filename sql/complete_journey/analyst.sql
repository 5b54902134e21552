-- What an analyst would ask, once a model is there. Every block begins with a line that says what it is for.

-- The households as they are today: the newest features of each
CREATE OR REPLACE VIEW customers AS
SELECT household_id, features FROM customer_features WHERE as_of = (SELECT max(as_of) FROM windows);

-- What will these households buy next? Their five likeliest categories
SELECT household_id, unnest(propensity_topk(features, 5), recursive := true)
FROM customers WHERE household_id IN (1, 1000, 2000);

-- Who should get the coffee coupon? The likeliest tenth, with what is known about them
WITH scored AS MATERIALIZED (
    SELECT household_id, propensity(features, 'COFFEE') AS propensity FROM customers
),
deciles AS (SELECT *, ntile(10) OVER (ORDER BY propensity DESC) AS decile FROM scored)
SELECT household_id, round(propensity, 3) AS propensity, age, income, household_size, kids_count
FROM deciles LEFT JOIN demographics USING (household_id)
WHERE decile = 1 ORDER BY propensity DESC LIMIT 8;

-- Keep the propensities of every household, its ten best categories, as a table to join with
CREATE OR REPLACE TABLE propensity_scores AS
SELECT household_id, unnest(propensity_topk(features, 10), recursive := true) FROM customers;

-- The first rows of that table
FROM propensity_scores ORDER BY household_id, rank LIMIT 5;

-- Who leans towards what? The average propensity by income group
SELECT income, count(*) AS households,
       round(avg(propensity(features, 'FROZEN PIZZA')), 3) AS frozen_pizza,
       round(avg(propensity(features, 'COFFEE')), 3) AS coffee,
       round(avg(propensity(features, 'DOG FOODS')), 3) AS dog_foods
FROM customers JOIN demographics USING (household_id)
GROUP BY income ORDER BY coffee DESC;
