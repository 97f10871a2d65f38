-- Where no GPU is: what asks for one is told, as dlent.gpu says. With one: test/tap/t/150_gpu.pl and its neighbours.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS dlent CASCADE;
CREATE EXTENSION dlent;
SET dlent.progress_messages = off;
CREATE TABLE point AS SELECT i % 100 AS x, i % 7 AS y, i * 7919 % 100 + i * 104729 % 60 > 80 AS z FROM generate_series(1, 300) AS i;
\set VERBOSITY terse

SHOW dlent.gpu;
SHOW dlent.gpu_plugin;
SELECT gpu, name, state, detail LIKE 'no GPU plugin is installed: There is no /%/dlent_cuda.so.' AS says_why FROM dlent.gpus;

-- try: the CPU takes over, with a warning
SELECT version, device FROM dlent_train('m', 'point', 'z', '{"preset": "fast", "epochs": 1, "device": "cuda"}');
SELECT version, device FROM dlent_train('m', 'point', 'z', '{"preset": "fast", "epochs": 1, "device": "cuda:3"}');
-- auto and cpu have nothing to warn of
SELECT version, device FROM dlent_train('m', 'point', 'z', '{"preset": "fast", "epochs": 1, "device": "auto"}');
SELECT version, device FROM dlent_train('m', 'point', 'z', '{"preset": "fast", "epochs": 1, "device": "cpu", "precision": "bf16"}');

-- require: an error
SET dlent.gpu = require;
SELECT version, device FROM dlent_train('m', 'point', 'z', '{"preset": "fast", "epochs": 1, "device": "cuda"}');
SELECT version, device FROM dlent_train('m', 'point', 'z', '{"preset": "fast", "epochs": 1, "device": "cpu"}');

-- scoring: the CPU unless somebody asks, and then as dlent.gpu says
SHOW dlent.scoring_device;
SELECT dlent_evaluate('m', 'point') ? 'device' AS says_device;
SET dlent.scoring_device = auto;
SELECT dlent_evaluate('m', 'point') -> 'device' AS device;
SET dlent.scoring_device = cuda;
SELECT dlent_evaluate('m', 'point') -> 'device' AS device;
SELECT count(*) FROM dlent_partial_dependence('m', 'x', 'point');
SET dlent.gpu = try;
SELECT dlent_evaluate('m', 'point') -> 'device' AS device;
SELECT count(*) > 0 AS points FROM dlent_partial_dependence('m', 'x', 'point');
SET dlent.gpu = off;
SELECT dlent_evaluate('m', 'point') -> 'device' AS device;
SET dlent.scoring_device = gpu;
RESET dlent.scoring_device;

-- off: nobody asks
SET dlent.gpu = off;
SELECT version, device FROM dlent_train('m', 'point', 'z', '{"preset": "fast", "epochs": 1, "device": "cuda"}');
SELECT count(*) FROM dlent.gpus;
SET dlent.gpu = maybe;
RESET dlent.gpu;

SELECT dlent_train('m', 'point', 'z', '{"device": "cuda:-1"}');
SELECT dlent_train('m', 'point', 'z', '{"device": "cuda:"}');
SELECT dlent_train('m', 'point', 'z', '{"device": "gpu"}');
SELECT dlent_train('m', 'point', 'z', '{"precision": "fp64"}');

-- what drives the GPUs is the server's to say, and beside the library
SET dlent.gpu_plugin = 'dlent_cuda';
SET dlent.gpu_memory = '1GB';
ALTER SYSTEM SET dlent.gpu_plugin = '../../tmp/evil';
SELECT version, device FROM dlent.versions ORDER BY version;
DROP TABLE point CASCADE;
