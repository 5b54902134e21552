-- Once per date (SET VARIABLE as_of), in the order of time: one row per household that bought anything before it, its
-- features as two lists of equal length, by column. A feature outside the vocabulary is left out.
INSERT INTO customer_features
WITH known AS (
    SELECT DISTINCT household_id FROM purchases WHERE day < getvariable('as_of')::DATE
),
packed AS (
    SELECT household_id, list("column") AS columns, list(value) AS amounts, list_grade_up(columns) AS by_column,
           list_select(columns, by_column) AS indices, list_select(amounts, by_column) AS "values"
    FROM features JOIN feature_names USING (feature) GROUP BY household_id
)
SELECT household_id, as_of, split,
       struct_pack(indices := coalesce(indices, []), "values" := coalesce("values", []))
FROM known LEFT JOIN packed USING (household_id) CROSS JOIN windows
WHERE as_of = getvariable('as_of')::DATE
ORDER BY household_id;
