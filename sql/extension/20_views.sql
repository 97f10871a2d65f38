-- What people and BI tools read: a user sees the models that it owns, that it was granted anything on, or that it may read as a
-- member of pg_read_all_data. Weights are never shown.

CREATE VIEW dlent.visible_model WITH (security_barrier) AS
SELECT m.id, m.name, m.owner, m.champion, m.created_at
FROM dlent.model AS m
WHERE pg_catalog.pg_has_role(m.owner, 'USAGE')
   OR pg_catalog.pg_has_role('pg_read_all_data', 'USAGE')
   OR EXISTS (SELECT FROM dlent.model_grant AS g
              WHERE g.model_id = m.id
                AND (g.grantee::pg_catalog.oid = 0 OR pg_catalog.pg_has_role(g.grantee, 'USAGE')));
COMMENT ON VIEW dlent.visible_model IS 'Models that the current user may see; the other views build on it';

CREATE VIEW dlent.models WITH (security_barrier) AS
SELECT m.name AS model,
       pg_catalog.pg_get_userbyid(m.owner) AS owner,
       v.task,
       v.target,
       m.champion,
       (SELECT pg_catalog.count(*) FROM dlent.version AS o WHERE o.model_id = m.id) AS versions,
       m.created_at
FROM dlent.visible_model AS m
LEFT JOIN dlent.version AS v ON v.model_id = m.id AND v.number = m.champion;
COMMENT ON VIEW dlent.models IS 'Models that you own or were granted';
COMMENT ON COLUMN dlent.models.model IS 'Name, unique in the database';
COMMENT ON COLUMN dlent.models.owner IS 'Role that trained the first version; it may do everything';
COMMENT ON COLUMN dlent.models.task IS 'What the champion answers: regression, binary or multiclass';
COMMENT ON COLUMN dlent.models.target IS 'Column that the champion predicts';
COMMENT ON COLUMN dlent.models.champion IS 'Version that answers when none is named';
COMMENT ON COLUMN dlent.models.versions IS 'Number of versions stored';
COMMENT ON COLUMN dlent.models.created_at IS 'When the first version was trained';

CREATE VIEW dlent.versions WITH (security_barrier) AS
SELECT m.name AS model,
       v.number AS version,
       v.kind,
       CASE WHEN v.number = m.champion THEN 'champion'
            WHEN EXISTS (SELECT FROM dlent.event AS e WHERE e.model_id = m.id AND e.replaced = v.number) THEN 'retired'
            ELSE 'candidate' END AS status,
       v.task,
       v.target,
       v.metrics,
       v.train_rows,
       v.validation_rows,
       v.epochs,
       v.seconds,
       v.device,
       v.trained_by,
       v.started_at,
       v.created_at,
       v.source,
       v.relations,
       v.snapshot,
       v.lsn,
       v.data_fingerprint,
       v.options,
       v.seed,
       v.details,
       v.findings,
       v.reference,
       v.specification,
       v.pipeline,
       v.weights_bytes,
       v.score_us_single,
       v.score_us_batched,
       v.score_precision,
       pg_catalog.encode(v.weights_sha256, 'hex') AS weights_sha256,
       v.digest,
       v.library_version,
       v.extension_version,
       v.server_version,
       pg_catalog.format('dlent.contract_%s_%s', m.id, v.number) AS contract
FROM dlent.visible_model AS m
JOIN dlent.version AS v ON v.model_id = m.id;
COMMENT ON VIEW dlent.versions IS 'Trained versions of the models you may see: how good each is and where it came from';
COMMENT ON COLUMN dlent.versions.model IS 'Name of the model';
COMMENT ON COLUMN dlent.versions.version IS 'Number, counted from 1 within the model';
COMMENT ON COLUMN dlent.versions.kind IS 'Kind of network: mlp, tabm';
COMMENT ON COLUMN dlent.versions.status IS 'champion: answers now; retired: was champion; candidate: never was';
COMMENT ON COLUMN dlent.versions.task IS 'What it answers: regression, binary or multiclass';
COMMENT ON COLUMN dlent.versions.target IS 'Column that it predicts';
COMMENT ON COLUMN dlent.versions.metrics IS 'Measured on rows that were held out of training, by scikit-learn''s names';
COMMENT ON COLUMN dlent.versions.train_rows IS 'Rows learnt from';
COMMENT ON COLUMN dlent.versions.validation_rows IS 'Rows that the metrics were measured on';
COMMENT ON COLUMN dlent.versions.epochs IS 'Passes over the rows, the most of any member';
COMMENT ON COLUMN dlent.versions.seconds IS 'How long training took';
COMMENT ON COLUMN dlent.versions.device IS 'Where it was trained: cpu, cuda:0, or several GPUs: cuda:0,cuda:1';
COMMENT ON COLUMN dlent.versions.trained_by IS 'Role that trained it';
COMMENT ON COLUMN dlent.versions.started_at IS 'When training began';
COMMENT ON COLUMN dlent.versions.created_at IS 'When it was stored';
COMMENT ON COLUMN dlent.versions.source IS 'Table, view or SELECT that the rows came from, as given';
COMMENT ON COLUMN dlent.versions.relations IS 'Tables and views that were read, with their OIDs at that time';
COMMENT ON COLUMN dlent.versions.snapshot IS 'Snapshot under which they were read';
COMMENT ON COLUMN dlent.versions.lsn IS 'Position in the write-ahead log at that time';
COMMENT ON COLUMN dlent.versions.data_fingerprint IS 'Hash of the rows, whatever their order: equal data have equal fingerprints';
COMMENT ON COLUMN dlent.versions.options IS 'Options as given';
COMMENT ON COLUMN dlent.versions.seed IS 'Seed of all that is random';
COMMENT ON COLUMN dlent.versions.details IS 'Options as resolved, the rule of the validation rows, and more';
COMMENT ON COLUMN dlent.versions.findings IS 'What was noticed about the data: columns left out, leakage';
COMMENT ON COLUMN dlent.versions.reference IS 'What drift is measured against: sketches of the features, the target and the scores, and how to calibrate these';
COMMENT ON COLUMN dlent.versions.specification IS 'The network, the target and its labels';
COMMENT ON COLUMN dlent.versions.pipeline IS 'What was learnt about each input column';
COMMENT ON COLUMN dlent.versions.weights_bytes IS 'Size of the weights';
COMMENT ON COLUMN dlent.versions.score_us_single IS 'Microseconds to score a row alone, as measured where it was trained, the reading of the row not counted';
COMMENT ON COLUMN dlent.versions.score_us_batched IS 'Microseconds a row when rows are scored in batches, likewise; the planner''s costs follow it';
COMMENT ON COLUMN dlent.versions.score_precision IS 'How its hidden layers are computed when rows are scored: fp32, or int8 by option score_precision';
COMMENT ON COLUMN dlent.versions.weights_sha256 IS 'SHA-256 of the weights, checked whenever they are loaded';
COMMENT ON COLUMN dlent.versions.digest IS 'Content address: versions that share it score alike, in any database; dlent_score takes it';
COMMENT ON COLUMN dlent.versions.library_version IS 'Version of the library that trained it';
COMMENT ON COLUMN dlent.versions.extension_version IS 'Version of the extension at that time';
COMMENT ON COLUMN dlent.versions.server_version IS 'Version of PostgreSQL at that time';
COMMENT ON COLUMN dlent.versions.contract IS 'View over the input columns that keeps them from being dropped or retyped';

CREATE VIEW dlent.training_log WITH (security_barrier) AS
SELECT m.name AS model, v.number AS version, e.step, e.member, e.epoch, e.train_loss, e.validation_loss, e.learning_rate, e.seconds
FROM dlent.visible_model AS m
JOIN dlent.version AS v ON v.model_id = m.id
JOIN dlent.training_epoch AS e ON e.version_id = v.id;
COMMENT ON VIEW dlent.training_log IS 'How each training went, epoch by epoch';
COMMENT ON COLUMN dlent.training_log.model IS 'Name of the model';
COMMENT ON COLUMN dlent.training_log.version IS 'Number of the version';
COMMENT ON COLUMN dlent.training_log.step IS 'Order within the training, from 1: a member that is fitted again on all rows counts its epochs anew';
COMMENT ON COLUMN dlent.training_log.member IS 'Network of the ensemble, from 0';
COMMENT ON COLUMN dlent.training_log.epoch IS 'Pass over the rows, from 1';
COMMENT ON COLUMN dlent.training_log.train_loss IS 'Mean loss of the rows learnt from';
COMMENT ON COLUMN dlent.training_log.validation_loss IS 'Mean loss of the rows held out; NULL without any';
COMMENT ON COLUMN dlent.training_log.learning_rate IS 'Learning rate at the end of the epoch';
COMMENT ON COLUMN dlent.training_log.seconds IS 'Seconds since training began';

-- Events of a model that is gone are seen by those who took part and by readers of everything.
CREATE VIEW dlent.events WITH (security_barrier) AS
SELECT e.id, e.occurred_at, e.action, e.model, e.version, e.champion, e.replaced, e.role, e.session_role, e.reason, e.details
FROM dlent.event AS e
WHERE EXISTS (SELECT FROM dlent.visible_model AS m WHERE m.id = e.model_id)
   OR pg_catalog.pg_has_role('pg_read_all_data', 'USAGE')
   OR e.role = CURRENT_USER;
COMMENT ON VIEW dlent.events IS 'Who trained, promoted, rolled back, granted or dropped what, when and why';
COMMENT ON COLUMN dlent.events.id IS 'Rising number';
COMMENT ON COLUMN dlent.events.occurred_at IS 'When';
COMMENT ON COLUMN dlent.events.action IS 'train, promote, rollback, drop_version, drop_model, grant, revoke, or of a rollout: deploy, advance, hold, resume, stop';
COMMENT ON COLUMN dlent.events.model IS 'Name of the model';
COMMENT ON COLUMN dlent.events.version IS 'Version it is about';
COMMENT ON COLUMN dlent.events.champion IS 'Champion from then on, where the event changed it';
COMMENT ON COLUMN dlent.events.replaced IS 'Champion until then, where the event changed it';
COMMENT ON COLUMN dlent.events.role IS 'Role that acted';
COMMENT ON COLUMN dlent.events.session_role IS 'Role that had logged in';
COMMENT ON COLUMN dlent.events.reason IS 'Reason, as given';
COMMENT ON COLUMN dlent.events.details IS 'More, by action';

CREATE VIEW dlent.deployments WITH (security_barrier) AS
SELECT m.name AS model,
       e.champion AS version,
       e.replaced,
       e.occurred_at AS started_at,
       pg_catalog.lead(e.occurred_at) OVER (PARTITION BY e.model_id ORDER BY e.id) AS ended_at,
       e.action,
       e.role,
       e.reason
FROM dlent.visible_model AS m
JOIN dlent.event AS e ON e.model_id = m.id
WHERE e.champion IS NOT NULL;
COMMENT ON VIEW dlent.deployments IS 'Which version was champion when, and why it was chosen';
COMMENT ON COLUMN dlent.deployments.model IS 'Name of the model';
COMMENT ON COLUMN dlent.deployments.version IS 'Champion during that time';
COMMENT ON COLUMN dlent.deployments.replaced IS 'Champion before';
COMMENT ON COLUMN dlent.deployments.started_at IS 'Since when';
COMMENT ON COLUMN dlent.deployments.ended_at IS 'Until when; NULL: now';
COMMENT ON COLUMN dlent.deployments.action IS 'train, promote or rollback';
COMMENT ON COLUMN dlent.deployments.role IS 'Role that acted';
COMMENT ON COLUMN dlent.deployments.reason IS 'Reason, as given';

CREATE VIEW dlent.grants WITH (security_barrier) AS
SELECT m.name AS model,
       CASE WHEN g.grantee::pg_catalog.oid = 0 THEN 'PUBLIC' ELSE pg_catalog.pg_get_userbyid(g.grantee) END AS grantee,
       g.privilege,
       g.grantor,
       g.granted_at
FROM dlent.visible_model AS m
JOIN dlent.model_grant AS g ON g.model_id = m.id;
COMMENT ON VIEW dlent.grants IS 'What roles other than the owner may do with the models you may see';
COMMENT ON COLUMN dlent.grants.model IS 'Name of the model';
COMMENT ON COLUMN dlent.grants.grantee IS 'Role, or PUBLIC: everybody';
COMMENT ON COLUMN dlent.grants.privilege IS 'predict, explain or manage';
COMMENT ON COLUMN dlent.grants.grantor IS 'Role that granted it';
COMMENT ON COLUMN dlent.grants.granted_at IS 'When';

REVOKE ALL ON dlent.visible_model FROM PUBLIC;
GRANT SELECT ON dlent.models, dlent.versions, dlent.training_log, dlent.events, dlent.deployments, dlent.grants TO PUBLIC;
