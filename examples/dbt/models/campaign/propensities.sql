FROM propensity_scores('{{ ref("customer_features") }}')
