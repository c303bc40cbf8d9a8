// What glibc declares for GNU sources only, which Swift's module of it leaves out.
#ifdef __linux__
#include <spawn.h>
int pipe2(int ends[2], int flags);
int posix_spawn_file_actions_addchdir_np(posix_spawn_file_actions_t *actions, const char *path);
int posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t *actions, int from);
#endif
