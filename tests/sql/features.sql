-- the features argument: every column type means the same customer
CREATE MACRO dense() AS list_transform(range(40), lambda i: CASE i WHEN 3 THEN 1.0 WHEN 17 THEN 0.5 ELSE 0 END);
CREATE TABLE kinds AS SELECT * FROM (VALUES
  ('LibSVM', propensity('3:1.0 17:0.5', 'toys')),
  ('LibSVM, blanks and unsorted', propensity('  17:5e-1   3:1 ', 'toys')),
  ('LibSVM as ENUM', propensity('3:1.0 17:0.5'::ENUM('3:1.0 17:0.5'), 'toys')),
  ('STRUCT(INTEGER[], FLOAT[])', propensity({indices: [3, 17], values: [1.0, 0.5]::FLOAT[]}, 'toys')),
  ('STRUCT(BIGINT[], DOUBLE[])', propensity({indices: [3, 17]::BIGINT[], values: [1.0, 0.5]::DOUBLE[]}, 'toys')),
  ('STRUCT(UTINYINT[], DECIMAL[])', propensity({indices: [3, 17]::UTINYINT[], values: [1.0, 0.5]}, 'toys')),
  ('STRUCT(HUGEINT[], FLOAT[])', propensity({indices: [3, 17]::HUGEINT[], values: [1.0, 0.5]::FLOAT[]}, 'toys')),
  ('STRUCT, unsorted', propensity({indices: [17, 3], values: [0.5, 1.0]}, 'toys')),
  ('STRUCT, duplicates', propensity({indices: [3, 17, 3], values: [0.25, 0.5, 0.75]}, 'toys')),
  ('STRUCT, values first', propensity({VALUES: [1.0, 0.5], Indices: [3, 17]}, 'toys')),
  ('vector, sparse', propensity({type: 0::TINYINT, size: 40, indices: [3, 17], values: [1.0, 0.5]::DOUBLE[]}, 'toys')),
  ('vector, dense', propensity({type: 1::TINYINT, size: NULL::INTEGER, indices: NULL::INTEGER[], values: dense()::DOUBLE[]}, 'toys')),
  ('MAP(INTEGER, DECIMAL)', propensity(MAP {17: 0.5, 3: 1.0}, 'toys')),
  ('MAP(BIGINT, FLOAT)', propensity(MAP {17::BIGINT: 0.5::FLOAT, 3: 1.0}, 'toys')),
  ('MAP(VARCHAR, DOUBLE)', propensity(MAP {'item 3': 1.0::DOUBLE, 'item 17': 0.5}, 'toys')),
  ('MAP(VARCHAR), an unknown name', propensity(MAP {'item 3': 1.0, 'gone': 7, 'item 17': 0.5}, 'toys')),
  ('MAP(ENUM, DECIMAL)', propensity(MAP {'item 3'::ENUM('item 17', 'item 3'): 1.0, 'item 17': 0.5}, 'toys')),
  ('STRUCT(column, value)[]', propensity([{i: 3, v: 1.0}, {i: 17, v: 0.5}], 'toys')),
  ('STRUCT(name, value)[]', propensity([{name: 'item 17', amount: 0.5}, {name: 'item 3', amount: 1}], 'toys')),
  ('FLOAT[]', propensity(dense()::FLOAT[], 'toys')),
  ('DOUBLE[]', propensity(dense()::DOUBLE[], 'toys')),
  ('DECIMAL[]', propensity(dense()::DECIMAL(4, 2)[], 'toys')),
  ('FLOAT[40]', propensity(dense()::FLOAT[40], 'toys'))) t(kind, p);
SELECT kind, round(p, 4) AS p, p = first(p) OVER (ORDER BY rowid) AS is_same FROM kinds ORDER BY rowid;
CREATE TABLE present AS SELECT * FROM (VALUES
  ('LibSVM', propensity('3:1 17:1', 'toys')),
  ('INTEGER[]', propensity([3, 17], 'toys')),
  ('UBIGINT[]', propensity([17, 3]::UBIGINT[], 'toys')),
  ('INTEGER[2]', propensity([3, 17]::INTEGER[2], 'toys')),
  ('VARCHAR[]', propensity(['item 3', 'item 17', 'gone'], 'toys')),
  ('ENUM[]', propensity(['item 3', 'item 17']::ENUM('item 3', 'item 17')[], 'toys')),
  ('BOOLEAN values', propensity({indices: [3, 17, 4], values: [true, true, false]}, 'toys'))) t(kind, p);
SELECT kind, round(p, 4) AS p, p = first(p) OVER (ORDER BY rowid) AS is_same FROM present ORDER BY rowid;
-- NULL gives NULL
SELECT propensity(NULL, 'toys') AS a, propensity(NULL::VARCHAR, 'toys') AS b, propensity({indices: NULL, values: NULL}, 'toys') AS c, propensity({type: NULL, size: NULL, indices: NULL, values: NULL}, 'toys') AS d, propensity(NULL::FLOAT[40], 'toys') AS e, propensity(NULL::MAP(VARCHAR, FLOAT), 'toys') AS f;
-- empty gives the base rate
SELECT round(p, 4) AS base_rate, count(*) AS n FROM (SELECT unnest([propensity([], 'toys'), propensity('', 'toys'), propensity('  ', 'toys'), propensity(MAP {}, 'toys'), propensity({indices: [], values: []}, 'toys'), propensity({indices: []::INTEGER[], values: []::FLOAT[]}, 'toys'), propensity({indices: NULL, values: []}, 'toys'), propensity([]::VARCHAR[], 'toys'), propensity({type: 0, size: 40, indices: []::INTEGER[], values: []::DOUBLE[]}, 'toys'), propensity(['gone'], 'toys')]) AS p) GROUP BY p;
SELECT i, round(propensity(f, 'toys'), 4) AS p FROM (VALUES (0, {indices: [3], values: [1.0]}), (1, NULL), (2, {indices: [], values: []}), (3, {indices: NULL, values: NULL})) t(i, f) ORDER BY i;
-- wrong: the column
SELECT propensity([40], 'toys');
SELECT propensity([-1], 'toys');
SELECT propensity('40:1', 'toys');
SELECT propensity('-1:1', 'toys');
SELECT propensity(MAP {2147483648: 1.0}, 'toys');
SELECT propensity(MAP {18446744073709551615::UBIGINT: 1.0}, 'toys');
SELECT propensity([170141183460469231731687303715884105727], 'toys');
SELECT propensity({indices: [3, NULL], values: [1.0, 0.5]}, 'toys');
SELECT propensity([3, NULL], 'toys');
SELECT propensity([NULL], 'toys');
SELECT propensity(['item 3', NULL], 'toys');
SELECT propensity(f, 'toys') FROM (VALUES ([3]), (NULL), ([3, 99])) t(f);
-- wrong: the value
SELECT propensity({indices: [3], values: ['nan'::FLOAT]}, 'toys');
SELECT propensity({indices: [3], values: ['inf'::DOUBLE]}, 'toys');
SELECT propensity({indices: [3], values: ['-inf'::FLOAT]}, 'toys');
SELECT propensity({indices: [3], values: [1e39]}, 'toys');
SELECT propensity({indices: [3, 3], values: [3e38, 3e38]}, 'toys');
SELECT propensity({indices: [3], values: [1e30]}, 'toys');
SELECT propensity({indices: [3, 17], values: [1.0, NULL]}, 'toys');
SELECT propensity(MAP {'gone': 'nan'::FLOAT}, 'toys');
SELECT propensity(MAP {3: NULL}, 'toys');
SELECT propensity([{i: 3, v: 1.0}, NULL], 'toys');
SELECT propensity([{i: NULL, v: 1.0}], 'toys');
SELECT propensity(f, 'toys') FROM (VALUES (MAP {3: 1.0::FLOAT}), (NULL), (MAP {3: 'inf'::FLOAT})) t(f);
-- wrong: the lengths
SELECT propensity({indices: [3, 17], values: [1.0]}, 'toys');
SELECT propensity({indices: NULL::INTEGER[], values: [1.0]}, 'toys');
SELECT propensity({indices: [3], values: NULL}, 'toys');
SELECT propensity(f, 'toys') FROM (VALUES (NULL), ({indices: [3], values: [1.0]}), ({indices: [3], values: []})) t(f);
SELECT propensity([1.0, 0.5], 'toys');
SELECT propensity([1.0, 0.5]::FLOAT[2], 'toys');
SELECT propensity([]::FLOAT[], 'toys');
SELECT propensity(list_transform(range(40), lambda i: nullif(i, 5)::FLOAT), 'toys');
-- wrong: a Spark vector
SELECT propensity({type: 2, size: 40, indices: [3], values: [1.0]}, 'toys');
SELECT propensity({type: NULL, size: 40, indices: [3], values: [1.0]}, 'toys');
SELECT propensity({type: 0, size: 39, indices: [3], values: [1.0]}, 'toys');
SELECT propensity({type: 0, size: NULL, indices: [3], values: [1.0]}, 'toys');
SELECT propensity({type: 0, size: 40, indices: [3, 17], values: [1.0]}, 'toys');
SELECT propensity({type: 0, size: 40, indices: [3, NULL], values: [1.0, 0.5]}, 'toys');
SELECT propensity({type: 0, size: 40, indices: [40], values: [1.0]}, 'toys');
SELECT propensity({type: 0, size: 40, indices: [3.5], values: [1.0]}, 'toys');
SELECT propensity({type: 1, size: NULL, indices: NULL, values: [1.0]}, 'toys');
SELECT propensity({type: 'dense', size: 40, indices: [3], values: [1.0]}, 'toys');
-- wrong: LibSVM text
SELECT propensity('3:1.0 17', 'toys');
SELECT propensity('1 3:1.0', 'toys');
SELECT propensity('+3:1.0', 'toys');
SELECT propensity('item:1.0', 'toys');
SELECT propensity('3:1.0:2.0', 'toys');
SELECT propensity('3:1,5', 'toys');
SELECT propensity('3:nan', 'toys');
SELECT propensity('3:-inf', 'toys');
SELECT propensity('3:1e39', 'toys');
SELECT propensity(f, 'toys') FROM (VALUES (NULL), ('3:1.0'), (''), ('3:1 x')) t(f);
-- wrong: the type
SELECT propensity(3, 'toys');
SELECT propensity(3.5, 'toys');
SELECT propensity(true, 'toys');
SELECT propensity(DATE '2026-01-01', 'toys');
SELECT propensity(TIMESTAMP '2026-01-01 00:00:00', 'toys');
SELECT propensity('3:1.0'::BLOB, 'toys');
SELECT propensity([true], 'toys');
SELECT propensity([DATE '2026-01-01'], 'toys');
SELECT propensity([[3]], 'toys');
SELECT propensity([{i: 3}], 'toys');
SELECT propensity([{i: 3, v: 1.0, w: 2.0}], 'toys');
SELECT propensity({a: [3], b: [1.0]}, 'toys');
SELECT propensity({indices: 3, values: 1.0}, 'toys');
SELECT propensity({indices: [3], values: 1.0}, 'toys');
SELECT propensity({indices: [3.5], values: [1.0]}, 'toys');
SELECT propensity({indices: [3], values: ['one']}, 'toys');
SELECT propensity(MAP {3.5: 1.0}, 'toys');
SELECT propensity(MAP {3.5::DOUBLE: 1.0}, 'toys');
SELECT propensity(MAP {DATE '2026-01-01': 1.0}, 'toys');
SELECT propensity(MAP {3: 'one'}, 'toys');
SELECT propensity(MAP {3: [1.0]}, 'toys');
