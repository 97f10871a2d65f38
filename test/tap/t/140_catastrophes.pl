# What must never reach production: broken training data, a training that fails, a worker that dies in the middle of a promotion, two
# promotions at once. Each leaves the champion as it was and says why; a change of the world, with the same gates, does not.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Waiting;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'dlent'
dlent.progress_messages = off
restart_after_crash = on
client_min_messages = error
CONF
$node->start;
$node->safe_psql('postgres', q{
    CREATE EXTENSION dlent;
    CREATE FUNCTION uniform(stream int, i int) RETURNS float8 LANGUAGE sql IMMUTABLE
    RETURN (hashint8extended(i, stream) & 1048575) / 1048576.0;
    -- payments that are disputed or not, and why
    CREATE FUNCTION payments(first int, last int, turned boolean) RETURNS
        TABLE (amount float8, hour int, channel text, distance float8, weight float8, disputed boolean) LANGUAGE sql IMMUTABLE AS $$
        SELECT round((500 * uniform(1, i) ^ 2)::numeric, 2), (24 * uniform(2, i))::int % 24, (ARRAY['web', 'shop', 'phone'])[1 + i % 3],
               100 * uniform(3, i), 1.0,
               CASE WHEN turned THEN 1 - uniform(1, i) ELSE uniform(1, i) END + 0.7 * uniform(3, i) + 0.4 * uniform(4, i) > 1.35
        FROM generate_series(first, last) AS i $$;
    CREATE TABLE history AS SELECT * FROM payments(1, 4000, false);
    CREATE TABLE live AS SELECT * FROM payments(5001, 5500, false);
    SELECT dlent_train('risk', 'history', 'disputed', '{"preset": "fast", "epochs": 12, "weight_column": "weight"}');
});

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub wait_for { my ($what, $query) = @_; return wait_for_query($node, $what, $query) }

my $waits = q{"cooldown": 0, "backoff": {"period": 0}};
sub declare_monitor { my ($policy) = @_; sql(qq{SELECT dlent_monitor('risk', 'live', NULL, '{$waits$policy}')}) }
sub history { sql("TRUNCATE history; INSERT INTO history $_[0]") }
my $good = 'SELECT * FROM payments(1, 4000, false)';

# catastrophe NAME, rows, action of the event, its reason
sub catastrophe {
    my ($name, $rows, $action, $reason, %more) = @_;
    my $champion = sql(q{SELECT champion FROM dlent.models WHERE model = 'risk'});
    my $answers = sql(q{SELECT sum(dlent_predict('risk', l)) FROM live AS l});
    history($good);
    declare_monitor($more{policy} // '');
    sql($more{before}) if $more{before};
    history($rows) if $rows;
    my ($status, $out, $err) = $node->psql('postgres', q{SELECT dlent_run_monitor('risk', '{"force": "retrain"}') ->> 'decision'});
    is($status, 0, "$name: the run ends") or diag($err);
    is(sql(q{SELECT champion FROM dlent.models WHERE model = 'risk'}), $champion, "$name: the champion stays");
    is(sql(q{SELECT sum(dlent_predict('risk', l)) FROM live AS l}), $answers, "$name: and answers as before");
    my $last = sql(q{SELECT action || ': ' || reason FROM dlent.events WHERE model = 'risk' AND action LIKE 'monitor\_%' ORDER BY occurred_at DESC LIMIT 1});
    like($last, qr/^$action: .*$reason/s, "$name: says why");
    is(sql(q{SELECT state || failures FROM dlent.monitors}), 'watching1', "$name: the loop goes on watching");
    sql($more{after}) if $more{after};
}

catastrophe('shuffled labels',
    q{SELECT p.amount, p.hour, p.channel, p.distance, p.weight, q.disputed
      FROM (SELECT *, row_number() OVER (ORDER BY uniform(8, hashtext(amount::text || distance::text))) AS n FROM payments(1, 4000, false)) AS p
      JOIN (SELECT disputed, row_number() OVER (ORDER BY uniform(9, hashtext(amount::text || distance::text))) AS n FROM payments(1, 4000, false)) AS q USING (n)},
    'monitor_rejected', 'version 2 has learnt nothing that helps on held-out rows: its roc_auc is 0\.\d+, that of a constant answer 0\.5');
catastrophe('a single class', q{SELECT amount, hour, channel, distance, weight, false FROM payments(1, 4000, false)},
    'monitor_rejected_data', 'no training row has label "true"');
catastrophe('another unit', q{SELECT 1000 * amount, hour, channel, distance, weight, disputed FROM payments(1, 4000, false)},
    'monitor_rejected_data', 'of the values of "amount" are outside of the range that version 1 learnt from');
catastrophe('a column that tells the target',
    q{SELECT amount, hour, channel, CASE WHEN disputed THEN 50 ELSE 0 END + distance / 2, weight, disputed FROM payments(1, 4000, false)},
    'monitor_rejected', 'column "distance" alone almost tells the target in the rows that version \d+ learnt from');
catastrophe('a column that is known too late', undef,
    'monitor_rejected', 'version \d+ cannot answer the live rows: the record lacks column "refund"',
    before => q{ALTER TABLE history ADD refund float8; UPDATE history SET refund = CASE WHEN disputed THEN amount ELSE 0 END},
    after => q{ALTER TABLE history DROP refund CASCADE});
catastrophe('90 % NULL', q{SELECT CASE WHEN i % 10 = 0 THEN amount END, hour, channel, distance, weight, disputed
                           FROM (SELECT *, row_number() OVER () AS i FROM payments(1, 4000, false)) AS p},
    'monitor_rejected_data', '90 % of the values of "amount" are missing, where 0 % were');
catastrophe('half a load', q{SELECT * FROM payments(1, 2000, false)},
    'monitor_rejected_data', 'there are 2000 training rows with an outcome where 4000 were accepted last: less than 70 % of them');
catastrophe('a batch loaded twice', q{SELECT * FROM payments(1, 4000, false) UNION ALL SELECT * FROM payments(3001, 4000, false)},
    'monitor_rejected_data', '20 % of the training rows repeat others, where 0 % did');
catastrophe('a loss that is no number', q{SELECT amount, hour, channel, distance, CASE WHEN hour = 1 THEN 3e38 ELSE 1 END, disputed FROM payments(1, 4000, false)},
    'monitor_training_failed', 'training diverged: the gradient is not finite', policy => ', "retrain": {"class_weight": {"true": 1e6}}');
catastrophe('a broken expectation', q{SELECT amount, hour + 20, channel, distance, weight, disputed FROM payments(1, 4000, false)},
    'monitor_rejected_data', 'Expectation "hours"', policy => ', "gates": {"data": false}',
    before => q{SELECT dlent_expect('risk', 'hours', 'hour BETWEEN 0 AND 23')}, after => q{SELECT dlent_drop_expectation('risk', 'hours')});

# ---- promotions that do not go through
# The worker waits where it writes a given event, in the transaction that does what the event tells.
sql(q{
    CREATE TABLE closed (action text);
    CREATE FUNCTION wait_here() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        WHILE EXISTS (SELECT FROM public.closed AS c WHERE c.action = NEW.action) LOOP PERFORM pg_catalog.pg_sleep(0.02); END LOOP;
        RETURN NEW;
    END $$;
    CREATE TRIGGER hold BEFORE INSERT ON dlent.event FOR EACH ROW EXECUTE FUNCTION wait_here();
});
sub hold_at { my ($action) = @_; sql("INSERT INTO closed VALUES ('$action')") }
sub let_go { sql('DELETE FROM closed') }
my $held = q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'dlent job' AND wait_event = 'PgSleep'};
my $turned = 'SELECT * FROM payments(1, 4000, true)';

history($good);
declare_monitor('');
history($turned);
sql('TRUNCATE live; INSERT INTO live SELECT * FROM payments(5001, 5500, true)');
hold_at('promote');
my $job = sql(q{SELECT dlent_start_job('monitor', 'risk', '{"options": {"force": "retrain"}}')});
wait_for('the worker promotes', $held);
my $versions = sql(q{SELECT count(*) FROM dlent.versions});
my $pid = sql("SELECT pid FROM dlent.jobs WHERE job = $job");
kill 'KILL', $pid;
wait_for('the server is back, and the job at the same place', qq{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'dlent job' AND wait_event = 'PgSleep' AND pid <> $pid});
is(sql(q{SELECT champion FROM dlent.models WHERE model = 'risk'}), '1', 'killed in the middle of a promotion: the champion stays');
let_go();
is(sql("SELECT dlent_wait($job)"), 'succeeded', 'the job is resumed');
is(sql(q{SELECT count(*), min(version) = max(version) FROM dlent.events WHERE action = 'promote'}), '1|t', 'it promotes once');
is(sql(q{SELECT count(*) FROM dlent.versions}), $versions, 'what was trained is not trained again');
my $champion = sql(q{SELECT champion FROM dlent.models WHERE model = 'risk'});
isnt($champion, '1', 'and the new world has a new champion');

# Another promotes while the monitor is about to: it judged beside a champion that is none any more.
history($good);
sql('TRUNCATE live; INSERT INTO live SELECT * FROM payments(5001, 5500, false)');
declare_monitor(', "gates": {"data": false}');
hold_at('monitor_accepted');
$job = sql(q{SELECT dlent_start_job('monitor', 'risk', '{"options": {"force": "retrain"}}')});
wait_for('the worker has judged', $held);
like(($node->psql('postgres', q{SELECT dlent_run_monitor('risk')}))[2], qr/another run of the monitor of model "risk" is under way/, 'one run at a time');
my $other = $node->background_psql('postgres');
$other->query_safe('BEGIN');
$other->query_safe(q{SELECT dlent_promote('risk', 1, 'by hand')});
let_go();
wait_for('the monitor waits for the other', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'dlent job' AND wait_event_type = 'Lock' AND wait_event IN ('transactionid', 'tuple')});
$other->query_safe('COMMIT');
is(sql("SELECT dlent_wait($job)"), 'succeeded', 'the run ends');
is(sql(q{SELECT champion FROM dlent.models WHERE model = 'risk'}), '1', 'two promotions at once: one of them');
like(sql(q{SELECT action || ': ' || reason FROM dlent.events WHERE action LIKE 'monitor\_%' ORDER BY occurred_at DESC LIMIT 1}),
    qr/^monitor_stopped: version 1 has become the champion meanwhile/, 'and the other says why not');
$other->quit;

$node->stop;
done_testing();
