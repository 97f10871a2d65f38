/* What a call by name with 30 float8 arguments costs before it does anything. */
#include "postgres.h"

#include "fmgr.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(dlent_bench_noop);

Datum
dlent_bench_noop(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(0.0);
}
