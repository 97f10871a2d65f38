-- Step 1 of the card-payments story: customers, terminals and four months of transactions.
--
-- The design is that of the Fraud Detection Handbook (Le Borgne, Siblini, Lebichot, Bontempi: "Reproducible Machine
-- Learning for Credit Card Fraud Detection", 2022, chapter 3): customers and terminals on a map, customers who pay
-- at terminals near them with habits of their own, and three kinds of fraud. The SQL is ours.
--
-- Nothing here calls random(): each number is a hash of what it is drawn for, so every run gives the same rows.

\ir settings.psql

-- a smaller bank: psql -v customers=200 -v terminals=375
\if :{?customers} \else \set customers 1600 \endif
\if :{?terminals} \else \set terminals 3000 \endif
\set days      131
\set first_day '\'2025-01-01\''

\echo
\echo '── 1. The data ─────────────────────────────────────────────────────────────────────────────────────────'
\echo 'A bank''s card payments, simulated after the Fraud Detection Handbook: customers with habits, terminals on'
\echo 'a map, and three frauds: payments above 220, terminals compromised for 28 days, and cards stolen for 14 days.'
\echo

CREATE EXTENSION IF NOT EXISTS dlent;

-- A second run starts from nothing.
SELECT count(dlent_drop_model(model)) AS dropped FROM dlent.models WHERE model = 'fraud' \gset
DROP SCHEMA IF EXISTS payments CASCADE;
CREATE SCHEMA payments;
COMMENT ON SCHEMA payments IS 'Simulated card payments with known frauds';

-- Uniform in (0, 1): 53 bits of a hash of the thing (a, b) and of the stream of numbers it draws from.
CREATE FUNCTION payments.uniform(stream bigint, a bigint, b bigint DEFAULT 0) RETURNS float8
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (((hashint8extended(a, hashint8extended(b, stream)) >> 11) & 9007199254740991)::float8 + 0.5::float8) / 9007199254740992;

-- Standard normal, by Box and Muller from two uniforms.
CREATE FUNCTION payments.normal(stream bigint, a bigint, b bigint DEFAULT 0) RETURNS float8
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN sqrt(-2 * ln(payments.uniform(2 * stream, a, b))) * cos(2 * pi() * payments.uniform(2 * stream + 1, a, b));

CREATE TABLE payments.customers (
    customer_id int PRIMARY KEY,
    x           float8 NOT NULL,
    y           float8 NOT NULL,
    mean_amount float8 NOT NULL,
    sd_amount   float8 NOT NULL,
    tx_per_day  float8 NOT NULL
);
COMMENT ON TABLE payments.customers IS 'Card holders: where they live on a map of 100 by 100, and how they pay';
COMMENT ON COLUMN payments.customers.tx_per_day IS 'Mean of the Poisson number of payments a day';

INSERT INTO payments.customers
SELECT id, 100 * payments.uniform(1, id), 100 * payments.uniform(2, id), mean_amount, mean_amount / 2,
       4 * payments.uniform(3, id)
FROM generate_series(1, :customers) AS id
CROSS JOIN LATERAL (SELECT 5 + 95 * payments.uniform(4, id) AS mean_amount) AS habits;

CREATE TABLE payments.terminals (
    terminal_id int PRIMARY KEY,
    x           float8 NOT NULL,
    y           float8 NOT NULL
);
COMMENT ON TABLE payments.terminals IS 'Payment terminals on the same map';

INSERT INTO payments.terminals
SELECT id, 100 * payments.uniform(5, id), 100 * payments.uniform(6, id) FROM generate_series(1, :terminals) AS id;

-- What the fraudsters do, which the bank does not see: every day one terminal and one card fall into their hands.
CREATE TABLE payments.compromised_terminals (
    terminal_id int NOT NULL REFERENCES payments.terminals,
    during      tsrange NOT NULL,
    PRIMARY KEY (terminal_id, during)
);
COMMENT ON TABLE payments.compromised_terminals IS
    'Scenario 2: every payment at the terminal during 28 days is a fraud';

INSERT INTO payments.compromised_terminals
SELECT ceil(:terminals * payments.uniform(7, day))::int, tsrange(start, start + interval '28 days')
FROM generate_series(0, :days - 1) AS day
CROSS JOIN LATERAL (SELECT :first_day::timestamp + day * interval '1 day' AS start) AS fall;

CREATE TABLE payments.compromised_customers (
    customer_id int NOT NULL REFERENCES payments.customers,
    during      tsrange NOT NULL,
    PRIMARY KEY (customer_id, during)
);
COMMENT ON TABLE payments.compromised_customers IS
    'Scenario 3: a third of the card''s payments during 14 days are a fraud of five times the amount';

INSERT INTO payments.compromised_customers
SELECT ceil(:customers * payments.uniform(8, day))::int, tsrange(start, start + interval '14 days')
FROM generate_series(0, :days - 1) AS day
CROSS JOIN LATERAL (SELECT :first_day::timestamp + day * interval '1 day' AS start) AS fall;

CREATE TABLE payments.transactions (
    transaction_id bigint PRIMARY KEY,
    tx_time        timestamp NOT NULL,
    customer_id    int NOT NULL REFERENCES payments.customers,
    terminal_id    int NOT NULL REFERENCES payments.terminals,
    amount         numeric(10, 2) NOT NULL,
    is_fraud       boolean NOT NULL,
    fraud_scenario smallint NOT NULL
);
COMMENT ON TABLE payments.transactions IS 'Card payments with their later known outcome';
COMMENT ON COLUMN payments.transactions.is_fraud IS 'Known to the bank a week after the payment';
COMMENT ON COLUMN payments.transactions.fraud_scenario IS
    '0 none, 1 amount above 220, 2 compromised terminal, 3 compromised card';

WITH reachable AS (
    -- The terminals within a distance of 5 of the customer, where all its payments take place.
    SELECT customer_id, array_agg(terminal_id ORDER BY terminal_id) AS terminals
    FROM payments.customers AS c
    JOIN payments.terminals AS t ON (t.x - c.x) ^ 2 + (t.y - c.y) ^ 2 < 5 ^ 2
    GROUP BY customer_id
), arrivals AS (
    -- A Poisson process: gaps between payments are exponential; the whole part of their running sum is the day.
    SELECT customer_id, n,
           sum(-ln(payments.uniform(9, customer_id, n)) / tx_per_day) OVER (PARTITION BY customer_id ORDER BY n) AS at
    FROM payments.customers
    CROSS JOIN LATERAL (SELECT tx_per_day * :days AS expected) AS e
    CROSS JOIN LATERAL generate_series(1, ceil(expected + 6 * sqrt(expected) + 10)::int) AS n
), drawn AS MATERIALIZED (
    -- Payments cluster around noon; a time outside of the day is no payment. A negative amount is drawn again.
    SELECT customer_id, n,
           :first_day::timestamp + floor(at) * interval '1 day' + trunc(second_of_day) * interval '1 second' AS tx_time,
           CASE WHEN amount > 0 THEN amount ELSE 2 * mean_amount * payments.uniform(10, customer_id, n) END AS amount,
           terminals[ceil(cardinality(terminals) * payments.uniform(11, customer_id, n))::int] AS terminal_id
    FROM arrivals
    JOIN payments.customers USING (customer_id)
    JOIN reachable USING (customer_id)
    CROSS JOIN LATERAL (SELECT 43200 + 20000 * payments.normal(12, customer_id, n) AS second_of_day,
                               mean_amount + sd_amount * payments.normal(13, customer_id, n) AS amount) AS draws
    WHERE at < :days AND second_of_day > 0 AND second_of_day < 86400
), outcome AS MATERIALIZED (
    SELECT drawn.*,
           CASE WHEN stolen AND payments.uniform(14, customer_id, n) < 1 / 3.0 THEN 3
                WHEN skimmed THEN 2
                WHEN amount > 220 THEN 1
                ELSE 0 END AS scenario
    FROM drawn
    CROSS JOIN LATERAL (
        SELECT EXISTS (SELECT FROM payments.compromised_customers AS c
                       WHERE c.customer_id = drawn.customer_id AND c.during @> tx_time) AS stolen,
               EXISTS (SELECT FROM payments.compromised_terminals AS t
                       WHERE t.terminal_id = drawn.terminal_id AND t.during @> tx_time) AS skimmed) AS fate
)
INSERT INTO payments.transactions
SELECT row_number() OVER (ORDER BY tx_time, customer_id, n), tx_time, customer_id, terminal_id,
       round((CASE scenario WHEN 3 THEN 5 ELSE 1 END * greatest(amount, 0.01))::numeric, 2), scenario > 0, scenario
FROM outcome
ORDER BY tx_time, customer_id, n;

CREATE INDEX ON payments.transactions (tx_time);
ANALYZE payments.customers, payments.terminals, payments.transactions;

SELECT to_char(date_trunc('month', tx_time), 'FMMonth YYYY') AS month,
       to_char(count(*), 'FM999,999') AS payments,
       to_char(sum(amount), 'FM999,999,999') AS amount,
       count(*) FILTER (WHERE is_fraud) AS frauds,
       count(*) FILTER (WHERE fraud_scenario = 1) AS "above 220",
       count(*) FILTER (WHERE fraud_scenario = 2) AS "bad terminal",
       count(*) FILTER (WHERE fraud_scenario = 3) AS "stolen card",
       round(100.0 * count(*) FILTER (WHERE is_fraud) / count(*), 2) AS "fraud %"
FROM payments.transactions
GROUP BY date_trunc('month', tx_time)
ORDER BY date_trunc('month', tx_time);
