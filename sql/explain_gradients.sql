-- Integrated Gradients in SQL: complete, and compared with LIME
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS dlent CASCADE;
RESET client_min_messages;
CREATE EXTENSION dlent;
SET dlent.progress_messages = off;

CREATE TABLE gradients_rows AS
SELECT i AS id, i % 97 / 10.0::float8 AS amount, (ARRAY['web', 'shop', 'phone'])[i % 3 + 1] AS channel,
       CASE WHEN i % 11 = 0 THEN NULL ELSE i % 24 END AS hour, i % 97 / 10.0 + i % 24 / 4.0 > 8 AS declined
FROM generate_series(1, 1500) AS i;
SELECT version FROM dlent_train('gradients', 'SELECT * FROM gradients_rows', 'declined', '{"preset": "fast", "epochs": 5}');

CREATE FUNCTION gradients_hold(e jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT CASE WHEN abs((l ->> 'baseline')::float8 + (SELECT sum((f ->> 'contribution')::float8) FROM jsonb_array_elements(l -> 'features') AS f)
                         - (l ->> 'local_prediction')::float8) > 1e-9 THEN 'contributions do not add up'
                WHEN abs((l ->> 'residual')::float8) > 0.01 * abs((l ->> 'local_prediction')::float8 - (l ->> 'baseline')::float8) + 1e-3
                THEN 'incomplete'
                ELSE 'complete' END
    FROM jsonb_array_elements(e -> 'labels') AS l
$$;
SELECT gradients_hold(dlent_explain('gradients', r, '{"method": "integrated_gradients", "num_features": 10}')) AS held, count(*)
FROM gradients_rows AS r WHERE id <= 40 GROUP BY 1;
-- the same again, to the byte but for who, when and which
SELECT (dlent_explain('gradients', r, '{"method": "integrated_gradients"}') -> 'labels')
       = (dlent_explain('gradients', r, '{"method": "integrated_gradients"}') -> 'labels') AS same
FROM gradients_rows AS r WHERE id = 7;
-- how far the two methods agree
SELECT jsonb_typeof(dlent_explain('gradients', r, '{"agreement": true}') -> 'quality' -> 'agreement') AS agreement
FROM gradients_rows AS r WHERE id = 7;

SELECT dlent_drop_model('gradients');
DROP FUNCTION gradients_hold;
DROP TABLE gradients_rows;
