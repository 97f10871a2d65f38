-- Churn: which telephone customers are about to leave?
--
-- The data (5,000 artificial customers after real claims, MLC++) is public: mlc_churn of the R package modeldata
-- (https://modeldata.tidymodels.org/reference/mlc_churn.html). This script reads mlc_churn.csv.gz, a CSV file with a
-- header line, written in R by
--   write.csv(modeldata::mlc_churn, gzfile("mlc_churn.csv.gz"), row.names = FALSE, na = "")
--
-- Usage: psql -v data=FOLDER -f examples/churn/churn.sql

\set ON_ERROR_STOP on
\pset footer off

CREATE EXTENSION IF NOT EXISTS dlent;
SELECT count(dlent_drop_model(model)) AS dropped FROM dlent.models WHERE model = 'churn' \gset
DROP TABLE IF EXISTS subscribers;

CREATE TABLE subscribers (
    subscriber                    int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    state                         text NOT NULL,
    account_length                int NOT NULL,
    area_code                     text NOT NULL,
    international_plan            boolean NOT NULL,
    voice_mail_plan               boolean NOT NULL,
    number_vmail_messages         int NOT NULL,
    total_day_minutes             float8 NOT NULL,
    total_day_calls               int NOT NULL,
    total_day_charge              numeric(8, 2) NOT NULL,
    total_eve_minutes             float8 NOT NULL,
    total_eve_calls               int NOT NULL,
    total_eve_charge              numeric(8, 2) NOT NULL,
    total_night_minutes           float8 NOT NULL,
    total_night_calls             int NOT NULL,
    total_night_charge            numeric(8, 2) NOT NULL,
    total_intl_minutes            float8 NOT NULL,
    total_intl_calls              int NOT NULL,
    total_intl_charge             numeric(8, 2) NOT NULL,
    number_customer_service_calls int NOT NULL,
    churn                         boolean NOT NULL
);

-- \copy itself expands no variables, so the command is put together first.
\set columns '(state, account_length, area_code, international_plan, voice_mail_plan, number_vmail_messages, total_day_minutes, total_day_calls, total_day_charge, total_eve_minutes, total_eve_calls, total_eve_charge, total_night_minutes, total_night_calls, total_night_charge, total_intl_minutes, total_intl_calls, total_intl_charge, number_customer_service_calls, churn)'
\set load '\\copy subscribers ' :columns ' FROM PROGRAM ''gzip -dc "' :data '/mlc_churn.csv.gz"'' (FORMAT csv, HEADER)'
:load

\echo 'Training on four subscribers of five. The key is no feature, so it is left out by name.'
SELECT version, kind, train_rows, epochs, round(seconds::numeric, 1) AS seconds
FROM dlent_train('churn', 'SELECT * FROM subscribers WHERE subscriber % 5 <> 0', 'churn',
                 '{"exclude": ["subscriber"]}');

\echo 'On the fifth:'
SELECT key AS metric, round(value::numeric, 4) AS value
FROM jsonb_each_text(dlent_evaluate('churn', 'SELECT * FROM subscribers WHERE subscriber % 5 = 0'))
WHERE key IN ('accuracy', 'roc_auc', 'average_precision', 'log_loss');

\echo 'Whom to call first: the likeliest to leave, with the revenue at stake.'
SELECT subscriber, state, number_customer_service_calls AS service_calls,
       total_day_charge + total_eve_charge + total_night_charge + total_intl_charge AS charge,
       round(dlent_predict('churn', s)::numeric, 3) AS risk, churn
FROM subscribers AS s
WHERE subscriber % 5 = 0
ORDER BY dlent_predict('churn', s) DESC, subscriber
LIMIT 10;
