-- Once per training date (SET VARIABLE as_of): which households have each feature. The smallest and the largest number
-- say whether there is more than one, without a set of households per feature.
INSERT INTO support
SELECT feature, min(household_id), max(household_id) FROM features GROUP BY feature;
