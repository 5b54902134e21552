"""Every SQL function that is written in Python, in the order of the documentation.

One function a file. A body takes and returns Arrow arrays and knows neither DuckDB nor Spark; whoever registers it
hands in the models. The public names and their defaults are macros in ``duckprop.sql``.
"""

from duckprop.udfs import (
    propensities,
    propensity,
    propensity_baseline,
    propensity_categories,
    propensity_classes,
    propensity_coverage,
    propensity_embedding,
    propensity_evaluate,
    propensity_explain,
    propensity_feature_names,
    propensity_model_info,
    propensity_models,
    propensity_quality,
    propensity_topk,
    propensity_vector,
    propensity_verify,
)
from duckprop.udfs.udf import Udf

ALL: tuple[Udf, ...] = (
    propensity.UDF,
    propensities.UDF,
    propensity_topk.UDF,
    propensity_vector.UDF,
    propensity_classes.UDF,
    propensity_explain.UDF,
    propensity_embedding.UDF,
    propensity_coverage.UDF,
    propensity_models.UDF,
    propensity_categories.UDF,
    propensity_feature_names.UDF,
    propensity_model_info.UDF,
    propensity_quality.UDF,
    propensity_baseline.UDF,
    propensity_verify.UDF,
    propensity_evaluate.UDF,
)
