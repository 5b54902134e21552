-- What models there are and what they predict, as tables.

CREATE OR REPLACE MACRO propensity_models() AS TABLE
  SELECT unnest(__duckprop_propensity_models(0), recursive := true);
COMMENT ON MACRO TABLE propensity_models IS 'one row a version of every model in the registry';

CREATE OR REPLACE MACRO propensity_categories(model := NULL) AS TABLE
  SELECT unnest(__duckprop_propensity_categories(__duckprop_version(model)), recursive := true);
COMMENT ON MACRO TABLE propensity_categories IS 'one row a category of a model, in the order of propensity_vector';

CREATE OR REPLACE MACRO propensity_feature_names(model := NULL) AS TABLE
  SELECT unnest(__duckprop_propensity_feature_names(__duckprop_version(model)), recursive := true);
COMMENT ON MACRO TABLE propensity_feature_names IS 'one row a feature column of a model: its number and its name';

CREATE OR REPLACE MACRO propensity_model_info(model := NULL) AS TABLE
  SELECT unnest(__duckprop_propensity_model_info(__duckprop_version(model)), recursive := true);
COMMENT ON MACRO TABLE propensity_model_info IS
  'one row a fact about a model: where it is from, its training, settings, metrics and files';

CREATE OR REPLACE MACRO propensity_quality(model := NULL) AS TABLE
  SELECT unnest(__duckprop_propensity_quality(__duckprop_version(model)), recursive := true);
COMMENT ON MACRO TABLE propensity_quality IS
  'one row a category, split and metric: how good a model was found to be when it was trained';

CREATE OR REPLACE MACRO propensity_baseline(model := NULL) AS TABLE
  SELECT unnest(__duckprop_propensity_baseline(__duckprop_version(model)), recursive := true);
COMMENT ON MACRO TABLE propensity_baseline IS
  'one row a category and bin: how propensities were distributed when the model was validated';

CREATE OR REPLACE MACRO propensity_verify(model := NULL) AS TABLE
  SELECT unnest(__duckprop_propensity_verify(__duckprop_version(model)), recursive := true);
COMMENT ON MACRO TABLE propensity_verify IS 'one row an engine: whether it gives the propensities that MXNet gives';
