-- A table of :rows by 28 columns (the shape of HIGGS), trained on the GPU for ten epochs, load included. A line of JSON.
CREATE EXTENSION IF NOT EXISTS dlent;
SET client_min_messages = error;
SET dlent.gpu = require;
SELECT 'CREATE UNLOGGED TABLE higgs AS SELECT x1 * x2 + x3 > 0 AS signal, x.* FROM (SELECT ' ||
       string_agg('(random() * 3.4 - 1.7)::float4 AS x' || i, ', ' ORDER BY i) || ' FROM generate_series(1, ' || :'rows' || ')) AS x'
FROM generate_series(1, 28) AS i
\gexec
VACUUM ANALYZE higgs;
SELECT clock_timestamp() AS began
\gset
SELECT dlent_train('higgs', 'higgs', 'signal',
    '{"device": "cuda", "precision": "tf32", "kind": "mlp", "members": 1, "hidden": [256, 256, 256], "numeric_embedding": "none", "epochs": 10, "batch_size": 8192, "dropout": 0, "validation": {"method": "none"}}')
\g /dev/null
SELECT json_build_object('who', 'dlent', 'what', 'load_and_train_10_epochs', 'precision', 'tf32', 'rows', :rows, 'device', device,
    'seconds', round(extract(epoch FROM clock_timestamp() - :'began'), 2), 'reading_seconds', details -> 'reading' -> 'seconds',
    'image_seconds', details -> 'device' -> 'image_seconds', 'training_rows_per_second', details -> 'rows_per_second')
FROM dlent.versions WHERE model = 'higgs';
