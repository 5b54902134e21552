-- The scalar functions: names, argument order and defaults; the work is in the private functions behind them.
-- A model that is not named is the session variable propensity_model, else the connection's default.

-- The version that a reference means when the query begins, 'name@3': computed once, being constant, so that the query
-- keeps it while an alias moves on. A reference that is a column is looked up for every batch; the transaction's time
-- then says which query asks.
CREATE OR REPLACE MACRO __duckprop_version(model) AS
  __duckprop_version_of(coalesce(model, getvariable('propensity_model'))::VARCHAR, transaction_timestamp());

CREATE OR REPLACE MACRO propensity(features, category, model := NULL) AS
  __duckprop_propensity(features, category, __duckprop_version(model));
COMMENT ON MACRO propensity IS
  'FLOAT in [0, 1]: probability that a customer with these features acts in the category within the outcome window';

CREATE OR REPLACE MACRO propensities(features, categories, model := NULL) AS
  __duckprop_propensities(features, categories, __duckprop_version(model));
COMMENT ON MACRO propensities IS
  'MAP(VARCHAR, FLOAT): the propensities for the listed categories, in the order of the list';

CREATE OR REPLACE MACRO propensity_topk(features, k, categories := NULL, exclude := NULL, min_propensity := NULL,
                                        model := NULL) AS
  __duckprop_propensity_topk(features, k, categories, exclude, min_propensity, __duckprop_version(model));
COMMENT ON MACRO propensity_topk IS
  'STRUCT(category, propensity, rank)[]: the k likeliest categories, best first, of those allowed';

CREATE OR REPLACE MACRO propensity_vector(features, model := NULL) AS
  __duckprop_propensity_vector(features, NULL, __duckprop_version(model));
COMMENT ON MACRO propensity_vector IS
  'FLOAT[]: the propensities for all categories, in the order of propensity_categories()';

CREATE OR REPLACE MACRO propensity_classes(features, category, model := NULL) AS
  __duckprop_propensity_classes(features, category, __duckprop_version(model));
COMMENT ON MACRO propensity_classes IS
  'MAP(VARCHAR, FLOAT): the probability of every class of a category, in the order of the model''s classes';

CREATE OR REPLACE MACRO propensity_explain(features, category, k := NULL, model := NULL) AS
  __duckprop_propensity_explain(features, category, k, __duckprop_version(model));
COMMENT ON MACRO propensity_explain IS
  'STRUCT(feature, value, contribution)[]: how much each feature adds to the log-odds or takes from them, most first';

CREATE OR REPLACE MACRO propensity_embedding(features, model := NULL) AS
  __duckprop_propensity_embedding(features, __duckprop_version(model));
COMMENT ON MACRO propensity_embedding IS
  'FLOAT[]: the network''s last hidden layer; array_cosine_distance and friends find look-alikes in it';

CREATE OR REPLACE MACRO propensity_coverage(features, model := NULL) AS
  __duckprop_propensity_coverage(features, __duckprop_version(model));
COMMENT ON MACRO propensity_coverage IS
  'FLOAT in [0, 1]: share of the features that the model knows; NULL for a customer without features';
