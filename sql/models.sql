-- What models there are and what they predict, as tables.

CREATE OR REPLACE MACRO propensity_models() AS TABLE
  SELECT unnest(__duckprop_propensity_models(0), recursive := true);
COMMENT ON MACRO TABLE propensity_models IS 'one row a version of every model in the registry';

CREATE OR REPLACE MACRO propensity_categories(model := NULL) AS TABLE
  SELECT unnest(__duckprop_propensity_categories(coalesce(model, getvariable('propensity_model'))::VARCHAR),
                recursive := true);
COMMENT ON MACRO TABLE propensity_categories IS 'one row a category of a model, in the order of propensity_vector';

CREATE OR REPLACE MACRO propensity_verify(model := NULL) AS TABLE
  SELECT unnest(__duckprop_propensity_verify(coalesce(model, getvariable('propensity_model'))::VARCHAR),
                recursive := true);
COMMENT ON MACRO TABLE propensity_verify IS 'one row an engine: whether it gives the propensities that MXNet gives';
