-- GPUs of the server and what runs on them.

CREATE FUNCTION dlent.gpu_entries(
    OUT gpu int, OUT name text, OUT kind text, OUT state text, OUT memory_bytes bigint, OUT memory_limit bigint,
    OUT memory_used bigint, OUT jobs int, OUT waiting int, OUT jobs_done bigint,
    OUT models int, OUT rows_scored bigint, OUT driver text, OUT pid int, OUT detail text)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL RESTRICTED ROWS 4 AS 'MODULE_PATHNAME', 'dlent_gpu_entries';
COMMENT ON FUNCTION dlent.gpu_entries() IS 'The GPUs that dlent can use, or why there are none';

CREATE VIEW dlent.gpus AS
SELECT g.gpu, g.name, g.kind, g.state, g.memory_bytes, g.memory_limit, g.memory_used, g.jobs, g.waiting, g.jobs_done,
       g.models, g.rows_scored, g.driver, g.pid, g.detail
FROM dlent.gpu_entries() AS g;
COMMENT ON VIEW dlent.gpus IS
    'The GPUs that dlent can use, a row each; one row that says why when there are none; empty when dlent.gpu is off';
COMMENT ON COLUMN dlent.gpus.gpu IS 'Number, as in {"device": "cuda:0"}; NULL when there is none';
COMMENT ON COLUMN dlent.gpus.name IS 'As the driver calls it';
COMMENT ON COLUMN dlent.gpus.kind IS 'cuda; fake is a stand-in on the CPU for tests';
COMMENT ON COLUMN dlent.gpus.state IS
    'ready: its process runs; stopped: it starts when it is wanted; unavailable: see detail';
COMMENT ON COLUMN dlent.gpus.memory_bytes IS 'Memory of the card';
COMMENT ON COLUMN dlent.gpus.memory_limit IS 'What all jobs together may hold of it (dlent.gpu_memory)';
COMMENT ON COLUMN dlent.gpus.memory_used IS 'What jobs and the weights of versions hold now';
COMMENT ON COLUMN dlent.gpus.jobs IS 'Jobs that run';
COMMENT ON COLUMN dlent.gpus.waiting IS 'Jobs that wait for a place (dlent.gpu_jobs)';
COMMENT ON COLUMN dlent.gpus.jobs_done IS 'Jobs that have ended since its process started';
COMMENT ON COLUMN dlent.gpus.models IS 'Versions whose weights are on the card, to score by';
COMMENT ON COLUMN dlent.gpus.rows_scored IS 'Rows that were scored on it since its process started';
COMMENT ON COLUMN dlent.gpus.driver IS 'Versions of the driver and its libraries';
COMMENT ON COLUMN dlent.gpus.pid IS 'Its process, dlent-gpud';
COMMENT ON COLUMN dlent.gpus.detail IS 'Why it cannot be used';
GRANT SELECT ON dlent.gpus TO PUBLIC;
