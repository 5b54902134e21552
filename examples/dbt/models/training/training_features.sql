FROM propensity_features_asof('{{ ref("purchases") }}', DATE '{{ var("learn_from") }}',
                              id := 'customer_id', time := 'day', item := 'category')
