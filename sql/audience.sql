-- From propensities to a campaign: who gets it, who is held out, and whether they are enough to learn from.

CREATE OR REPLACE MACRO __duckprop_held_out(id, share, salt) AS
  CASE WHEN id IS NULL OR share IS NULL THEN NULL
       WHEN share::DOUBLE BETWEEN 0 AND 1
       THEN ('0x' || left(md5(coalesce(salt::VARCHAR, '') || ':' || id::VARCHAR), 8))::BIGINT
            < share::DOUBLE * 4294967296e0
       ELSE error(format(E'the share to hold out is {}\ngive one in [0, 1]', share)) END;

-- BOOLEAN: whether the customer is held out, the same one on every machine, engine and version: true where the first 8
-- hexadecimal digits of MD5(salt || ':' || id), as a number, are below share · 2^32. Another salt holds out others;
-- without one, all campaigns hold out the same customers. NULL id or share gives NULL.
-- Raises an error for a share outside [0, 1].
-- Example: SELECT id, propensity_holdout(id, 0.1, 'tea 2025-12') AS is_holdout FROM customers
CREATE OR REPLACE MACRO propensity_holdout(id, share, salt := '') AS __duckprop_held_out(id, share, salt);
COMMENT ON MACRO propensity_holdout IS
  'BOOLEAN: whether a customer is held out of a campaign, from the MD5 of salt and id: the same everywhere';

-- The rows of one category, its deciles and places; an error where there is none, with the closest name.
CREATE OR REPLACE MACRO __duckprop_of_category(scored, category) AS TABLE
  WITH __duckprop_asked AS MATERIALIZED (
    SELECT scored.id AS id, __duckprop_checked(scored.propensity) AS propensity FROM query_table(scored) AS scored
    WHERE scored.category = category AND __duckprop_is_whole(scored.id, scored.category, scored.propensity)
  ), closest AS (
    SELECT max_by(scored.category::VARCHAR,
                  jaro_winkler_similarity(scored.category::VARCHAR, category::VARCHAR)) AS name
    FROM query_table(scored) AS scored
    WHERE NOT EXISTS (FROM __duckprop_asked) AND __duckprop_is_whole(scored.id, scored.category, scored.propensity)
      AND jaro_winkler_similarity(scored.category::VARCHAR, category::VARCHAR) > 0.8
  )
  SELECT asked.id, asked.propensity, ntile(10) OVER likeliest::INTEGER AS decile,
         row_number() OVER likeliest AS place, count(*) OVER () AS n
  FROM __duckprop_asked AS asked
  WINDOW likeliest AS (ORDER BY asked.propensity DESC, asked.id ASC)
  UNION ALL
  SELECT NULL, 1, 1, 0, 0 FROM closest  -- values that no filter of a caller drops
  WHERE CASE WHEN NOT EXISTS (FROM __duckprop_asked) THEN error(format(
    E'category {} has no propensities in the scored relation{}\ngive one that it has: SELECT DISTINCT category FROM it',
    coalesce('''' || category::VARCHAR || '''', 'NULL'), coalesce(' (did you mean ''' || closest.name || '''?)', '')))::BOOLEAN
    ELSE false END;

-- A share of a whole, as it is; an error for what is none. NULL is NULL.
CREATE OR REPLACE MACRO __duckprop_share(share, what) AS
  CASE WHEN share IS NULL OR share::DOUBLE BETWEEN 0 AND 1 THEN share::DOUBLE
       ELSE error(format(E'{} is {}\ngive one in [0, 1]', what, share)) END;

-- id. propensity FLOAT. decile INTEGER: among all customers of the category, 1 for the likeliest tenth. is_holdout
-- BOOLEAN: belongs to the audience and is left alone, so that the campaign's effect can be measured.
-- The audience are the n likeliest customers, the likeliest share of them (rounded up), those with at least
-- min_propensity, or what several of these leave over; ties go to the lower id. holdout: share of the audience to hold
-- out; who that is depends on the id and on salt, which is the category's name where none is given: see
-- propensity_holdout. Rows whose id or propensity is NULL are not in it. Raises an error where none of n, share and
-- min_propensity is given, for a category without propensities, a negative n, and shares outside [0, 1].
-- Example: FROM propensity_audience('propensities', 'shoes', n := 3, holdout := 0.2)
CREATE OR REPLACE MACRO propensity_audience(scored, category, n := NULL, share := NULL, min_propensity := NULL,
                                            holdout := 0, salt := NULL) AS TABLE
  SELECT c.id, c.propensity, c.decile,
         __duckprop_held_out(c.id, holdout, coalesce(salt::VARCHAR, category::VARCHAR)) AS is_holdout
  FROM __duckprop_of_category(scored, category) AS c
  WHERE CASE WHEN n IS NULL AND share IS NULL AND min_propensity IS NULL
               THEN error(E'nothing says how many customers the audience has\n'
                          'give n := 1000, share := 0.1 or min_propensity := 0.2')
             WHEN coalesce(TRY_CAST(n::VARCHAR AS UBIGINT)::VARCHAR <> n::VARCHAR, n IS NOT NULL)
               THEN error(format(E'n is {}\ngive a whole number from 0', n::VARCHAR))
             ELSE c.place <= coalesce(TRY_CAST(n::VARCHAR AS UBIGINT), c.place)
                  -- 100 * 0.07, as doubles, is a little more than 7; that alone makes no eighth customer
                  AND c.place <= coalesce(ceil(c.n * __duckprop_share(share, 'the share of customers') * (1 - 1e-15)),
                                          c.place)
                  AND c.propensity::FLOAT >= coalesce(__duckprop_share(min_propensity, 'min_propensity')::FLOAT, 0) END
  ORDER BY c.place ASC;
COMMENT ON MACRO TABLE propensity_audience IS
  'one row a customer of an audience: the likeliest customers of a category, some of them held out';

-- The standard normal quantile: Acklam's rational approximations (2000), relative error below 1.2e-9.
CREATE OR REPLACE MACRO __duckprop_normal_tail(q) AS
  (((((-7.784894002430293e-3 * q - 3.223964580411365e-1) * q - 2.400758277161838e0) * q - 2.549732539343734e0) * q
    + 4.374664141464968e0) * q + 2.938163982698783e0)
  / ((((7.784695709041462e-3 * q + 3.224671290700398e-1) * q + 2.445134137142996e0) * q + 3.754408661907416e0) * q + 1);
CREATE OR REPLACE MACRO __duckprop_normal_middle(q, r) AS
  (((((-3.969683028665376e1 * r + 2.209460984245205e2) * r - 2.759285104469687e2) * r + 1.383577518672690e2) * r
    - 3.066479806614716e1) * r + 2.506628277459239e0) * q
  / (((((-5.447609879822406e1 * r + 1.615858368580409e2) * r - 1.556989798598866e2) * r + 6.680131188771972e1) * r
    - 1.328068155288572e1) * r + 1);
CREATE OR REPLACE MACRO __duckprop_normal_quantile(p) AS
  CASE WHEN p < 0.02425 THEN __duckprop_normal_tail(sqrt(-2 * ln(p)))
       WHEN p > 0.97575 THEN -__duckprop_normal_tail(sqrt(-2 * ln(1 - p)))
       ELSE __duckprop_normal_middle(p - 0.5e0, (p - 0.5e0) * (p - 0.5e0)) END;

-- A probability strictly between 0 and 1, as it is; an error for what is none.
CREATE OR REPLACE MACRO __duckprop_probability(p, what) AS
  CASE WHEN p::DOUBLE > 0 AND p::DOUBLE < 1 THEN p::DOUBLE
       ELSE error(format(E'{} is {}\ngive one between 0 and 1', what, coalesce(p::VARCHAR, 'NULL'))) END;

-- One row a decile of the category. n BIGINT: customers in it. expected_rate DOUBLE: their mean propensity, which is how
-- many will act without a campaign. required_n BIGINT: how many customers it takes, held out and not, to see a campaign
-- that makes them act lift times more often than that, such as 0.1 for a tenth more: with this power, in a two-sided
-- test at the level alpha of the difference of two rates (normal approximation), where holdout is the share held out.
-- NULL where the raised rate would not be below 1, the expected one is 0, or no BIGINT is enough. is_enough BOOLEAN:
-- n >= required_n.
-- Raises an error for a category without propensities, a lift that is not positive, and for a power, alpha or holdout
-- that is not between 0 and 1.
-- Example: FROM propensity_sample_size('propensities', 'shoes', lift := 0.2)
CREATE OR REPLACE MACRO propensity_sample_size(scored, category, lift, power := 0.8, alpha := 0.05, holdout := 0.5)
AS TABLE
  WITH deciles AS (
    SELECT c.decile, count(*) AS n, favg(c.propensity) AS expected_rate
    FROM __duckprop_of_category(scored, category) AS c GROUP BY c.decile
  ), raised AS (
    SELECT *, expected_rate * (1 + CASE WHEN lift::DOUBLE > 0 AND isfinite(lift::DOUBLE) THEN lift::DOUBLE
                                        ELSE error(format(E'lift is {}\ngive how much more often they act, '
                                                          'such as 0.1 for a tenth more',
                                                          coalesce(lift::VARCHAR, 'NULL')))
                                        END) AS rate,
           greatest(0, __duckprop_normal_quantile(1 - __duckprop_probability(alpha, 'alpha') / 2)
                       + __duckprop_normal_quantile(__duckprop_probability(power, 'power'))) AS distance,
           __duckprop_probability(holdout, 'holdout') AS held
    FROM deciles
  )
  SELECT decile, raised.n, expected_rate,
         CASE WHEN rate < 1 AND expected_rate > 0
              THEN TRY_CAST(ceil(distance ** 2 / (rate - expected_rate) ** 2
                                 * (expected_rate * (1 - expected_rate) / held + rate * (1 - rate) / (1 - held)))
                            AS BIGINT) END AS required_n,
         raised.n >= required_n AS is_enough
  FROM raised ORDER BY decile ASC;
COMMENT ON MACRO TABLE propensity_sample_size IS
  'one row a decile of a category: how many customers a test takes, and whether the decile has them';
