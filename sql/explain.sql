-- dlent_explain: documents, options, errors; the shared probe; stored explanations, their verification and erasure; reason codes.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS dlent CASCADE;
RESET client_min_messages;
CREATE EXTENSION dlent;
SET dlent.progress_messages = off;
SET timezone = 'Asia/Tokyo';

CREATE TABLE payment AS
SELECT i AS id, abs(hashint4(i)) % 200000 / 100.0 AS amount, (ARRAY['web', 'shop', 'phone'])[abs(hashint4(i + 1000000)) % 3 + 1] AS channel,
       abs(hashint4(i + 2000000)) % 24 AS hour, CASE WHEN i % 17 <> 0 THEN abs(hashint4(i + 4000000)) % 365 END AS account_age,
       abs(hashint4(i + 5000000)) % 2 = 0 AS is_new, timestamptz '2024-01-01' + make_interval(mins => abs(hashint4(i + 6000000)) % 500000) AS paid_at,
       ARRAY[i % 7, i % 11]::real[] AS profile,
       CASE WHEN abs(hashint4(i)) % 200000 / 100.0 + 500 * (abs(hashint4(i + 1000000)) % 3) + abs(hashint4(i + 7000000)) % 300 > 1500
            THEN 'decline' ELSE 'accept' END AS decision
FROM generate_series(1, 3000) AS i;
SELECT version FROM dlent_train('fraud', 'SELECT * FROM payment WHERE id <= 2500', 'decision', '{"preset": "fast", "positive_class": "decline", "epochs": 8}');
CREATE VIEW declined AS SELECT * FROM payment WHERE id > 2500 AND dlent_classify('fraud', payment) = 'decline' AND account_age IS NOT NULL ORDER BY id LIMIT 1;

-- the document: its members, and sums that hold to the last printed digit
CREATE TABLE document AS SELECT dlent_explain('fraud', d, '{"threshold": 0.3, "counterfactuals": 2}') AS e FROM declined AS d;
SELECT jsonb_object_keys(e) AS member FROM document ORDER BY 1;
SELECT e ->> 'schema' AS schema, e -> 'model' ->> 'name' AS model, e -> 'model' -> 'version' AS version,
       e -> 'model' ->> 'sha256' = v.weights_sha256 AS sha256, (e ->> 'id')::uuid IS NOT NULL AS id
FROM document, dlent.versions AS v;
SELECT k AS method, CASE WHEN k IN ('probe_id', 'kernel_width') THEN NULL ELSE e -> 'method' -> k END AS value FROM document, jsonb_object_keys(e -> 'method') AS k ORDER BY 1;
SELECT k AS audit, CASE WHEN k IN ('by', 'at') THEN NULL ELSE length(e -> 'audit' ->> k) END AS length FROM document, jsonb_object_keys(e -> 'audit') AS k ORDER BY 1;
SELECT e #>> '{audit,by}' = CURRENT_USER AS by, (e #>> '{audit,at}')::timestamptz BETWEEN now() - interval '1 hour' AND clock_timestamp() AS at FROM document;
SELECT jsonb_object_keys(e #> '{labels,0}') AS member FROM document ORDER BY 1;
SELECT jsonb_object_keys(e #> '{labels,0,features,0}') AS member FROM document ORDER BY 1;
SELECT (l ->> 'baseline')::numeric + (SELECT sum((f ->> 'contribution')::numeric) FROM jsonb_array_elements(l -> 'features') AS f)
         = (l ->> 'local_prediction')::numeric AS adds_up,
       (l ->> 'local_prediction')::numeric + (l ->> 'residual')::numeric = (l ->> 'prediction')::numeric AS with_residual,
       l -> 'prediction' = e #> '{prediction,value}' AS is_answer,
       (e #>> '{prediction,value}')::numeric - (e #>> '{prediction,threshold}')::numeric = (e #>> '{prediction,margin}')::numeric AS margin,
       abs((l ->> 'prediction')::float8 - dlent_predict('fraud', d)) < 1e-9 AS prediction
FROM document, jsonb_array_elements(e -> 'labels') AS l, declined AS d;
SELECT (f ->> 'rank')::int AS rank, abs((f ->> 'contribution')::float8) <= lag(abs((f ->> 'contribution')::float8), 1, 1e9) OVER (ORDER BY (f ->> 'rank')::int) AS falls,
       (f ->> 'std_error')::float8 >= 0 AS std_error, jsonb_typeof(f -> 'rank_tied') AS tied
FROM document, jsonb_array_elements(e #> '{labels,0,features}') AS f WHERE (f ->> 'rank')::int <= 3 ORDER BY 1;
SELECT f ->> 'feature' AS feature, f -> 'value' AS value FROM document, jsonb_array_elements(e #> '{labels,0,features}') AS f
WHERE f ->> 'feature' IN ('amount', 'channel', 'is_new', 'profile[2]', 'hour') ORDER BY 1;
SELECT amount, channel, is_new, profile[2], hour FROM declined;
SELECT f ->> 'value' = to_char(d.paid_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS+00') AS in_utc
FROM document, jsonb_array_elements(e #> '{labels,0,features}') AS f, declined AS d WHERE f ->> 'feature' = 'paid_at';
SELECT bool_and((c ->> 'flips')::boolean) AS flip, bool_and(c ->> 'class' = 'accept') AS to_accept, count(*) > 0 AS found,
       bool_and(e -> 'counterfactual' = e #> '{counterfactuals,0}') AS first
FROM document, jsonb_array_elements(e -> 'counterfactuals') AS c;
-- what the counterfactual says is what the network answers
SELECT abs(dlent_predict('fraud', to_jsonb(d) || (SELECT jsonb_object_agg(c ->> 'feature', c -> 'to') FROM jsonb_array_elements(e #> '{counterfactual,changes}') AS c))
           - (1 - (e #>> '{counterfactual,value}')::float8)) < 1e-6 AS verified
FROM document, declined AS d WHERE NOT EXISTS (SELECT FROM jsonb_array_elements(e #> '{counterfactual,changes}') AS c WHERE c ->> 'feature' LIKE 'profile%');

-- the same row in other forms has the same explanation, and so has the same call
SELECT e - 'id' - 'audit' = dlent_explain('fraud', to_jsonb(d), '{"threshold": 0.3, "counterfactuals": 2}') - 'id' - 'audit' AS jsonb,
       e - 'id' - 'audit' = dlent_explain('fraud@1', d, '{"threshold": 0.3, "counterfactuals": 2}') - 'id' - 'audit' AS again,
       e #> '{audit,input_sha256}' = dlent_explain('fraud', to_jsonb(d)) #> '{audit,input_sha256}' AS input,
       e -> 'id' <> dlent_explain('fraud', d) -> 'id' AS id
FROM document, declined AS d;
SELECT e #> '{audit,input_sha256}' = dlent_explain('fraud', x) #> '{audit,input_sha256}' AS numeric_types
FROM document, (SELECT amount::float8, channel::varchar, hour::numeric, account_age::bigint, is_new, paid_at, profile::float8[] FROM declined) AS x;
SELECT dlent_explain('fraud', NULL::payment) IS NULL AS no_row, dlent_explain(NULL, d) IS NULL AS no_model FROM declined AS d;

-- NULL, unseen levels, values beyond training
SELECT f ->> 'condition' AS condition, f -> 'value' AS value
FROM (SELECT dlent_explain('fraud', to_jsonb(d) || '{"account_age": null, "channel": "carrier pigeon"}', '{"min_fidelity": 0}') AS e FROM declined AS d) AS x,
     jsonb_array_elements(e #> '{labels,0,features}') AS f WHERE f ->> 'feature' IN ('account_age', 'channel') ORDER BY 1;
SELECT w FROM (SELECT dlent_explain('fraud', to_jsonb(d) || '{"hour": 25, "channel": "carrier pigeon"}', '{"min_fidelity": 0}') AS e FROM declined AS d) AS x,
     jsonb_array_elements_text(e #> '{quality,warnings}') AS w WHERE w LIKE 'Unfamiliar%' ORDER BY 1;

-- the fidelity gate: numbers, but no reasons
SELECT e #>> '{quality,grade}' AS grade, e -> 'reasons' AS reasons, e #> '{quality,warnings,0}' IS NOT NULL AS says_so,
       e #>> '{quality,warnings,0}' LIKE 'No reliable reason exists: %' AS text, (e #> '{labels,0,features,0}') ? 'text' AS prose,
       (e #> '{labels,0,features,0}') ? 'contribution' AS numbers
FROM (SELECT dlent_explain('fraud', d, '{"min_fidelity": 1}') AS e FROM declined AS d) AS x;

-- options
CREATE FUNCTION explained(options jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT dlent_explain('fraud', d, options) FROM declined AS d $$;
SELECT jsonb_array_length(explained('{"num_features": 2}') #> '{labels,0,features}') AS num_features,
       explained('{"num_samples": 500}') #> '{method,n}' AS num_samples,
       explained('{"kernel_width": 2.5}') #> '{method,kernel_width}' AS kernel_width,
       explained('{"discretizer": "decile"}') #>> '{method,discretizer}' AS discretizer,
       explained('{"feature_selection": "lasso_path", "num_features": 3}') #>> '{method,selection}' AS selection,
       explained('{"num_features": 3}') #>> '{method,selection}' AS auto_few,
       explained('{"alpha": 0.5}') #> '{method,alpha}' AS alpha,
       explained('{"seed": 7}') #> '{method,seed}' AS seed,
       explained('{"link": "logit"}') #>> '{method,link}' AS link;
SELECT explained('{"fresh": true}') #> '{method,probe_id}' AS fresh,
       explained('{"seed": 7}') #> '{method,probe_id}' <> explained('{}') #> '{method,probe_id}' AS another_probe,
       explained('{"kernel_width": 3}') #> '{method,probe_id}' = explained('{}') #> '{method,probe_id}' AS same_probe,
       explained('{"fresh": true, "seed": 7}') -> 'labels' = explained('{"fresh": true, "seed": 7}') -> 'labels' AS fresh_again,
       explained('{"sample_around_instance": true, "discretizer": "none"}') #> '{method,probe_id}' AS around;
SELECT string_agg(l ->> 'class', ' ' ORDER BY n) AS labels FROM jsonb_array_elements(explained('{"labels": ["accept", "decline"]}') -> 'labels') WITH ORDINALITY AS x (l, n);
SELECT string_agg(l ->> 'class', ' ' ORDER BY n) AS labels FROM jsonb_array_elements(explained('{"top_labels": 2}') -> 'labels') WITH ORDINALITY AS x (l, n);
SELECT (l ->> 'prediction')::float8 BETWEEN -20 AND 20 AS logit,
       (l ->> 'baseline')::numeric + (SELECT sum((f ->> 'contribution')::numeric) FROM jsonb_array_elements(l -> 'features') AS f)
         = (l ->> 'local_prediction')::numeric AS adds_up
FROM jsonb_array_elements(explained('{"link": "logit"}') -> 'labels') AS l;
SELECT f -> 'members' -> 0 ? 'contribution' AS members, f ->> 'feature' AS feature,
       (f ->> 'contribution')::numeric = (SELECT sum((m ->> 'contribution')::numeric) FROM jsonb_array_elements(f -> 'members') AS m) AS sums
FROM jsonb_array_elements(explained('{"groups": {"when": ["hour", "paid_at"], "vector": ["profile"]}}') #> '{labels,0,features}') AS f
WHERE f ->> 'feature' IN ('when', 'vector', 'hour', 'profile[1]') ORDER BY 2;
-- with a threshold the decision is explained, whichever class is the more probable
SELECT e #>> '{prediction,class}' AS class, e #> '{prediction,threshold}' AS threshold, (e #>> '{prediction,value}')::float8 >= (e #>> '{prediction,threshold}')::float8 AS above
FROM (VALUES (explained('{"threshold": 0}')), (dlent_explain('fraud', (SELECT to_jsonb(d) || '{"amount": 1}' FROM declined AS d), '{"threshold": 0.99}'))) AS x (e);
SELECT count(*) FILTER (WHERE c ->> 'feature' = 'amount') AS immutable
FROM jsonb_array_elements(explained('{"counterfactuals": 3, "immutable": ["amount"]}') -> 'counterfactuals') AS a, jsonb_array_elements(a -> 'changes') AS c;
-- the other method, and how far the two agree
SELECT e #>> '{method,name}' AS method, e #> '{method,n}' AS steps, e #> '{labels,0,fidelity_r2}' AS fidelity, e #>> '{quality,grade}' AS grade,
       (e #>> '{labels,0,completeness}')::float8 < 0.05 AS complete, jsonb_array_length(e #> '{labels,0,features}') AS features,
       (l ->> 'baseline')::numeric + (SELECT sum((f ->> 'contribution')::numeric) FROM jsonb_array_elements(l -> 'features') AS f)
         = (l ->> 'local_prediction')::numeric AS adds_up,
       (l ->> 'local_prediction')::numeric + (l ->> 'residual')::numeric = (l ->> 'prediction')::numeric AS with_residual
FROM (SELECT explained('{"method": "integrated_gradients", "steps": 100}') AS e) AS x, jsonb_array_elements(e -> 'labels') AS l;
SELECT jsonb_object_keys(explained('{"agreement": true}') #> '{quality,agreement}') AS agreement ORDER BY 1;
SELECT explained('{"agreement": true}') #>> '{quality,agreement,method}' AS of_lime, explained('{"agreement": true, "method": "integrated_gradients"}') #>> '{quality,agreement,method}' AS of_gradients,
       (explained('{"agreement": true}') #>> '{quality,agreement,top_overlap}')::float8 BETWEEN 0 AND 1 AS overlap;

-- errors
SELECT explained('{"features": 3}');
SELECT explained('{"num_features": "3"}');
SELECT explained('{"num_features": 0}');
SELECT explained('{"num_samples": 1e9}');
SELECT explained('{"kernel_width": -1}');
SELECT explained('{"discretizer": "tertile"}');
SELECT explained('{"feature_selection": "best"}');
SELECT explained('{"labels": ["fraud"]}');
SELECT explained('{"labels": "fraud"}');
SELECT explained('{"labels": ["decline"], "top_labels": 1}');
SELECT explained('{"alpha": null}');
SELECT explained('{"seed": 1.5}');
SELECT explained('{"seed": -1}');
SELECT explained('{"link": "identity"}');
SELECT explained('{"method": "shap"}');
SELECT explained('{"min_fidelity": 2}');
SELECT explained('{"threshold": 1.5}');
SELECT explained('{"audience": "regulator"}');
SELECT explained('{"locale": 1}');
SELECT explained('{"max_reasons": 0}');
SELECT explained('{"groups": {"a": []}}');
SELECT explained('{"groups": {"a": ["hour"], "b": ["hour"]}}');
SELECT explained('{"groups": {"a": ["minute"]}}');
SELECT explained('{"immutable": ["minute"]}');
SELECT explained('{"directions": {"hour": "up"}}');
SELECT explained('{"sample_around_instance": true}');
SELECT explained('{"key": "x"}');
SELECT explained('{"retain": "1 day"}');
SELECT explained('{"store": true, "retain": "soon"}');
SELECT explained('{"resume": true}');
SELECT explained('[]');
SELECT dlent_explain('fraud', 5);
SELECT dlent_explain('fraud', ARRAY[1.0, 2.0]);
SELECT dlent_explain('fraud', '{"amount": 1}'::jsonb);
SELECT dlent_explain('fraud', ROW(1, 2));
SELECT dlent_explain('nobody', d) FROM declined AS d;
SELECT dlent_explain('fraud@9', d) FROM declined AS d;

-- numbers and several classes
SELECT version FROM dlent_train('hours', 'SELECT amount, channel, account_age, hour * 1000 + amount AS target FROM payment WHERE id <= 1500', 'target', '{"preset": "fast", "epochs": 3}');
SELECT version FROM dlent_train('channels', 'SELECT amount, hour, account_age, decision, channel FROM payment WHERE id <= 1500', 'channel', '{"preset": "fast", "epochs": 3}');
SELECT e -> 'prediction' ? 'class' AS class, e #>> '{method,link}' AS link, e #> '{labels,0,prediction}' = e #> '{prediction,value}' AS is_answer,
       (l ->> 'baseline')::numeric + (SELECT sum((f ->> 'contribution')::numeric) FROM jsonb_array_elements(l -> 'features') AS f)
         = (l ->> 'local_prediction')::numeric AS adds_up
FROM (SELECT dlent_explain('hours', p, '{"threshold": 12000}') AS e FROM payment AS p WHERE id = 2000) AS x, jsonb_array_elements(e -> 'labels') AS l;
SELECT count(*) AS labels, bool_and(abs((SELECT sum((f ->> 'contribution')::float8) FROM jsonb_array_elements(l -> 'features') AS f)
         + (l ->> 'baseline')::float8 - (l ->> 'local_prediction')::float8) < 1e-9) AS adds_up, min(e #>> '{labels,0,class}') = min(e #>> '{prediction,class}') AS first
FROM (SELECT dlent_explain('channels', p, '{"top_labels": 3}') AS e FROM payment AS p WHERE id = 2000) AS x, jsonb_array_elements(e -> 'labels') AS l;
SELECT dlent_explain('hours', p, '{"labels": ["1"]}') FROM payment AS p WHERE id = 2000;
SELECT dlent_explain('hours', p, '{"link": "logit"}') FROM payment AS p WHERE id = 2000;
SELECT dlent_explain('hours', p, '{"counterfactuals": 1}') FROM payment AS p WHERE id = 2000;
SELECT dlent_explain('channels', p, '{"threshold": 0.5}') FROM payment AS p WHERE id = 2000;

-- the shared probe
SELECT model, version, bytes > 0 AS bytes, mapped, private_bytes < 1000 AS private FROM dlent.probe_cache WHERE model = 'hours';
SELECT count(*) AS files FROM pg_ls_tmpdir() WHERE name ~ ('^pgsql_tmp_dlent_\d+_' || (SELECT replace(digest::text, '-', '') FROM dlent.versions WHERE model = 'hours') || '_[0-9a-f]{32}_1$');
\c
SET dlent.progress_messages = off;
SELECT model, mapped, private_bytes IS NULL AS unused FROM dlent.probe_cache WHERE model = 'hours';
SELECT dlent_explain('hours', p) IS NOT NULL AS explained FROM payment AS p WHERE id = 2000;
SELECT model, mapped, private_bytes < 1000 AS private FROM dlent.probe_cache WHERE model = 'hours';
SELECT dlent_drop_model('hours');
SELECT count(*) AS files FROM dlent.probe_files() AS p WHERE NOT EXISTS (SELECT FROM dlent.versions AS v WHERE v.digest = p.digest) AND p.bytes IS NOT NULL;

-- reason codes
SELECT dlent_set_reason_code('fraud', 'amount', 'R03', 'The {feature} of {value} is high ({threshold}): {condition} {{}}', 'raises');
SELECT dlent_set_reason_code('fraud', 'amount', 'R03', 'The amount is unusual for you.', 'raises', 'customer', actionable => false);
SELECT dlent_set_reason_code('fraud', 'amount', 'R03', 'Der Betrag von {value} ist hoch.', 'raises', 'customer', 'de');
SELECT dlent_set_reason_code('fraud', 'channel', 'R05', direction => 'raises');
SELECT dlent_set_reason_code('fraud', 'minute', 'R06');
SELECT feature, direction, audience, locale, code, template, actionable, set_by = CURRENT_USER AS set_by FROM dlent.reason_codes ORDER BY 1, 2, 3, 4;
CREATE TABLE spoken AS SELECT id, dlent_explain('fraud', p, '{"labels": ["decline"], "min_fidelity": 0, "locale": "en"}') AS analyst,
       dlent_explain('fraud', p, '{"labels": ["decline"], "min_fidelity": 0, "audience": "customer"}') AS customer,
       dlent_explain('fraud', p, '{"labels": ["decline"], "min_fidelity": 0, "audience": "customer", "locale": "de-AT"}') AS kunde
FROM payment AS p WHERE id > 2500 AND amount > 1900 AND dlent_classify('fraud', p) = 'decline' ORDER BY id LIMIT 3;
SELECT f ->> 'reason_code' AS code, f ->> 'text' LIKE 'The amount of 1,9%is high (%): amount > % {}' AS text
FROM spoken, jsonb_array_elements(analyst #> '{labels,0,features}') AS f WHERE f ->> 'feature' = 'amount' LIMIT 1;
SELECT DISTINCT r ->> 'code' AS code, r ->> 'text' AS text, r -> 'actionable' AS actionable FROM spoken, jsonb_array_elements(customer -> 'reasons') AS r;
SELECT DISTINCT r ->> 'code' AS code, r ->> 'text' ~ '^Der Betrag von 1\.9\d\d,\d+ ist hoch\.$' AS text FROM spoken, jsonb_array_elements(kunde -> 'reasons') AS r;
SELECT DISTINCT k AS customer_sees FROM spoken, jsonb_object_keys(customer #> '{labels,0,features,0}') AS k ORDER BY 1;
SELECT bool_or(customer::text LIKE '%condition%' OR customer::text LIKE '%contribution%' OR customer -> 'prediction' ? 'value' OR customer::text LIKE '%baseline%') AS tells FROM spoken;
SELECT max(jsonb_array_length(dlent_explain('fraud', p, '{"max_reasons": 1, "min_fidelity": 0}') -> 'reasons')) AS reasons FROM payment AS p WHERE id BETWEEN 2600 AND 2610;
SELECT dlent_remove_reason_code('fraud', 'minute'), dlent_remove_reason_code('fraud', 'amount', audience => 'customer', locale => 'de'), dlent_remove_reason_code('fraud', 'nothing');
SELECT dlent_set_reason_code('fraud', 'amount', 'R03', 'too {much}');
SELECT dlent_set_reason_code('fraud', 'amount', 'R03', 'too {much');
SELECT dlent_set_reason_code('fraud', 'amount', 'R03', direction => 'up');
SELECT dlent_set_reason_code('fraud', 'amount', 'R03', audience => 'press');
SELECT dlent_set_reason_code('fraud', 'amount', 'R03', audience => 'customer');
SELECT dlent_set_reason_code('fraud', 'amount', '');
SELECT dlent_set_reason_code('fraud', NULL, 'R03');
SELECT dlent_set_reason_code('nobody', 'amount', 'R03');
SELECT action, details FROM dlent.events WHERE action LIKE '%reason_code' ORDER BY id LIMIT 2;

-- stored explanations
SELECT dlent_explain_table('fraud', 'SELECT * FROM payment WHERE id > 2500 AND id <= 2900', 'id', '{"counterfactuals": 1, "threshold": 0.4}') AS explained;
SELECT dlent_explain_table('fraud', 'SELECT * FROM payment WHERE id > 2500', 'id', '{"counterfactuals": 1, "threshold": 0.4}') AS the_rest;
SELECT dlent_explain_table('fraud', 'SELECT * FROM payment WHERE id > 2500', 'id', '{"counterfactuals": 1, "threshold": 0.4}') AS nothing_new;
SELECT dlent_explain_table('fraud', 'SELECT id, amount + 1 AS amount, channel, hour, account_age, is_new, paid_at, profile FROM payment WHERE id = 2501', 'id',
                           '{"counterfactuals": 1, "threshold": 0.4}') AS another_row_of_the_key;
SELECT dlent_explain_table('fraud', 'SELECT * FROM payment WHERE id = 2501', 'id') AS other_options;
SELECT dlent_explain_table('fraud', 'SELECT * FROM payment WHERE id = 2501', 'id', '{"resume": false}') AS once_more;
SELECT count(*), count(DISTINCT entity_key), bool_and(model = 'fraud' AND version = 1 AND by = CURRENT_USER AND probe_id IS NOT NULL AND seed = 42) AS columns,
       bool_and(abs(baseline + (SELECT sum(contribution) FROM dlent.explanation_features AS f WHERE f.id = e.id) - local_prediction) < 1e-9) AS adds_up,
       bool_and(abs(local_prediction + residual - prediction) < 1e-9) AS with_residual,
       bool_and(explanation ->> 'id' = id::text) AS document
FROM dlent.explanations AS e;
SELECT bool_and(dlent_verify_explanation(id)) AS verified FROM dlent.explanations;
SELECT count(*) > 0 AS counterfactuals, bool_and(flips) AS flip FROM dlent.explanation_counterfactuals;
SELECT dlent_explain_table('fraud', 'SELECT * FROM payment WHERE id BETWEEN 2502 AND 2505', 'id', '{"method": "integrated_gradients", "agreement": true}') AS gradients;
SELECT count(*) AS explained, bool_and(dlent_verify_explanation(id)) AS verified, bool_and(probe_id IS NULL AND fidelity_r2 IS NULL) AS columns
FROM dlent.explanations WHERE method ->> 'method' = 'integrated_gradients';
SELECT dlent_explain('fraud', d, '{"store": true, "key": "call", "retain": "1 hour", "audience": "customer"}') ->> 'id' IS NOT NULL AS stored FROM declined AS d;
SELECT dlent_verify_explanation(id) AS customer, expires_at > now() AS kept, probability IS NULL AS tells_nothing FROM dlent.explanations WHERE entity_key = 'call';
SELECT dlent_create_explanation_view('fraud', 'wide');
SELECT count(*), count(amount_explanation) > 500 AS amounts, count("profile[1]_explanation") > 500 AS elements FROM wide;
-- reasons that were given stay as they were when the dictionary changes, and are still verified
SELECT dlent_set_reason_code('fraud', 'amount', 'R99', 'Something else.', 'raises');
SELECT count(*) > 0 AS coded, bool_or(reason_code = 'R99') AS changed FROM dlent.explanation_features WHERE reason_code IS NOT NULL;
SELECT bool_and(dlent_verify_explanation(id)) AS verified FROM dlent.explanations WHERE entity_key::int % 20 = 0 AND entity_key <> 'call';
-- what is tampered with is found, wherever it is
CREATE FUNCTION tampered(change text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    victim uuid;
    verdict boolean;
BEGIN
    SELECT id INTO victim FROM dlent.explanation WHERE entity_key = '2700' AND EXISTS (SELECT FROM dlent.explanation_counterfactual AS c WHERE c.id = explanation.id);
    BEGIN
        EXECUTE change USING victim;
        IF NOT FOUND THEN RAISE 'nothing was changed'; END IF;
        verdict := NOT dlent_verify_explanation(victim);
        RAISE EXCEPTION SQLSTATE 'ZZ000';
    EXCEPTION WHEN SQLSTATE 'ZZ000' THEN
        RETURN verdict;
    END;
END $$;
SELECT change, tampered(change) AS found FROM unnest(ARRAY[
    $$UPDATE dlent.explanation SET probability = probability - 0.0000000001 WHERE id = $1$$,
    $$UPDATE dlent.explanation SET baseline = 0 WHERE id = $1$$,
    $$UPDATE dlent.explanation SET grade = 'fine' WHERE id = $1$$,
    $$UPDATE dlent.explanation SET seed = 43 WHERE id = $1$$,
    $$UPDATE dlent.explanation SET probe_id = gen_random_uuid() WHERE id = $1$$,
    $$UPDATE dlent.explanation SET digest = gen_random_uuid() WHERE id = $1$$,
    $$UPDATE dlent.explanation SET by = 'nobody' WHERE id = $1$$,
    $$UPDATE dlent.explanation SET at = at - interval '1 second' WHERE id = $1$$,
    $$UPDATE dlent.explanation SET input_hash = md5('') WHERE id = $1$$,
    $$UPDATE dlent.explanation SET input = jsonb_set(input, '{amount}', '1') WHERE id = $1$$,
    $$UPDATE dlent.explanation SET input = input - 'amount' WHERE id = $1$$,
    $$UPDATE dlent.explanation SET input = input || '{"more": 1}' WHERE id = $1$$,
    $$UPDATE dlent.explanation SET input = '[]' WHERE id = $1$$,
    $$UPDATE dlent.explanation SET method = method || '{"seed": 43}' WHERE id = $1$$,
    $$UPDATE dlent.explanation SET method = method || '{"labels": ["unknown"]}' WHERE id = $1$$,
    $$UPDATE dlent.explanation SET method = '7' WHERE id = $1$$,
    $$UPDATE dlent.explanation SET codes = '[{}]' WHERE id = $1$$,
    $$UPDATE dlent.explanation SET document = jsonb_set(document, '{labels,0,features,0,contribution}', '0.5') WHERE id = $1$$,
    $$UPDATE dlent.explanation SET document = jsonb_set(document, '{audit,by}', '"nobody"') WHERE id = $1$$,
    $$UPDATE dlent.explanation SET document = document - 'quality' WHERE id = $1$$,
    $$UPDATE dlent.explanation_feature SET contribution = contribution + 1e-10 WHERE id = $1 AND rank = 1$$,
    $$UPDATE dlent.explanation_feature SET reason_text = 'Because.' WHERE id = $1 AND rank = 1$$,
    $$DELETE FROM dlent.explanation_feature WHERE id = $1 AND rank = 2$$,
    $$INSERT INTO dlent.explanation_feature (id, label, rank, feature) VALUES ($1, 1, 99, 'hour')$$,
    $$UPDATE dlent.explanation_counterfactual SET "to" = '1' WHERE id = $1$$,
    $$DELETE FROM dlent.explanation_counterfactual WHERE id = $1$$,
    $$UPDATE dlent.version SET explainer = explainer || '{"more": 1}' WHERE $1 IS NOT NULL AND number = 1$$]) AS change;
SELECT tampered($$UPDATE dlent.explanation SET at = at WHERE id = $1$$) AS found_nothing;
SELECT dlent_verify_explanation('00000000-0000-0000-0000-000000000000');
SELECT dlent_verify_explanation(NULL) IS NULL AS nothing;
-- the model moves on
SELECT version FROM dlent_train('fraud', 'SELECT * FROM payment WHERE id <= 1000', 'decision', '{"preset": "fast", "positive_class": "decline", "epochs": 2, "promote": true}');
SELECT dlent_explain('fraud', d) #> '{model,version}' AS version FROM declined AS d;
SELECT bool_and(dlent_verify_explanation(id)) AS verified FROM dlent.explanations WHERE entity_key IN ('2600', '2700');
SELECT dlent_drop_model('fraud', 1);
SELECT dlent_verify_explanation(id) FROM dlent.explanations WHERE entity_key = '2700';
SELECT count(*) > 0 AS kept FROM dlent.explanations WHERE version = 1;

-- erasure
SELECT dlent_forget_explanations('fraud', '2700') AS of_a_key, dlent_forget_explanations('fraud', '2700') AS again;
SELECT count(*) AS left_over FROM dlent.explanation_feature AS f WHERE NOT EXISTS (SELECT FROM dlent.explanation AS e WHERE e.id = f.id);
SELECT dlent_forget_explanations('fraud') AS expired, dlent_forget_explanations('fraud', older_than => '1 day') AS old;
UPDATE dlent.explanation SET expires_at = now() - interval '1 second' WHERE entity_key = 'call';
SELECT count(*) AS shown FROM dlent.explanations WHERE entity_key = 'call';
SELECT dlent_forget_explanations('fraud') AS expired;
SELECT details FROM dlent.events WHERE action = 'forget_explanations' ORDER BY id;
SELECT dlent_drop_model('fraud');
SELECT count(*) > 0 AS kept_by_who_made_them FROM dlent.explanations WHERE model = 'fraud';
SELECT dlent_verify_explanation(id) FROM dlent.explanations LIMIT 1;
SELECT count(*) AS codes FROM dlent.reason_code;
SELECT dlent_forget_explanations('fraud', older_than => '-1 day') > 400 AS forgotten;
SELECT count(*) FROM dlent.explanation;
SELECT dlent_forget_explanations('fraud');
SELECT dlent_forget_explanations('nobody');
SELECT dlent_forget_explanations(NULL);

-- tables: errors, and where nothing may be written
SELECT dlent_explain_table('channels', 'payment', 'nothing');
SELECT dlent_explain_table('channels', 'SELECT id, amount FROM payment', 'id');
SELECT dlent_explain_table('channels', 'SELECT NULL::int AS id, * FROM (SELECT amount, hour, account_age, decision FROM payment) AS p', 'id');
SELECT dlent_explain_table('channels', 'payment', NULL);
SELECT dlent_explain_table('channels', 'payment', 'id', '{"store": true}');
SELECT dlent_explain_table('channels', 'SELECT 1 WHERE false', 'id');
SELECT dlent_explain_table('channels', 'SELECT * FROM payment WHERE false', 'id') AS none;
BEGIN READ ONLY;
SELECT dlent_explain('channels', p) IS NOT NULL AS explained FROM payment AS p WHERE id = 2000;
SELECT dlent_explain('channels', p, '{"store": true}') FROM payment AS p WHERE id = 2000;
ROLLBACK;
BEGIN READ ONLY;
SELECT dlent_explain_table('channels', 'payment', 'id');
ROLLBACK;

DROP EXTENSION dlent CASCADE;
DROP TABLE payment CASCADE;
DROP TABLE document, spoken;
DROP FUNCTION explained, tampered;
