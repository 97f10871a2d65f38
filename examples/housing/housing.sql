-- California housing: the median house value of a block group.
--
-- The data (20,640 block groups of the 1990 US census; Pace and Barry, "Sparse Spatial Autoregressions", 1997) is
-- public: cal_housing.tgz at StatLib, and at https://www.dcc.fc.up.pt/~ltorgo/Regression/cal_housing.html. This script
-- reads cal_housing.csv.gz, a CSV file with a header line and the columns of the table below:
--   (echo longitude,latitude,housingMedianAge,totalRooms,totalBedrooms,population,households,medianIncome,medianHouseValue
--    cat CaliforniaHousing/cal_housing.data) | gzip > cal_housing.csv.gz
--
-- Usage: psql -v data=FOLDER -f examples/housing/housing.sql

\set ON_ERROR_STOP on
\pset footer off

CREATE EXTENSION IF NOT EXISTS dlent;
SELECT count(dlent_drop_model(model)) AS dropped FROM dlent.models WHERE model = 'house_value' \gset
DROP TABLE IF EXISTS housing;

CREATE TABLE housing (
    block_group    int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    longitude      float8 NOT NULL,
    latitude       float8 NOT NULL,
    median_age     float8 NOT NULL,
    rooms          float8 NOT NULL,
    bedrooms       float8 NOT NULL,
    population     float8 NOT NULL,
    households     float8 NOT NULL,
    median_income  float8 NOT NULL,
    value          float8 NOT NULL
);
COMMENT ON COLUMN housing.value IS 'Median house value in dollars, capped at 500,001';

-- \copy itself expands no variables, so the command is put together first.
\set columns '(longitude, latitude, median_age, rooms, bedrooms, population, households, median_income, value)'
\set load '\\copy housing ' :columns ' FROM PROGRAM ''gzip -dc "' :data '/cal_housing.csv.gz"'' (FORMAT csv, HEADER)'
:load

\echo 'Training on four block groups of five. A ratio that experts look at is one more expression in the query.'
SELECT version, kind, train_rows, epochs, round(seconds::numeric, 1) AS seconds
FROM dlent_train('house_value',
                 $$SELECT longitude, latitude, median_age, rooms, bedrooms, population, households, median_income,
                          population / households AS persons_per_household, value
                   FROM housing
                   WHERE block_group % 5 <> 0$$,
                 'value');

\echo 'On the fifth:'
SELECT key AS metric, round(value::numeric, 3) AS value
FROM jsonb_each_text(dlent_evaluate(
         'house_value',
         'SELECT *, population / households AS persons_per_household FROM housing WHERE block_group % 5 = 0'))
WHERE key IN ('rmse', 'mae', 'r2');

\echo 'Scored inline: where do houses sell above what the model expects?'
WITH scored AS (
    SELECT *, dlent_predict('house_value', h) AS expected
    FROM (SELECT *, population / households AS persons_per_household FROM housing WHERE block_group % 5 = 0) AS h
)
SELECT floor(latitude)::int AS latitude, count(*) AS block_groups, round(avg(value)::numeric) AS value,
       round(avg(expected)::numeric) AS expected, round(avg(value - expected)::numeric) AS difference
FROM scored
GROUP BY floor(latitude)
HAVING count(*) >= 20
ORDER BY 1;
