#include "pg/workers/extension_lock.h"

extern "C" {
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "storage/lmgr.h"
}

namespace dlent::pg {

Oid LockExtension() {
    for (;;) {
        const Oid extension = get_extension_oid("dlent", true);
        if (!OidIsValid(extension))
            return InvalidOid;
        LockDatabaseObject(ExtensionRelationId, extension, 0, AccessShareLock);
        if (get_extension_oid("dlent", true) == extension)
            return extension;
        UnlockDatabaseObject(ExtensionRelationId, extension, 0, AccessShareLock);
    }
}

}  // namespace dlent::pg
