-- Step 6: decline a payment, and say why: to the analyst, to the customer, and to whoever asks in years.

\ir settings.psql

\echo
\echo '── 7. A declined payment, explained ────────────────────────────────────────────────────────────────────'
\echo 'Payments with a risk of 0.5 or more are declined. This one was, for the size of its amount:'

SELECT f.transaction_id AS declined
FROM payments.features AS f
WHERE f.tx_time >= '2025-05-05' AND dlent_predict('fraud', f) >= 0.5 AND f.terminal_risk_30d < 0.2
ORDER BY f.amount / f.customer_mean_30d DESC, f.transaction_id
LIMIT 1 \gset

SELECT f.transaction_id AS payment, to_char(f.tx_time, 'DD Mon HH24:MI') AS at, round(f.amount::numeric, 2) AS amount,
       round(f.customer_mean_30d::numeric, 2) AS "mean of 30 days", round(f.terminal_risk_7d::numeric, 2) AS "terminal's risk",
       round(dlent_predict('fraud', f)::numeric, 3) AS risk
FROM payments.features AS f
WHERE f.transaction_id = :declined;

\echo 'The analyst sees every reason with the 95 % interval of its contribution, how well the reasons add up to the answer, and the'
\echo 'smallest changes under which the network itself would have said something else. Kept, with all that is needed to make it again:'
SELECT dlent_explain('fraud', f, jsonb_build_object(
           'threshold', 0.5, 'discretizer', 'none', 'counterfactuals', 2, 'num_features', 6, 'store', true, 'key', f.transaction_id::text,
           'directions', '{"amount": "decrease", "terminal_risk_1d": "decrease", "terminal_risk_7d": "decrease",
                           "terminal_risk_30d": "decrease"}'::jsonb)) AS explanation
FROM payments.features AS f
WHERE f.transaction_id = :declined \gset
\pset format unaligned
\pset tuples_only on
SELECT dlent_explain_text(:'explanation');
\pset tuples_only off
\pset format aligned

\echo
\echo 'In a browser or a BI tool the same is a picture:'
SELECT length(dlent_explain_svg(:'explanation')) AS "bytes of SVG", left(dlent_explain_svg(:'explanation'), 53) || '…' AS picture;

\echo 'The customer is told the principal reasons in the bank''s own words, and nothing that would help a thief to adapt:'
SELECT dlent_set_reason_code('fraud', f.feature, f.code, f.template, 'raises', 'customer')
FROM (VALUES ('amount', 'R01', 'The amount is unusual.'),
             ('customer_mean_1d', 'R02', 'The amount is unusual for your account.'),
             ('customer_mean_7d', 'R02', 'The amount is unusual for your account.'),
             ('customer_mean_30d', 'R02', 'The amount is unusual for your account.'),
             ('customer_tx_1d', 'R03', 'There were unusually many payments lately.'),
             ('customer_tx_7d', 'R03', 'There were unusually many payments lately.'),
             ('terminal_risk_7d', 'R04', 'We have had reports about this shop.'),
             ('terminal_risk_30d', 'R04', 'We have had reports about this shop.')) AS f (feature, code, template) \g /dev/null
SELECT r ->> 'code' AS code, r ->> 'text' AS "we could not accept your payment because"
FROM payments.features AS f,
     jsonb_array_elements(dlent_explain('fraud', f, '{"threshold": 0.5, "discretizer": "none", "audience": "customer", "max_reasons": 2}') -> 'reasons') AS r
WHERE f.transaction_id = :declined;

\echo 'An auditor asks later: the explanation is computed again from the stored version, samples and inputs, and compared byte by byte.'
SELECT e.model, e.version, e.entity_key AS payment, e.grade, round(e.fidelity_r2::numeric, 2) AS "R²", dlent_verify_explanation(e.id) AS verified
FROM dlent.explanations AS e
WHERE e.entity_key = :'declined';

\echo 'For every payment declined in the last week: is there a way back, and what is the first thing that would have to change?'
WITH found AS (
    SELECT dlent_explain('fraud', f, '{"threshold": 0.5, "counterfactuals": 1,
                                       "directions": {"amount": "decrease", "terminal_risk_1d": "decrease",
                                                      "terminal_risk_7d": "decrease", "terminal_risk_30d": "decrease"}}')
               -> 'counterfactual' AS way
    FROM payments.features AS f
    WHERE f.tx_time >= '2025-05-05' AND dlent_predict('fraud', f) >= 0.5
)
SELECT count(*) AS declined, count(*) FILTER (WHERE (way ->> 'flips')::boolean) AS "with a way back",
       round(100.0 * count(*) FILTER (WHERE (way ->> 'flips')::boolean) / count(*), 1) AS "%",
       round(avg(jsonb_array_length(way -> 'changes')), 2) AS "changes on average",
       mode() WITHIN GROUP (ORDER BY way #>> '{changes,0,feature}') AS "most often"
FROM found;

\echo 'And the model as a whole: how much each column contributes to single answers, and how much worse it ranks the last four weeks'
\echo 'when that column is shuffled:'
SELECT g.rank, g.feature, round(g.mean_abs_contribution::numeric, 3) AS contribution,
       rpad(repeat('█', round(30 * g.mean_abs_contribution / max(g.mean_abs_contribution) OVER ())::int), 30, '·') AS " ",
       round(p.importance::numeric, 3) AS "lost when shuffled", round(p.std_error::numeric, 3) AS "±"
FROM dlent_explain_global('fraud', $$SELECT * FROM payments.features WHERE tx_time >= '2025-04-14'$$) AS g
JOIN dlent_permutation_importance('fraud', $$SELECT * FROM payments.features WHERE tx_time >= '2025-04-14'$$,
                                  '{"metric": "average_precision", "repeats": 3}') AS p USING (feature)
ORDER BY g.rank
LIMIT 8;

\echo 'How the risk depends on the amount, over a thousand payments of these weeks (mean, and between which values most of them lie):'
SELECT round(value_num::numeric) AS amount, round(mean::numeric, 3) AS risk, rpad(repeat('█', round(40 * mean)::int), 40, '·') AS " ",
       round(p25::numeric, 3) || ' … ' || round(p75::numeric, 3) AS "middle half"
FROM dlent_partial_dependence('fraud', 'amount', $$SELECT * FROM payments.features WHERE tx_time >= '2025-04-14'$$, '{"points": 9}')
ORDER BY value_num;
