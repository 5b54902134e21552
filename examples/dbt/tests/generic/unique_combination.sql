{% test unique_combination(model, columns) %}
SELECT {{ columns | join(', ') }} FROM {{ model }} GROUP BY ALL HAVING count(*) > 1
{% endtest %}
