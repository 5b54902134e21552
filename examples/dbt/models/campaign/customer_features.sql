FROM propensity_features_asof('{{ ref("purchases") }}', DATE '{{ var("as_of") }}',
                              id := 'customer_id', time := 'day', item := 'category')
