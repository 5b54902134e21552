FROM propensity_audience('{{ ref("propensities") }}', '{{ var("category") }}', n := {{ var("audience") }}, holdout := 0.1)
