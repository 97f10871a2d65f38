/*
 * Latency of one prepared row: a query and one that scores alternate on one connection, with binary parameters; then the
 * first statement of fresh connections. Prints JSON, in microseconds.
 *
 * Usage: latency QUERY CALL FEATURES REPEATS CONNECTIONS, with CALL a query with parameters $1 to $FEATURES of float8.
 */
#include <libpq-fe.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_FEATURES = 256 };

static int features;
static uint64_t values[MAX_FEATURES];
static const char *pointers[MAX_FEATURES];
static int lengths[MAX_FEATURES];
static int formats[MAX_FEATURES];
static Oid types[MAX_FEATURES];

static double
microseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e6 + now.tv_nsec / 1e3;
}

static PGconn *
connect_or_die(void)
{
	PGconn *connection = PQconnectdb("");

	if (PQstatus(connection) != CONNECTION_OK)
	{
		fprintf(stderr, "%s", PQerrorMessage(connection));
		exit(1);
	}
	return connection;
}

static void
check(PGconn *connection, PGresult *result, ExecStatusType wanted)
{
	if (PQresultStatus(result) != wanted)
	{
		fprintf(stderr, "%s", PQerrorMessage(connection));
		exit(1);
	}
	PQclear(result);
}

static void
draw_features(void)
{
	for (int i = 0; i < features; i++)
	{
		double value = 2.0 * rand() / RAND_MAX - 1.0;
		uint64_t bits;

		memcpy(&bits, &value, sizeof(bits));
		values[i] = __builtin_bswap64(bits);
		pointers[i] = (const char *) &values[i];
		lengths[i] = sizeof(values[i]);
		formats[i] = 1;
		types[i] = 701;			/* float8 */
	}
}

static int
by_size(const void *a, const void *b)
{
	double x = *(const double *) a;
	double y = *(const double *) b;

	return (x > y) - (x < y);
}

static void
print(const char *name, double *samples, int count, const char *end)
{
	qsort(samples, count, sizeof(double), by_size);
	printf("\"%s\": {\"p50\": %.2f, \"p99\": %.2f}%s", name, samples[count / 2], samples[(int) (count * 0.99)], end);
}

int
main(int argc, char **argv)
{
	if (argc != 6)
		return 2;
	features = atoi(argv[3]);
	int repeats = atoi(argv[4]);
	int connections = atoi(argv[5]);
	double *empty = malloc(sizeof(double) * repeats);
	double *scored = malloc(sizeof(double) * repeats);
	double *connected = malloc(sizeof(double) * connections);
	double *first_empty = malloc(sizeof(double) * connections);
	double *first_scored = malloc(sizeof(double) * connections);

	if (features > MAX_FEATURES || repeats < 1 || connections < 1)
		return 2;
	draw_features();
	PGconn *connection = connect_or_die();

	check(connection, PQprepare(connection, "empty", argv[1], 0, NULL), PGRES_COMMAND_OK);
	check(connection, PQprepare(connection, "score", argv[2], features, types), PGRES_COMMAND_OK);
	for (int i = -100; i < repeats; i++)
	{
		double start = microseconds();

		check(connection, PQexecPrepared(connection, "empty", 0, NULL, NULL, NULL, 1), PGRES_TUPLES_OK);
		double middle = microseconds();

		check(connection, PQexecPrepared(connection, "score", features, pointers, lengths, formats, 1), PGRES_TUPLES_OK);
		double end = microseconds();

		if (i >= 0)
		{
			empty[i] = middle - start;
			scored[i] = end - middle;
		}
		draw_features();
	}
	PQfinish(connection);

	for (int i = 0; i < connections; i++)
	{
		double start = microseconds();

		connection = connect_or_die();
		connected[i] = microseconds() - start;
		start = microseconds();
		check(connection, PQexec(connection, argv[1]), PGRES_TUPLES_OK);
		first_empty[i] = microseconds() - start;
		PQfinish(connection);

		connection = connect_or_die();
		start = microseconds();
		check(connection, PQexecParams(connection, argv[2], features, types, pointers, lengths, formats, 1), PGRES_TUPLES_OK);
		first_scored[i] = microseconds() - start;
		PQfinish(connection);
	}
	printf("{");
	print("empty", empty, repeats, ", ");
	print("score", scored, repeats, ", ");
	print("connect", connected, connections, ", ");
	print("first_empty", first_empty, connections, ", ");
	print("first_score", first_scored, connections, "}\n");
	return 0;
}
