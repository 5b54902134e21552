-- propensity(features, category [, model]): FLOAT
SELECT propensity('3:1.0 17:0.5', 'toys') BETWEEN 0 AND 1 AS ok, typeof(propensity('3:1.0 17:0.5', 'toys')) AS type;
SELECT round(propensity('3:1.0 17:0.5', 'toys'), 4) AS p, round(propensity('3:1.0 17:0.5', 'books', 'shop'), 4) AS q;
SELECT round(propensity(features := '3:1.0', category := 'toys', model := 'shop@1'), 4) AS named;
SELECT round('3:1.0 17:0.5'.propensity('toys'), 4) AS chained, round(duckprop.propensity('3:1.0 17:0.5', 'toys'), 4) AS p;
-- a category a row, a constant, an ENUM, NULL
SELECT category, round(propensity([3, 17], category), 4) AS p FROM (VALUES ('toys'), (NULL), ('books'), ('toys')) t(category);
SELECT c, round(propensity([3], c), 4) AS p FROM (SELECT unnest(['toys', 'books', NULL])::ENUM('books', 'shoes', 'toys') AS c);
SELECT propensity(NULL, 'toys') AS no_features, propensity([3], NULL) AS no_category, propensity(NULL, NULL) AS neither;
SELECT propensity(NULL::INTEGER[], 'toys') AS a, propensity([3], NULL::VARCHAR) AS b, propensity(f, 'toys') AS c FROM (SELECT NULL::MAP(INTEGER, FLOAT) AS f);
-- rows keep their order and their NULLs
SELECT i, round(propensity(CASE WHEN i % 3 <> 1 THEN [i] END, 'toys'), 4) AS p FROM range(6) t(i);
SELECT i, round(propensity([i], 'toys', CASE WHEN i % 2 = 0 THEN 'shop' END), 4) AS p FROM range(3) t(i);
SELECT propensity([i], 'toys') AS nothing FROM range(0) t(i);
SELECT count(*) AS n, round(avg(p), 4) AS mean FROM (SELECT propensity([i % 40], 'garden') AS p FROM range(5000) t(i));
SELECT i FROM range(40) t(i) ORDER BY propensity([i], 'toys') DESC, i LIMIT 3;
SELECT i % 2 AS odd, round(max(propensity([i], 'toys')), 4) AS best FROM range(40) t(i) GROUP BY odd ORDER BY odd;
PREPARE one AS SELECT round(propensity($1::VARCHAR, $2), 4) AS p;
EXECUTE one('3:1.0 17:0.5', 'toys');
CREATE VIEW scored AS SELECT i, round(duckprop.propensity([i], 'toys'), 4) AS p FROM range(40) t(i);
FROM scored WHERE p > 0.9 ORDER BY i LIMIT 3;
-- wrong: the category
SELECT propensity([3], 'shoez');
SELECT propensity([3], 'Toys');
SELECT propensity([3], 'a category like no other');
SELECT propensity([3], '');
SELECT propensity([3], 7);
SELECT propensity([3], ['toys']);
SELECT propensity([3], {c: 'toys'});
SELECT propensity([3], MAP {'toys': 1});
SELECT propensity([3], c) FROM (VALUES ('toys'), ('shoez')) t(c);
SELECT propensity([3], 'shoez'::ENUM('shoez'));
SELECT propensity('toys', '3:1.0');
EXECUTE one('3:1.0', 'shoez');
EXECUTE one('3:one', 'toys');
-- wrong: the model
SELECT propensity([3], 'toys', 'shp');
SELECT propensity([3], 'toys', 'nothing like it');
SELECT propensity([3], 'toys', 'shop@2');
SELECT propensity([3], 'toys', 'shop@champion');
SELECT propensity([3], 'toys', '../shop');
SELECT propensity([3], 'toys', 3);
SELECT propensity([3], 'toys', ['shop']);
SELECT propensity(NULL, 'toys', 'shp');
-- wrong: how many arguments, and which names
SELECT propensity();
SELECT propensity([3]);
SELECT propensity([3], 'toys', 'shop', 1);
SELECT propensity([3], 'toys', version := 1);
-- an error leaves the connection usable
SELECT round(propensity('3:1.0 17:0.5', 'toys'), 4) AS p;
