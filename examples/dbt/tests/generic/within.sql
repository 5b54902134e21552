{% test within(model, column_name, low, high) %}
SELECT * FROM {{ model }} WHERE NOT ({{ column_name }} BETWEEN {{ low }} AND {{ high }})
{% endtest %}
