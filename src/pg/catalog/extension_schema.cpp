#include "pg/bridge/postgres.h"

#include "pg/catalog/extension_schema.h"

#include "pg/catalog/relations.h"

extern "C" {
#include "access/genam.h"
#include "access/table.h"
#include "catalog/pg_extension.h"
#include "utils/fmgroids.h"
}

namespace dlent::pg {

const char* ExtensionSchema() {
    const Oid extension = GetCatalogRelations().extension;
    const Relation extensions = table_open(ExtensionRelationId, AccessShareLock);
    ScanKeyData key;
    ScanKeyInit(&key, Anum_pg_extension_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(extension));
    const SysScanDesc scan = systable_beginscan(extensions, ExtensionOidIndexId, true, nullptr, 1, &key);
    const HeapTuple tuple = systable_getnext(scan);
    if (!HeapTupleIsValid(tuple))
        elog(ERROR, "extension %u is gone", extension);
    const Oid schema = reinterpret_cast<Form_pg_extension>(GETSTRUCT(tuple))->extnamespace;
    systable_endscan(scan);
    table_close(extensions, AccessShareLock);
    return quote_identifier(get_namespace_name(schema));
}

}  // namespace dlent::pg
