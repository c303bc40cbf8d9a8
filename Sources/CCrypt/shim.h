// crypt_r(3) of libxcrypt: bcrypt for imported accounts.
#include <crypt.h>
#include <stdlib.h>
#include <string.h>

/// The hash of `phrase` under the setting of `stored`, into `out`; 0 when the library refuses the setting.
static inline int ccrypt_hash(const char *phrase, const char *stored, char *out, size_t size) {
    struct crypt_data *data = calloc(1, sizeof *data);
    if (!data) return 0;
    const char *hash = crypt_r(phrase, stored, data);
    int good = hash && hash[0] != '*' && strlen(hash) < size;
    if (good) memcpy(out, hash, strlen(hash) + 1);
    memset(data, 0, sizeof *data);
    free(data);
    return good;
}
