FROM propensity_deciles('{{ ref("propensities") }}')
