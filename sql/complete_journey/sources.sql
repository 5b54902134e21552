-- The retailer's files, cleaned once, so that every later file reads whole numbers and dates. TEMP: gone at the end.
-- Expects: SET VARIABLE data_folder = '...', the folder with the Parquet files of the Complete Journey data set.

-- One row per line of a receipt. A product that the product list does not know keeps its line, with NULL attributes.
CREATE OR REPLACE TEMP TABLE purchases AS
SELECT t.household_id::INTEGER AS household_id,
       t.transaction_timestamp::DATE AS day,
       extract(hour FROM t.transaction_timestamp)::TINYINT AS hour,
       t.basket_id::BIGINT AS basket_id,
       t.store_id::INTEGER AS store_id,
       t.product_id::INTEGER AS product_id,
       round(t.sales_value * 100)::INTEGER AS cents,      -- whole cents add up alike in any order
       t.retail_disc > 0 AS discounted,
       p.brand = 'Private' AS private_label,
       p.manufacturer_id::INTEGER AS manufacturer_id,
       p.department,
       p.product_category AS category,
       p.product_type
FROM read_parquet(getvariable('data_folder') || '/transactions.parquet') AS t
LEFT JOIN read_parquet(getvariable('data_folder') || '/products.parquet') AS p USING (product_id)
ORDER BY household_id, day;

-- Lines on a receipt that are no goods: nobody wants a propensity for them. They do stay in the features.
CREATE OR REPLACE TEMP TABLE excluded_categories AS
FROM (VALUES ('COUPON'), ('COUPON/MISC ITEMS'), ('COUPONS/STORE & MFG'), ('MISCELLANEOUS')) AS excluded (category);

CREATE OR REPLACE TEMP TABLE redemptions AS
SELECT household_id::INTEGER AS household_id, coupon_upc::BIGINT AS coupon, campaign_id::INTEGER AS campaign,
       redemption_date::DATE AS day
FROM read_parquet(getvariable('data_folder') || '/coupon_redemptions.parquet');

-- The campaigns that a household was sent, and when they ran. The end is part of the plan, known from the start on.
CREATE OR REPLACE TEMP TABLE mailings AS
SELECT c.household_id::INTEGER AS household_id, c.campaign_id::INTEGER AS campaign,
       d.start_date::DATE AS first_day, d.end_date::DATE AS last_day
FROM read_parquet(getvariable('data_folder') || '/campaigns.parquet') AS c
JOIN read_parquet(getvariable('data_folder') || '/campaign_descriptions.parquet') AS d USING (campaign_id);
