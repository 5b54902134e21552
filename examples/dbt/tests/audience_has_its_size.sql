-- n customers, of whom about a tenth are held out
SELECT count(*) AS n, avg(is_holdout::INTEGER) AS held_out FROM {{ ref('audience') }}
HAVING n != {{ var('audience') }} OR held_out NOT BETWEEN 0.05 AND 0.15
