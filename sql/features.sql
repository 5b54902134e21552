-- What a model learns from and what it learns to foretell, from any table of events: who, when, what, for how much.
-- Columns are named by texts: struct_extract(event, 'day') reads only that column, and its error for a name that does
-- not exist lists the closest. Names with __duckprop_ before them cannot meet a column of the caller's.

-- A list of names, of one name or of a list.
CREATE OR REPLACE MACRO __duckprop_names(given) AS coalesce(TRY_CAST(given AS VARCHAR[]), [given::VARCHAR]);

CREATE OR REPLACE MACRO __duckprop_lower(names) AS list_transform(names, lambda name: lower(name));

-- A whole number, told by its text: so a wrong one of any type gets this error and not one of DuckDB's.
CREATE OR REPLACE MACRO __duckprop_whole(given, name) AS
  CASE WHEN TRY_CAST(given::VARCHAR AS INTEGER) >= 1 AND TRY_CAST(given::VARCHAR AS INTEGER)::VARCHAR = given::VARCHAR
       THEN TRY_CAST(given::VARCHAR AS INTEGER)
       ELSE error(name || ' is ' || coalesce(given::VARCHAR, 'NULL') || E'\ngive a whole number from 1 on') END;

-- Right is what is written as its whole numbers are, each once and in order.
CREATE OR REPLACE MACRO __duckprop_windows(given) AS (
  SELECT CASE WHEN list_sort(list_distinct(days), 'ASC')::VARCHAR = given::VARCHAR AND coalesce(days[1], 1) >= 1 THEN days
              ELSE error('windows are ' || coalesce(given::VARCHAR, 'NULL')
                         || E'\ngive whole days from 1 on in ascending order, such as [28, 84], or [] for one window')
         END
  FROM (SELECT TRY_CAST(given::VARCHAR AS INTEGER[]) AS days)
);

-- Whether something is a DATE or a TIMESTAMP of any kind. In a list, even a NULL has a type before the query runs.
CREATE OR REPLACE MACRO __duckprop_is_time(given) AS regexp_full_match(typeof([given]), '(DATE|TIMESTAMP[^\[]*)\[\]');

-- The as-of dates of one date or of a list, each once. Of a wrong type or none, the field 'other' stands in, so that
-- this much of the query makes sense and our error can be told. The same device is in __duckprop_events.
CREATE OR REPLACE MACRO __duckprop_dates(given) AS TABLE
  WITH asked AS (SELECT unnest([given], recursive := true) AS day),
  checked AS (
    SELECT CASE WHEN count(*) = 0 THEN error(E'as_of is an empty list\ngive at least one DATE or TIMESTAMP')
                WHEN count(*) > count(day) THEN error(E'as_of is NULL\ngive a DATE or TIMESTAMP, or a list of them')
                WHEN NOT __duckprop_is_time(any_value(day))
                THEN error(format(E'as_of is of type {}\ngive a DATE or TIMESTAMP, or a list: DATE \'2026-01-31\'',
                                  typeof(any_value(day))))
                ELSE list(DISTINCT struct_extract({'time': day, 'other': NULL::DATE},
                                                  if(__duckprop_is_time(day), 'time', 'other'))) END AS days
    FROM asked
  )
  SELECT unnest(days) AS day FROM checked;

-- Sums in millionths are exact, so that neither the order of the events nor the number of threads can change one.
CREATE OR REPLACE MACRO __duckprop_amount(amount, name) AS
  CASE WHEN abs(TRY_CAST(amount AS DOUBLE)) < 1e24 THEN amount::DECIMAL(38, 6)
       WHEN amount IS NULL THEN 0
       ELSE error(format(E'column \'{}\' holds {}\ngive numbers between -1e24 and 1e24, or NULL, which counts 0',
                         name, amount::VARCHAR)) END;

-- One row an as-of date and stretch of its past: which events belong to it, and what it is called.
CREATE OR REPLACE MACRO __duckprop_stretches(as_of, windows) AS TABLE
  WITH edges AS (SELECT __duckprop_windows(windows) AS edges),
  stretches AS (
    SELECT edge[1] AS nearest, edge[2] AS farthest
    FROM (SELECT unnest(list_zip([0] || edges, edges || [NULL::INTEGER])) AS edge FROM edges)
  )
  SELECT row_number() OVER (ORDER BY day ASC, nearest ASC)::INTEGER AS stretch, day,
         coalesce(date_add(day, to_days(-farthest)), '-infinity') AS first, date_add(day, to_days(-nearest)) AS beyond,
         CASE WHEN nearest = 0 AND farthest IS NULL THEN ''
              WHEN nearest = 0 THEN format(' last {} days', farthest)
              WHEN farthest IS NULL THEN format(' {}+ days ago', nearest + 1)
              ELSE format(' {}-{} days ago', nearest + 1, farthest) END AS suffix
  FROM __duckprop_dates(as_of), stretches;

-- One row, true, if the columns fit: found in the type of the relation, without reading it.
CREATE OR REPLACE MACRO __duckprop_columns_fit(events, time, item) AS TABLE
  WITH asked AS (
    SELECT struct_keys(__duckprop_event) AS there,
           list_filter(__duckprop_names(item),
                       lambda name: coalesce(NOT list_contains(__duckprop_lower(there), lower(name)), true)) AS missing,
           struct_extract(__duckprop_event, coalesce(time, 'NULL')) AS moment
    FROM (VALUES (1)) LEFT JOIN query_table(events) AS __duckprop_event ON false
  )
  SELECT CASE WHEN missing != []
              THEN error(format(E'\'{}\' has no column \'{}\'\nit has {}', events, coalesce(missing[1], 'NULL'),
                                array_to_string(there, ', ')))
              WHEN NOT __duckprop_is_time(moment)
              THEN error(format(E'time column \'{}\' is of type {}\ngive a DATE or TIMESTAMP', time, typeof(moment)))
              ELSE true END AS they_fit
  FROM asked;

-- One row an event and item column in which it names something.
CREATE OR REPLACE MACRO __duckprop_events(events, id, time, item, value) AS TABLE
  WITH named AS (
    SELECT *, struct_extract(__duckprop_event, coalesce(id, 'NULL')) AS __duckprop_id,
           struct_extract(__duckprop_event, coalesce(time, 'NULL')) AS __duckprop_time,
           struct_extract({'time': __duckprop_time, 'other': NULL::DATE},
                          if(__duckprop_is_time(__duckprop_time), 'time', 'other')) AS __duckprop_moment,
           struct_extract(__duckprop_event, coalesce(value, '__duckprop_no_value')) AS __duckprop_value,
           struct_extract(__duckprop_event, coalesce(__duckprop_names(item)[1], 'NULL')) AS __duckprop_item
    FROM (SELECT *, 0::TINYINT AS __duckprop_no_value FROM query_table(events)) AS __duckprop_event
  ),
  long AS (
    UNPIVOT (
      SELECT __duckprop_id, __duckprop_moment, __duckprop_value,
             COLUMNS(lambda c: list_contains(__duckprop_lower(__duckprop_names(item)), lower(c)))::VARCHAR
      FROM named
    )
    ON COLUMNS(* EXCLUDE (__duckprop_id, __duckprop_moment, __duckprop_value))
    INTO NAME __duckprop_kind VALUE __duckprop_name
  )
  SELECT __duckprop_id AS customer, __duckprop_moment AS moment, __duckprop_value AS amount,
         __duckprop_kind AS kind, __duckprop_name AS name
  FROM long
  WHERE __duckprop_id IS NOT NULL;

-- What happened on a day is known when the day is over: a DATE stands for its end, and no time within it may see it.
CREATE OR REPLACE MACRO __duckprop_known_at(moment) AS
  CASE typeof(moment) WHEN 'DATE' THEN date_add(date_add(moment, INTERVAL 1 DAY), INTERVAL '-1 MICROSECOND')
                      ELSE moment END;

-- Columns: id; as_of, of the type given; features STRUCT(feature VARCHAR, value FLOAT)[], by name.
-- The events are a table, view, CTE or Parquet path; id, time and item name its columns, item one or a list of them.
-- as_of is a DATE, a TIMESTAMP or a list of them. Only events with time < as_of are seen; an event dated with a DATE is
-- seen by the as-of times after that day. A feature is named after the item's column, the item and, by the windows in
-- days, how long ago it happened: 'item:YOGURT last 28 days', 'item:YOGURT 29-84 days ago', 'item:YOGURT 85+ days ago';
-- with windows := [] there is one window without a name. Its value is 1 + ln(number of events), or with a value column
-- sign(s) * ln(1 + abs(s)) of the sum s, kept to six decimals. The result is the same in any order of the events and on
-- any number of threads. A customer without an event before an as-of date has no row for it.
-- An event with a NULL id or time is passed over, as is a NULL item; a NULL value counts 0. These are errors: an as_of
-- that is NULL or empty, windows that do not ascend from 1 on, a column that does not exist, a time column of another
-- type, and a value that is NaN, infinite or beyond 1e24.
-- Example: FROM propensity_features_asof('events', [DATE '2025-11-03', DATE '2025-12-01'], value := 'value')
-- ORDER BY as_of, id;
CREATE OR REPLACE MACRO propensity_features_asof(events, as_of, id := 'id', time := 'time', item := 'item',
                                                 value := NULL, windows := [28, 84]) AS TABLE
  WITH __duckprop_past AS MATERIALIZED (
    FROM __duckprop_stretches(as_of, windows) WHERE (FROM __duckprop_columns_fit(events, time, item))
  ),
  counted AS (
    SELECT customer, kind, name, stretch, count(*) AS n, sum(__duckprop_amount(amount, value))::DOUBLE AS total
    FROM __duckprop_events(events, id, time, item, value)
    JOIN __duckprop_past ON __duckprop_known_at(moment) >= first AND __duckprop_known_at(moment) < beyond
    GROUP BY ALL
  )
  SELECT customer AS id, day AS as_of,
         list_sort(list({
           'feature': kind || ':' || name || suffix,
           'value': (CASE WHEN value IS NULL THEN 1 + ln(n) ELSE sign(total) * ln(1 + abs(total)) END)::FLOAT
         }), 'ASC') AS features
  FROM counted JOIN __duckprop_past USING (stretch)
  GROUP BY customer, day;
COMMENT ON MACRO TABLE propensity_features_asof IS
  'one row a customer and as-of date: what the customer did before it, as features for training and scoring';

-- Columns: id; as_of, of the type given; category VARCHAR. Each combination comes once.
-- The arguments are those of propensity_features_asof. An event counts if as_of <= time < as_of + days: what features
-- see is never in the labels of the same date. An as-of time within a day leaves the DATEs of that day to neither.
-- Where the events end before the days do, outcomes are missing, and nothing says so: look at the latest event first.
-- An event with a NULL id, time or item is passed over. These are errors: an as_of that is NULL or empty, and days that
-- are NULL or no whole number from 1 on.
-- Example: FROM propensity_labels('events', DATE '2025-12-01', 28) ORDER BY id, category;
CREATE OR REPLACE MACRO propensity_labels(events, as_of, days, id := 'id', time := 'time', item := 'item') AS TABLE
  WITH __duckprop_windowed AS MATERIALIZED (
    SELECT day, date_add(day, to_days(0)) AS first, date_add(day, to_days(__duckprop_whole(days, 'days'))) AS beyond
    FROM __duckprop_dates(as_of)
    WHERE (FROM __duckprop_columns_fit(events, time, item))
  )
  SELECT DISTINCT customer AS id, day AS as_of, name AS category
  FROM __duckprop_events(events, id, time, item, NULL) JOIN __duckprop_windowed ON moment >= first AND moment < beyond;
COMMENT ON MACRO TABLE propensity_labels IS
  'one row a customer, as-of date and category: what the customer did in the days that begin with the as-of date';
