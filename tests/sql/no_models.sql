-- models:
-- an empty registry
FROM propensity_models();
SELECT propensity([3], 'toys');
SELECT propensity([3], 'toys', 'shop');
FROM propensity_categories();
