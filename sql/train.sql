-- A model from two relations, without leaving SQL.

-- Columns: model VARCHAR, the reference under which it is published; split VARCHAR, 'validation' or 'test'; metric VARCHAR;
-- value DOUBLE, NULL where nothing supports it; support BIGINT, how many the value is a mean over: categories for
-- macro_auc (area under the ROC curve) and lift_at_10pct, pairs of a row and a category for micro_auc, log_loss and ece
-- (calibration error), rows with an outcome for p_at_1_active and p_at_5_active, rows for p_at_5_all (precision of the 1
-- or 5 likeliest categories).
-- features_rel and labels_rel are each a table, a view, a Parquet path or the text of a SELECT. The first has the columns
-- ids, features and, if you like, split with 'train', 'validation' and 'test'; without it every tenth customer,
-- told by the first of the ids, validates. The second has the columns ids and category (a text or a list of them), and, with more than two classes, class. vocabulary
-- is a relation of the columns column and feature, as propensity_vocabulary makes it, to name numbered features or keep
-- some of the named ones. classes: the positive one first, 'nothing' last. Categories with fewer than min_positives
-- labelled training rows are left out. outcome: what the labels mean, for the model card. promote: an alias that will
-- point to the new version. settings: any of hidden, dropout, learning_rate, batch, epochs, patience and seed, as a STRUCT
-- or a MAP. It is the training of Python and of the command line: same data, settings and seed, same figures.
-- One execution trains and publishes once, whatever is selected from it; planning, EXPLAIN, DESCRIBE, PREPARE and CREATE
-- VIEW train nothing, nor do LIMIT 0 and WHERE false. Arguments are constants. A published model stays when the
-- transaction is rolled back, and when the query fails later on.
-- It reads through a connection of its own, so it sees what is committed: no temporary table, CTE, data frame, session
-- variable, or change in an open transaction. It works on a database that is open read-only.
-- Interrupted, it ends between two batches and publishes nothing: by Ctrl-C in duckprop sql, in Python and in a notebook
-- (as an error that says so), and by con.interrupt(), which is what SQL clients call. What it was reading it reads to the
-- end unseen. Only where a program has a handler of its own for SIGINT that does not call con.interrupt(), Ctrl-C may
-- come too late. Several connections can train at once.
-- Example: FROM propensity_train('customers', 'outcomes', 'retail', min_positives := 5,
--                       settings := {'epochs': 2, 'hidden': 16}, promote := 'champion')
CREATE OR REPLACE MACRO propensity_train(
    features_rel, labels_rel, name, ids := ['id'], features := 'features', category := 'category', split := 'split',
    vocabulary := NULL, classes := ['yes', 'no'], min_positives := 20, outcome := NULL, settings := NULL,
    promote := NULL
) AS TABLE
  WITH RECURSIVE training(run, figures) AS (
    SELECT __duckprop_train_start({
             'features_rel': features_rel, 'labels_rel': labels_rel, 'name': name, 'ids': ids, 'features': features,
             'category': category, 'split': split, 'vocabulary': vocabulary, 'classes': classes,
             'min_positives': min_positives, 'outcome': outcome, 'settings': settings, 'promote': promote,
             'search_path': current_setting('search_path'), 'database': current_database(),
             'schema': current_schema(), 'listens': __duckprop_train_listen(0)}),
           NULL::STRUCT(model VARCHAR, split VARCHAR, metric VARCHAR, "value" DOUBLE, support BIGINT)[]
    UNION ALL
    SELECT run, __duckprop_train_wait(run) FROM training WHERE figures IS NULL
  )
  SELECT unnest(figures, recursive := true) FROM training WHERE figures IS NOT NULL;
COMMENT ON MACRO TABLE propensity_train IS
  'trains and publishes a model: one row a metric on the rows held out, with the reference of the new version';
