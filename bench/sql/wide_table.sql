-- The table of the benchmarks: dlent_bench.wide, :rows rows of 30 float8 columns f1 to f30 and a boolean y that a
-- network can learn from them. It is kept from run to run when it has the right number of rows.
--
-- Usage: psql -v rows=1000000 -f bench/sql/wide_table.sql

\set ON_ERROR_STOP on
\set QUIET on
SET client_min_messages = warning;

CREATE EXTENSION IF NOT EXISTS dlent;
CREATE SCHEMA IF NOT EXISTS dlent_bench;
CREATE UNLOGGED TABLE IF NOT EXISTS dlent_bench.sizes (rows bigint NOT NULL);
SELECT NOT EXISTS (SELECT FROM dlent_bench.sizes WHERE rows = :rows) AS wanted \gset

\if :wanted
-- Models of earlier runs go first: they hold on to the columns they were trained on.
SELECT count(dlent_drop_model(model)) AS dropped FROM dlent.models WHERE model LIKE 'bench\_%' \gset
TRUNCATE dlent_bench.sizes;
DROP TABLE IF EXISTS dlent_bench.wide CASCADE;
SELECT format('CREATE UNLOGGED TABLE dlent_bench.wide (%s, y boolean)',
              string_agg(format('f%s float8', i), ', ' ORDER BY i))
FROM generate_series(1, 30) AS i \gexec

SELECT setseed(0.5) \g /dev/null
SELECT format('INSERT INTO dlent_bench.wide SELECT *, f1 * f2 + f3 > f4 ^ 2 + 0.3 * sin(6 * f5) FROM (SELECT %s '
              'FROM generate_series(1, %s)) AS x', string_agg(format('2 * random() - 1 AS f%s', i), ', ' ORDER BY i), :rows)
FROM generate_series(1, 30) AS i \gexec
INSERT INTO dlent_bench.sizes VALUES (:rows);
VACUUM (FREEZE, ANALYZE) dlent_bench.wide;
\endif
