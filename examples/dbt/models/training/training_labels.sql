FROM propensity_labels('{{ ref("purchases") }}', DATE '{{ var("learn_from") }}', 28,
                       id := 'customer_id', time := 'day', item := 'category')
