-- dlent_explain_svg and dlent_explain_text: pictures of a document, and what they say to wrong ones.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS dlent CASCADE;
RESET client_min_messages;
CREATE EXTENSION dlent;

CREATE TABLE answer (
    id       int PRIMARY KEY,
    document jsonb,
    picture  text GENERATED ALWAYS AS (dlent_explain_svg(document)) STORED
);
INSERT INTO answer VALUES (1, $${
    "schema": "dlent.explanation/1", "model": {"name": "fraud", "version": 3},
    "method": {"name": "lime", "n": 5000, "link": "probability"},
    "prediction": {"class": "declined", "value": 0.93, "threshold": 0.8},
    "labels": [{"class": "declined", "baseline": 0.21, "local_prediction": 0.75, "residual": 0.18, "fidelity_r2": 0.41, "features": [
        {"feature": "amount", "value": 1890.5, "condition": "amount > 950", "contribution": 0.31, "std_error": 0.006},
        {"feature": "shop", "value": "a <b> & 'c'", "condition": "shop = 'a <b> & ''c'''", "contribution": 0.28, "std_error": 0.007, "rank_tied": true},
        {"feature": "since", "value": null, "contribution": -0.05, "std_error": 0.006}]}],
    "counterfactual": {"changes": [{"feature": "amount", "from": 1890.5, "to": 320}], "value": 0.61, "flips": true},
    "quality": {"grade": "ok", "warnings": []}}$$), (2, NULL);

\pset format unaligned
SELECT dlent_explain_text(document) FROM answer WHERE id = 1;
SELECT dlent_explain_text(document || '{"quality": {"grade": "unreliable", "warnings": ["No reliable reason exists."]}}')
FROM answer WHERE id = 1;
\pset format aligned

-- one stand-alone picture, the same each time, without what could run or be fetched
SELECT xml_is_well_formed_document(picture) AS well_formed,
       picture = dlent_explain_svg(document) AS same,
       picture LIKE '<svg xmlns="http://www.w3.org/2000/svg"%</svg>_' AS svg,
       picture !~* '<script|href|url\(|@import| on[a-z]+=' AS harmless,
       length(picture) = octet_length(picture) AS ascii
FROM answer WHERE id = 1;
SELECT title FROM answer, XMLTABLE(XMLNAMESPACES('http://www.w3.org/2000/svg' AS s), '//s:g/s:title' PASSING (picture::xml)
                                   COLUMNS title text PATH '.');
SELECT picture IS NULL AS null_stays_null FROM answer WHERE id = 2;

-- wrong documents
SELECT dlent_explain_svg('[]');
SELECT dlent_explain_text('{"schema": "dlent.explanation/2"}');
SELECT dlent_explain_svg(document #- '{labels,0,features,1,contribution}') FROM answer WHERE id = 1;
SELECT dlent_explain_svg(jsonb_set(document, '{labels,0,baseline}', '"low"')) FROM answer WHERE id = 1;

DROP TABLE answer;
DROP EXTENSION dlent;
