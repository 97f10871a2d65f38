# What sql/grants.sql cannot show: roles that log in for themselves, row security, an extension owner without superuser rights.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "dlent.progress_messages = off\nclient_min_messages = warning\n");
$node->start;

$node->safe_psql('postgres', q{
    CREATE ROLE installer LOGIN SUPERUSER;
    CREATE ROLE analyst LOGIN;
    CREATE ROLE teller LOGIN;
    GRANT CREATE ON SCHEMA public TO analyst;
});
sub as
{
    my ($role, $sql) = @_;
    my ($status, $out, $err) = $node->psql('postgres', $sql, extra_params => [ '-U', $role ], on_error_stop => 1);
    return $status == 0 ? $out : ($err =~ /ERROR:\s+(.*)/ ? "ERROR: $1" : $err);
}

as('installer', 'CREATE EXTENSION dlent');
$node->safe_psql('postgres', 'ALTER ROLE installer NOSUPERUSER');

# A role whose own schema shadows names of the extension owner's, and the other way round.
as('installer', 'SELECT 1');
$node->safe_psql('postgres', q{CREATE SCHEMA analyst AUTHORIZATION analyst; CREATE SCHEMA installer AUTHORIZATION installer;
    CREATE TABLE installer.point (x float8, y int, z boolean)});
as('analyst', q{CREATE TABLE analyst.point AS
    SELECT (i * 7919 % 1000) / 10.0 AS x, i % 13 AS y, (i * 7919 % 1000) + (i * 104729 % 601) > 800 AS z, 'teller'::name AS branch FROM generate_series(1, 300) AS i ORDER BY hashint4(i)});
is(as('analyst', q{SELECT version FROM dlent_train('m', 'point', 'z', '{"preset": "fast", "epochs": 1, "exclude": ["branch"]}')}), '1',
    'an ordinary role trains, though the extension is owned by a role without superuser rights');
is(as('analyst', q{SELECT relations -> 0 ->> 'name' FROM dlent.versions}), 'analyst.point', 'names are the caller\'s');
is(as('analyst', q{SELECT pg_get_viewdef(contract::regclass) LIKE '%FROM point%' FROM dlent.versions}), 't', 'in the contract too');
is($node->safe_psql('postgres', q{SELECT refobjid::regclass FROM pg_depend AS d JOIN pg_rewrite AS r ON r.oid = d.objid
    WHERE r.ev_class = 'dlent.contract_1_1'::regclass AND refobjid <> r.ev_class AND refclassid = 'pg_class'::regclass GROUP BY 1}), 'analyst.point', 'by its dependency');
is($node->safe_psql('postgres', q{SELECT relowner::regrole FROM pg_class WHERE relname = 'contract_1_1'}), 'analyst', 'which the role owns');

# scoring needs the grant on the model, and the table's own privileges for the rows
like(as('teller', q{SELECT dlent_predict('m', 1.0, 2)}), qr/ERROR: permission denied for model "m"/, 'another role may not score');
is(as('teller', q{SELECT count(*) FROM dlent.versions}), '0', 'nor see');
as('analyst', q{SELECT dlent_grant('m', 'predict', 'teller')});
is(as('teller', q{SELECT dlent_predict('m', 1.0, 2) IS NOT NULL}), 't', 'granted, it scores');
like(as('teller', q{SELECT dlent_evaluate('m', 'analyst.point')}), qr/ERROR: permission denied/, 'but reads no rows that it may not');
like(as('teller', q{SELECT * FROM dlent.contract_1_1}), qr/ERROR: permission denied/, 'not through the contract either');

# row security counts in training
$node->safe_psql('postgres', q{GRANT USAGE ON SCHEMA analyst TO teller; GRANT SELECT ON analyst.point TO teller;
    ALTER TABLE analyst.point ENABLE ROW LEVEL SECURITY;
    CREATE POLICY half ON analyst.point FOR SELECT TO teller USING (y < 6)});
my $allowed = as('teller', 'SELECT count(*) FROM analyst.point');
is(as('teller', q{SELECT train_rows FROM dlent_train('mine', 'analyst.point', 'z', '{"preset": "fast", "epochs": 1, "exclude": ["branch"]}')}), $allowed,
    'a role trains on the rows that it may see');
is(as('teller', q{SELECT string_agg(model, ',' ORDER BY model) FROM dlent.models}), 'm,mine', 'and sees what it owns or was granted');
is(as('analyst', q{SELECT string_agg(model, ',' ORDER BY model) FROM dlent.models}), 'm', 'each its own');
is($node->safe_psql('postgres', q{SELECT count(*) FROM dlent.models}), '2', 'a superuser sees all');

# calls with somebody else's rights
$node->safe_psql('postgres', q{
    CREATE FUNCTION ask(float8, int) RETURNS float8 LANGUAGE sql SECURITY DEFINER SET search_path = public AS $$SELECT dlent_predict('mine', $1, $2)$$;
    ALTER FUNCTION ask OWNER TO teller;
});
like(as('analyst', q{SELECT dlent_predict('mine', 1.0, 2)}), qr/ERROR: permission denied for model "mine"/, 'not by oneself');
is(as('analyst', q{SELECT ask(1.0, 2) IS NOT NULL}), 't', 'but through a function that runs as the owner');

# dropped roles
like($node->psql('postgres', 'DROP ROLE teller') ? 'refused' : 'dropped', qr/refused/, 'an owner of models cannot be dropped');
$node->safe_psql('postgres', q{SELECT dlent_drop_model('mine'); DROP FUNCTION ask; DROP OWNED BY teller; DROP ROLE teller});
is(as('analyst', q{SELECT dlent_predict('m', 1.0, 2) IS NOT NULL}), 't', 'the rest goes on');

done_testing();
