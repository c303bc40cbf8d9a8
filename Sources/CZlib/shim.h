// zlib: what deflate packed in zip archives, and their checksums.
#include <zlib.h>
