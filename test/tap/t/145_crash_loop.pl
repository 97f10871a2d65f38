# The whole loop (retrain, gates, shadow, canary, promotion, with traffic and outcomes all the time) under kill -9 of each of its processes at
# random moments, through the promotion of a standby, and on a full disk: after every blow the catalog tells one story.
#
# DLENT_CRASH_SEED chooses the order and the moments.

use strict;
use warnings;

use IPC::Run ();
use List::Util qw(shuffle);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use KillServer;
use Waiting;
use Time::HiRes qw(time usleep);

my $seed = $ENV{DLENT_CRASH_SEED} || 20261127;
srand($seed);
note("seed $seed");

my $node = PostgreSQL::Test::Cluster->new('primary');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'dlent'
dlent.progress_messages = off
dlent.sketch_interval = 1
restart_after_crash = on
autovacuum = off
jit = off
client_min_messages = error
max_worker_processes = 16
work_mem = 64MB
shared_buffers = 32MB
wal_retrieve_retry_interval = 200ms
wal_keep_size = 512MB
CONF
$node->start;

sub answer { my ($sql, $on) = @_; return try_query($on // $node, $sql) }
sub as { my ($role, $sql, $on) = @_; return ($on // $node)->safe_psql('postgres', $sql, extra_params => [ '-U', $role ]) }

# Until a query, or a sub, says so.
sub wait_for {
    my ($what, $is_so, $on) = @_;
    return 1 if wait_until($what, sub { my $out = ref $is_so ? $is_so->() : answer($is_so, $on); return $out && $out ne 'f' });
    diag(answer('SELECT state, progress FROM dlent.monitor; SELECT run, step, name, decision, reason FROM dlent.monitor_step ORDER BY run DESC, step DESC LIMIT 10;
        SELECT job, action, state, pid, attempts, message FROM dlent.jobs ORDER BY job DESC LIMIT 5; SELECT schedule, paused, reason, next_run FROM dlent.schedules', $on) // 'no server');
    return 0;
}

# Callers call again or do not. What makes them turns over with every promotion, so the champion is always the wrong one for the world, and a
# candidate that has learnt from it is always better.
$node->safe_psql('postgres', q{
    CREATE ROLE analyst LOGIN;
    CREATE ROLE visitor LOGIN;
    CREATE EXTENSION dlent;
    GRANT CREATE ON SCHEMA public TO analyst;
    SET ROLE analyst;
    CREATE FUNCTION uniform(stream int, i int) RETURNS float8 LANGUAGE sql IMMUTABLE
    RETURN (hashint8extended(i, stream) & 1048575) / 1048576.0;
    CREATE FUNCTION calls(first int, last int, season int) RETURNS TABLE (id int, minutes float8, hour float8, again boolean) LANGUAGE sql IMMUTABLE AS $$
        SELECT i, 30 * uniform(1, i), 24 * uniform(2, i), CASE season WHEN 0 THEN uniform(1, i) ELSE 1 - uniform(1, i) END + 0.2 * uniform(2, i) > 0.6
        FROM generate_series(first, last) AS i $$;
    SELECT dlent_train('again', 'SELECT * FROM calls(1, 400, 0)', 'again', '{"preset": "fast", "epochs": 5, "exclude": ["id"]}');
    CREATE VIEW season AS SELECT (1 + count(*))::int % 2 AS season FROM dlent.events WHERE model = 'again' AND action = 'promote';
    CREATE VIEW call AS SELECT c.* FROM season AS s, calls(1, 400, s.season) AS c;
    CREATE VIEW recent AS SELECT c.* FROM season AS s, calls(401, 500, s.season) AS c;
    SELECT dlent_observe('again', '{"sample": 1, "unit": "id", "key": "id"}');
    SELECT dlent_grant('again', 'predict', 'visitor'), dlent_grant('again', 'manage', 'visitor');
    CREATE SEQUENCE call_number START 100;
    GRANT USAGE ON SEQUENCE call_number TO visitor;
    GRANT SELECT ON season TO visitor;
    -- Each call is answered once, and its outcome is told.
    CREATE PROCEDURE answer_calls() LANGUAGE plpgsql AS $$
    DECLARE first int; season int;
    BEGIN
        LOOP
            first := 50 * nextval('call_number');
            SELECT s.season INTO season FROM public.season AS s;
            PERFORM count(dlent_predict('again', c)) FROM calls(first, first + 49, season) AS c;
            PERFORM dlent_record_outcomes('again', format('SELECT id::text AS key, again AS value FROM calls(%s, %s, %s)', first, first + 49, season));
            COMMIT;
            PERFORM pg_sleep(0.02);
        END LOOP;
    END $$;
});
my $rule = q{"unit": "id", "min_duration": 0, "min_outcomes": 50, "max_duration": "30 seconds"};
my $policy = qq{{"train_source": "call", "triggers": {"age": 0.001}, "cooldown": 0, "backoff": {"period": 0},
    "gates": {"data": false, "leaks": false}, "rollout": {"shadow": {$rule}, "canary": {"steps": [0.5, 1], $rule}},
    "job": {"quarantine_after": 0, "resumes": 100, "retries": 100, "retry_period": 0.1, "backoff": "none"}}};
sub declare { return as('analyst', "SELECT dlent_monitor('again', 'recent', '1 second', '$policy')", $_[0]) }
declare();

# ---- what must be true at any time
my @story = (
    'the champion exists' => q{(SELECT count(*) = 1 FROM dlent.model AS m JOIN dlent.version AS v ON v.model_id = m.id AND v.number = m.champion)},
    'the champion answers' => q{(SELECT dlent_predict_version('again', m.champion, c) BETWEEN 0 AND 1 FROM dlent.models AS m, calls(1, 1, 0) AS c)},
    'the model answers' => q{(SELECT bool_and(dlent_predict('again', c) BETWEEN 0 AND 1) FROM calls(1, 50, 0) AS c)},
    'it is what was promoted last' => q{(SELECT champion FROM dlent.model) = COALESCE((SELECT version FROM dlent.event WHERE action = 'promote' ORDER BY id DESC LIMIT 1), 1)},
    'versions are numbered one by one' => q{(SELECT count(*) = max(v.number) AND max(v.number) = max(m.versions) FROM dlent.version AS v, dlent.model AS m)},
    'every version is trained once' => q{(SELECT count(*) = count(DISTINCT version) AND count(*) = (SELECT count(*) FROM dlent.version) FROM dlent.event WHERE action = 'train')},
    'no step of a version is taken twice' => q{NOT EXISTS (SELECT FROM dlent.event AS e WHERE e.version IS NOT NULL AND (e.action LIKE 'monitor\_%' OR e.action IN ('train', 'promote'))
        GROUP BY e.action, e.version HAVING count(*) > 1 AND e.action <> 'monitor_canary_advanced')},
    'what is promoted has passed the gates, the shadow and the canary, in this order' => q{NOT EXISTS (SELECT FROM dlent.event AS p WHERE p.action = 'promote' AND
        (SELECT string_agg(e.action, ' ' ORDER BY e.id) FROM dlent.event AS e WHERE e.version = p.version AND e.id <= p.id AND e.action IN ('train', 'monitor_trained', 'monitor_accepted', 'monitor_shadow', 'monitor_shadow_passed', 'monitor_canary', 'promote'))
            IS DISTINCT FROM 'train monitor_trained monitor_accepted monitor_shadow monitor_shadow_passed monitor_canary promote')},
    'the monitor knows of every promotion' => q{NOT EXISTS (SELECT FROM dlent.event AS p WHERE p.action = 'promote' AND NOT EXISTS (SELECT FROM dlent.event AS e WHERE e.action = 'monitor_promoted' AND e.version = p.version))},
    'events and steps of the monitor are one' => q{(SELECT count(*) FROM dlent.event WHERE action LIKE 'monitor\_%') = (SELECT count(*) FROM dlent.monitor_step WHERE decision NOT IN ('quiet', 'waits', 'held'))},
    'a version is tried out once in each way' => q{NOT EXISTS (SELECT FROM dlent.rollout AS r JOIN dlent.rollout_arm AS a ON a.rollout_id = r.id AND a.arm = 1 GROUP BY r.mode, a.version HAVING count(*) > 1)},
    'steps of a rollout are taken once' => q{NOT EXISTS (SELECT FROM dlent.rollout AS r WHERE r.mode = 'canary' AND r.step - 1 + (r.state = 'promoted')::int <>
        (SELECT count(*) FROM dlent.event AS e WHERE e.action IN ('advance', 'promote') AND (e.details ->> 'rollout')::bigint = r.id))},
    'the rollout under way is the one that the model names' => q{(SELECT array_agg(id) FROM dlent.rollout WHERE ended_at IS NULL) IS NOT DISTINCT FROM (SELECT CASE WHEN rollout IS NOT NULL THEN ARRAY[rollout] END FROM dlent.model)},
    'and the one that the monitor watches' => q{(SELECT to_jsonb(m.rollout) IS NOT DISTINCT FROM o.progress -> 'rollout' AND (m.rollout IS NULL OR o.state = (SELECT mode FROM dlent.rollout WHERE id = m.rollout)) FROM dlent.model AS m, dlent.monitor AS o)},
    'its arms are champion and candidate' => q{(SELECT m.rollout IS NULL OR (SELECT array_agg(a.version ORDER BY a.arm) = ARRAY[m.champion, (o.progress ->> 'candidate')::int] FROM dlent.rollout_arm AS a WHERE a.rollout_id = m.rollout) FROM dlent.model AS m, dlent.monitor AS o)},
    'every time of the schedule at most once' => q{NOT EXISTS (SELECT FROM dlent.job WHERE scheduled_for IS NOT NULL GROUP BY schedule_id, scheduled_for HAVING count(*) > 1)},
    'times are those of the schedule' => q{NOT EXISTS (SELECT FROM dlent.job AS j JOIN dlent.schedule AS s ON s.id = j.schedule_id WHERE mod(extract(epoch FROM j.scheduled_for - s.created_at) * 1000000, 1000000) <> 0)},
    'no job succeeds twice, or without a run that did' => q{NOT EXISTS (SELECT FROM dlent.job AS j LEFT JOIN dlent.job_run AS r ON r.job_id = j.id AND r.state = 'succeeded' GROUP BY j.id HAVING count(r.id) <> (j.state = 'succeeded')::int)},
    'one run of the monitor at a time' => q{(SELECT count(*) <= 1 FROM dlent.job WHERE state = 'running')},
    'no step is left by a run that did not take it' => q{NOT EXISTS (SELECT FROM dlent.monitor_step GROUP BY run HAVING count(*) <> max(step))},
    'no answer is recorded twice' => q{(SELECT count(*) = count(DISTINCT (request, arm, version, shadow)) AND count(*) = count(DISTINCT (key, version, shadow)) FROM dlent.prediction)},
    'answers are those of versions' => q{NOT EXISTS (SELECT FROM (SELECT DISTINCT p.model_id, p.version FROM dlent.prediction AS p) AS p WHERE NOT EXISTS (SELECT FROM dlent.version AS v WHERE v.model_id = p.model_id AND v.number = p.version))},
    'only shadows are shadows' => q{NOT EXISTS (SELECT FROM (SELECT DISTINCT p.rollout_id, p.arm, p.version, p.shadow FROM dlent.prediction AS p WHERE p.rollout_id IS NOT NULL AND p.arm IS NOT NULL) AS p
        LEFT JOIN dlent.rollout_arm AS a USING (rollout_id, arm, version, shadow) WHERE a.arm IS NULL)},
);
my @checks;
while (my ($name, $condition) = splice @story, 0, 2) { push @checks, "CASE WHEN ($condition) IS NOT TRUE THEN '$name' END" }
# under one snapshot; what is checked is not recorded
my $contradictions = q{SET dlent.prediction_log = off; BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT concat_ws(', ', } . join(', ', @checks) . '); COMMIT';
sub is_one_story { my ($after, $on) = @_; return is(as('postgres', $contradictions, $on), '', "$after: one story") }
# A running job whose process is gone is seen to by the scheduler.
my $no_orphans = q{SELECT count(*) = 0 FROM dlent.jobs WHERE state = 'running' AND pid IS NULL};
sub promotions { my ($on) = @_; return as('postgres', q{SELECT count(*) FROM dlent.event WHERE action = 'promote'}, $on) }
# Everything is at work again, by itself: the writer records, and the loop goes on to its next end.
sub goes_on {
    my ($after, $on) = @_;
    my ($steps, $answers, $ends) = split /\|/, as('postgres', q{SELECT (SELECT max(run) FROM dlent.monitor_step), (SELECT max(id) FROM dlent.prediction), (SELECT coalesce(max(id), 0) FROM dlent.event WHERE action = 'monitor_promoted')}, $on);
    ok(wait_for("$after: the loop goes on", sub {
        (answer("SELECT (SELECT max(run) > $steps FROM dlent.monitor_step) AND (SELECT max(id) > $answers FROM dlent.prediction) AND (SELECT max(id) > $ends FROM dlent.event WHERE action = 'monitor_promoted')", $on) // 'f') eq 't' }), "$after: the loop goes on to another promotion");
}

# ---- traffic, as long as its file is there; whoever is killed is followed by the next
sub begin_traffic {
    my ($on) = @_;
    my $flag = $on->basedir . '/traffic';
    append_to_file($flag, '');
    my $calls = IPC::Run::start([ 'sh', '-c', 'while [ -e "$1" ]; do psql -X -q -d "$2" -U visitor -c "CALL answer_calls()"; sleep 0.1; done', 'sh', $flag, $on->connstr('postgres') ], '>', '/dev/null', '2>&1');
    return { flag => $flag, calls => $calls, on => $on };
}
sub end_traffic {
    my ($traffic) = @_;
    unlink $traffic->{flag};
    answer(q{SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'visitor'}, $traffic->{on});
    IPC::Run::finish($traffic->{calls});
}

# ---- processes, as the system knows them
my %titles = (
    'job worker' => qr/\bdlent job worker\b/,
    'scheduler' => qr/\bdlent scheduler\b/,
    'launcher' => qr/\bdlent launcher\b/,
    'prediction writer' => qr/\bdlent prediction writer\b/,
    'scoring backend' => qr/\bvisitor postgres \S+ CALL/,
);
my %hit;
# Kills one process of a kind; true when it was alive until then, of which the server's log is the witness.
sub kill_one {
    my ($kind) = @_;
    my $postmaster = postmaster_of($node);
    my ($pid) = map { my %p = processes($postmaster); grep { $p{$_} =~ $titles{$kind} } sort keys %p } 1;
    return 0 if !$pid;
    usleep(int(rand(60_000))) if $kind eq 'job worker';    # the others live on
    my $log = -s $node->logfile;
    return 0 if !kill('KILL', $pid);
    my $until = time() + 10;
    while (time() < $until) {
        my $said = slurp_file($node->logfile, $log);
        return 1 if $said =~ /\(PID $pid\) was terminated by signal 9/;
        return 0 if $said =~ /\(PID $pid\) exited with/ || !-e "/proc/$pid";
        usleep(2_000);
    }
    return 0;
}
sub kill_all {
    my ($alive, @killed) = kill_server($node);
    # of the others some may just have ended
    return $alive && !grep { my $title = $_; !grep { /$title/ } @killed } $titles{'launcher'}, qr/\bcheckpointer\b/, qr/\bwalwriter\b/;
}

# ---- a standby from before, which follows all the time
$node->backup('before', backup_options => [ '--checkpoint=fast' ]);
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'before', has_streaming => 1);
$standby->start;

# ---- twenty blows
my $traffic = begin_traffic($node);
my @kinds = sort keys %titles;
my @victims = shuffle((@kinds, 'postmaster') x 3, ('job worker') x 2);
my %states;
for my $blow (1 .. @victims) {
    my $victim = $victims[ $blow - 1 ];
    usleep(int(rand(700_000)));
    my $begun = time();
    if ($victim eq 'postmaster') {
        $hit{$victim}++ if kill_all();
    }
    else {
        $hit{$victim}++ if wait_for("a living $victim", sub { kill_one($victim) });
    }
    wait_for("blow $blow: the server", 'SELECT true');
    wait_for("blow $blow: no job is stuck", $no_orphans);
    my $state = answer('SELECT state FROM dlent.monitor');
    $states{$state}++;
    is_one_story(sprintf 'blow %d, %s, %s', $blow, $victim, $state) or last;
}
is_deeply(\%hit, { 'job worker' => 5, map { $_ => 3 } 'launcher', 'postmaster', 'prediction writer', 'scheduler', 'scoring backend' }, 'every blow hit a living process');
note('found the monitor at ' . join ', ', map { "$_ $states{$_}" } sort keys %states);
goes_on('after twenty blows');
is(as('postgres', q{SELECT count(*) FROM dlent.job_run AS r JOIN dlent.job AS j ON j.id = r.job_id WHERE r.state = 'running' AND j.state <> 'running'}), '0', 'no attempt is left open');
cmp_ok(as('postgres', q{SELECT count(*) FROM dlent.job_runs WHERE state = 'interrupted'}), '>=', 5, 'attempts were interrupted');
is(as('postgres', q{SELECT count(*) FROM dlent.job WHERE state = 'failed'}), '0', 'and no job failed');
note('promotions: ' . promotions());
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal (?!9)/, 'nothing died but what was killed');

# ---- a standby takes over in the middle of a rollout
wait_for('a rollout', q{SELECT rollout IS NOT NULL FROM dlent.model});
$node->wait_for_catchup($standby);
is_one_story('on the standby', $standby);
$node->kill9;
end_traffic($traffic);
$standby->promote;
$traffic = begin_traffic($standby);
wait_for('no job is stuck', $no_orphans, $standby);
is_one_story('promoted', $standby);
goes_on('promoted', $standby);
is_one_story('after its first promotion', $standby);

# ---- no room for as much as another job: a schedule waits until there is
my $said_before = -s $standby->logfile;
as('postgres', q{
    CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE LOG 'asked for room'; RAISE 'no room' USING ERRCODE = 'disk_full'; END $$;
    CREATE TRIGGER no_room BEFORE INSERT ON dlent.job FOR EACH ROW EXECUTE FUNCTION no_room();
}, $standby);
ok(wait_for('a schedule finds no room', sub { return slurp_file($standby->logfile, $said_before) =~ /dlent: .*schedule \d.*: no room/ }), 'no room: a schedule finds none');
usleep(1_500_000);
as('postgres', 'DROP TRIGGER no_room ON dlent.job', $standby);
cmp_ok(scalar(() = slurp_file($standby->logfile, $said_before) =~ /asked for room$/mg), '<', 10, 'no room: it does not try without pause');
is(as('postgres', 'SELECT count(*) FROM dlent.schedules WHERE paused', $standby), '0', 'no room: it is not given up');
goes_on('no room', $standby);

# ---- a full disk: the data on a small one of their own, the WAL elsewhere
end_traffic($traffic);
my $data = $standby->data_dir;
my $ballast = "$data/base/ballast";
$standby->stop;
my ($user, $group) = ($<, $( =~ s/ .*//r);
# who may not mount may in a namespace of one's own, where the server is whom it was
my $mounted = system('unshare', '-r', '-m', 'sh', '-c', q{
    cp -a "$1/base" "$1/../base" && size=$(($(du -s -k "$1/base" | cut -f 1) + 16384)) && mount -t tmpfs -o "size=${size}k,mode=700" none "$1/base" &&
    cp -a --sparse=never "$1/../base/." "$1/base/" && exec unshare -U --map-user="$2" --map-group="$3" pg_ctl -w -s -D "$1" -l "$4" start
}, 'sh', $data, $user, $group, $standby->logfile) == 0;
SKIP: {
    skip 'no file system can be mounted: nothing is known of a full disk', 8 if !$mounted;
    $standby->_update_pid(1);
    my $log = -s $standby->logfile;
    my $said = sub { return slurp_file($standby->logfile, $log) };
    my $scored = 0;
    my $score = sub { $scored += as('visitor', q{SELECT count(dlent_predict('again', c)) FROM (SELECT 50 * nextval('call_number')::int AS first) AS n, calls(n.first, n.first + 49, 0) AS c}, $standby) };
    # declared anew, it has a retrain to begin with
    declare($standby);
    as('analyst', 'SELECT dlent_pause_schedule(schedule) FROM dlent.monitors', $standby);
    wait_for('the last job', q{SELECT count(*) = 0 FROM dlent.jobs WHERE finished_at IS NULL}, $standby);
    my $standing = q{SELECT champion, versions FROM dlent.models};
    my $before = as('postgres', $standing, $standby);
    as('postgres', "COPY (SELECT 1) TO PROGRAM 'dd if=/dev/zero of=$ballast bs=8k 2>&1 || true'", $standby);
    as('analyst', 'SELECT dlent_resume_schedule(schedule) FROM dlent.monitors', $standby);
    # where there is room to say so, the attempt or the monitor's step has failed; otherwise its worker has
    my $failed = q{SELECT EXISTS (SELECT FROM dlent.job_run WHERE sqlstate = '53100') OR EXISTS (SELECT FROM dlent.monitor_step WHERE reason LIKE '%No space left%')};
    ok(wait_for('the writer and a job find no room', sub {
        $score->();
        return $said->() =~ /recorded answers were not written: .*No space left/
            && ($said->() =~ /ERROR:  .*No space left.*\n(.*\n){1,4}.*background worker "dlent job/ || answer($failed, $standby) eq 't') }), 'full: the writer and a job find no room');
    cmp_ok($scored, '>', 0, 'full: answers go on');
    is(as('postgres', $standing, $standby), $before, 'full: the champion is unchanged');
    is_one_story('full', $standby);
    as('postgres', "COPY (SELECT 1) TO PROGRAM 'rm $ballast'", $standby);
    $traffic = begin_traffic($standby);
    goes_on('room again', $standby);
    end_traffic($traffic);
    is_one_story('room again', $standby);
    is(as('postgres', 'SELECT count(*) FROM dlent.schedules WHERE paused', $standby), '0', 'no schedule has been given up');
    $standby->stop;
}
unlike(slurp_file($standby->logfile), qr/PANIC|TRAP|terminated by signal/, 'nobody died there');
done_testing();
