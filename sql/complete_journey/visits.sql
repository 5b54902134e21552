-- Which visit brought home what: the purchases once more, with everything that a product counts as (itself, its type,
-- category, department, manufacturer) as an "item", and the store as one more. Counted out once for all dates.
CREATE OR REPLACE TEMP TABLE sold_as AS
SELECT product_id, unnest(['product', 'type', 'category', 'department', 'manufacturer']) AS kind,
       unnest([product_id::VARCHAR, product_type, category, department, manufacturer_id::VARCHAR]) AS name
FROM (SELECT DISTINCT product_id, product_type, category, department, manufacturer_id FROM purchases);

CREATE OR REPLACE TEMP TABLE items AS
SELECT row_number() OVER (ORDER BY kind, name)::INTEGER AS item_id, kind, name, kind || ':' || name AS item
FROM (
    SELECT DISTINCT kind, name FROM sold_as WHERE name IS NOT NULL
    UNION ALL
    SELECT DISTINCT 'store', store_id::VARCHAR FROM purchases
);

-- One row per visit (basket) and item, however many lines the item had in the basket.
CREATE OR REPLACE TEMP TABLE visits AS
SELECT household_id, day, item_id, kind
FROM (
    SELECT DISTINCT household_id, day, basket_id, item_id, kind
    FROM purchases JOIN sold_as USING (product_id) JOIN items USING (kind, name)
    UNION ALL
    SELECT DISTINCT household_id, day, basket_id, item_id, kind
    FROM purchases JOIN items ON kind = 'store' AND name = store_id::VARCHAR
)
ORDER BY household_id, item_id;
DROP TABLE sold_as;
