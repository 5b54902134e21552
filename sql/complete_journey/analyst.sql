-- What an analyst would ask, once a model is there. Every block begins with a line that says what it is for.

-- The households as they are today: the newest features of each
CREATE OR REPLACE VIEW customers AS
SELECT household_id, features FROM customer_features WHERE as_of = (SELECT max(as_of) FROM windows);

-- What will these households buy next? Their five likeliest categories
SELECT household_id, unnest(propensity_topk(features, 5), recursive := true)
FROM customers WHERE household_id IN (1, 1000, 2000);

-- Keep the propensities of every household in every category, as a table to join with
CREATE OR REPLACE TABLE propensities AS FROM propensity_scores('customers', id := 'household_id');

-- Who should get the coffee coupon? The likeliest tenth, one in ten of them held out, with what is known about them
SELECT id AS household_id, round(propensity, 3) AS propensity, is_holdout, age, income, household_size, kids_count
FROM propensity_audience('propensities', 'COFFEE', share := 0.1, holdout := 0.1)
LEFT JOIN demographics ON household_id = id
ORDER BY propensity DESC, id LIMIT 8;

-- Four weeks later: how many of each tenth bought coffee, and how that compares with all
WITH bought AS (SELECT household_id AS id, category FROM outcomes WHERE as_of = (SELECT max(as_of) FROM windows))
SELECT decile, n, responders, round(rate, 3) AS rate, round(lift, 2) AS lift, round(cum_gain, 2) AS cum_gain
FROM propensity_lift('propensities', 'bought') WHERE category = 'COFFEE' ORDER BY decile;

-- Who leans towards what? The average propensity by income group
SELECT income, count(*) AS households,
       round(avg(propensity(features, 'FROZEN PIZZA')), 3) AS frozen_pizza,
       round(avg(propensity(features, 'COFFEE')), 3) AS coffee,
       round(avg(propensity(features, 'DOG FOODS')), 3) AS dog_foods
FROM customers JOIN demographics USING (household_id)
GROUP BY income ORDER BY coffee DESC;
