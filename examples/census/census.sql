-- Census income: does a person earn more than 50,000 dollars a year?
--
-- The data, "Adult" (32,561 + 16,281 persons of the 1994 US census; Becker and Kohavi), is public: see
-- https://archive.ics.uci.edu/dataset/2/adult. This script reads two CSV files with a header line, adult_train.csv.gz
-- and adult_test.csv.gz, in which missing values are "?" and the columns are those of the table below. From UCI's
-- adult.data and adult.test they are made by
--   names=age,workclass,fnlwgt,education,education_num,marital_status,occupation,relationship,race,sex
--   names=$names,capital_gain,capital_loss,hours_per_week,native_country,income
--   for part in train:adult.data test:adult.test; do
--     (echo $names; sed -e '/^|/d; /^$/d; s/, /,/g; s/\.$//' ${part#*:}) | gzip > adult_${part%%:*}.csv.gz
--   done
--
-- Usage: psql -v data=FOLDER -f examples/census/census.sql

\set ON_ERROR_STOP on
\pset footer off

CREATE EXTENSION IF NOT EXISTS dlent;
SELECT count(dlent_drop_model(model)) AS dropped FROM dlent.models WHERE model = 'income' \gset
DROP TABLE IF EXISTS census_train, census_test;

CREATE TABLE census_train (
    age            int,
    workclass      text,
    fnlwgt         int,
    education      text,
    education_num  int,
    marital_status text,
    occupation     text,
    relationship   text,
    race           text,
    sex            text,
    capital_gain   int,
    capital_loss   int,
    hours_per_week int,
    native_country text,
    income         text NOT NULL
);
CREATE TABLE census_test (LIKE census_train INCLUDING ALL, person int GENERATED ALWAYS AS IDENTITY PRIMARY KEY);

-- \copy itself expands no variables, so the command is put together first.
\set columns '(age, workclass, fnlwgt, education, education_num, marital_status, occupation, relationship, race, sex, capital_gain, capital_loss, hours_per_week, native_country, income)'
\set load_train '\\copy census_train ' :columns ' FROM PROGRAM ''gzip -dc "' :data '/adult_train.csv.gz"'' (FORMAT csv, HEADER, NULL ''?'')'
\set load_test '\\copy census_test ' :columns ' FROM PROGRAM ''gzip -dc "' :data '/adult_test.csv.gz"'' (FORMAT csv, HEADER, NULL ''?'')'
:load_train
:load_test

\echo 'Training on all columns as they are: numbers, categories and missing values.'
SELECT version, kind, train_rows, epochs, round(seconds::numeric, 1) AS seconds
FROM dlent_train('income', 'census_train', 'income');

\echo 'On the official test set:'
SELECT key AS metric, round(value::numeric, 4) AS value
FROM jsonb_each_text(dlent_evaluate('income', 'census_test'))
WHERE key IN ('accuracy', 'roc_auc', 'average_precision', 'log_loss', 'brier_score');

\echo 'Scored inline: predicted and counted share of high incomes by education.'
SELECT education, count(*) AS persons,
       round(100 * avg(dlent_predict('income', c))::numeric, 1) AS "predicted, %",
       round(100 * avg((income = '>50K')::int), 1) AS "counted, %"
FROM census_test AS c
GROUP BY education, education_num
ORDER BY education_num;

\echo 'One person, from JSON.'
SELECT dlent_classify('income', jsonb_build_object(
    'age', 45, 'workclass', 'Private', 'fnlwgt', 180000, 'education', 'Masters', 'education_num', 14,
    'marital_status', 'Married-civ-spouse', 'occupation', 'Exec-managerial', 'relationship', 'Husband', 'race', 'White',
    'sex', 'Male', 'capital_gain', 0, 'capital_loss', 0, 'hours_per_week', 45, 'native_country', NULL)) AS income;
