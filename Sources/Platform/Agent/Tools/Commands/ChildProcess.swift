import CLinux
import Foundation

/// Starts a program in a session and process group of its own, with signals as programs expect them and no descriptor of ours but the
/// ones given.
enum ChildProcess {
    /// - Parameter input: what it reads; nil = nothing.
    static func spawn(
        _ executable: String, _ arguments: [String], environment: [String: String], directory: String, input: Int32? = nil, output: Int32, errors: Int32
    ) throws(ToolError) -> pid_t {
        #if canImport(Darwin)
            var actions: posix_spawn_file_actions_t?
            var attributes: posix_spawnattr_t?
        #else
            var actions = posix_spawn_file_actions_t()
            var attributes = posix_spawnattr_t()
        #endif
        posix_spawn_file_actions_init(&actions)
        posix_spawnattr_init(&attributes)
        defer {
            posix_spawn_file_actions_destroy(&actions)
            posix_spawnattr_destroy(&attributes)
        }
        if let input { posix_spawn_file_actions_adddup2(&actions, input, 0) } else { posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0) }
        posix_spawn_file_actions_adddup2(&actions, output, 1)
        posix_spawn_file_actions_adddup2(&actions, errors, 2)
        posix_spawn_file_actions_addchdir_np(&actions, directory)
        // Signals as a program expects them: a server ignores SIGPIPE, and that would be inherited.
        var signals = sigset_t()
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        #if canImport(Darwin)
            let flags = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID | POSIX_SPAWN_CLOEXEC_DEFAULT
        #else
            posix_spawn_file_actions_addclosefrom_np(&actions, 3)
            // POSIX_SPAWN_SETSID of <spawn.h>, which Swift does not import.
            let flags = Int32(POSIX_SPAWN_SETSIGDEF) | Int32(POSIX_SPAWN_SETSIGMASK) | 0x80
        #endif
        posix_spawnattr_setflags(&attributes, Int16(flags))
        let words = ([executable] + arguments).map { strdup($0) } + [nil]
        let variables = environment.map { strdup("\($0)=\($1)") } + [nil]
        defer { for word in words + variables { free(word) } }
        var process: pid_t = 0
        let code = posix_spawn(&process, executable, &actions, &attributes, words, variables)
        guard code == 0 else {
            switch code {
            case E2BIG: throw ToolError("The command is too long (at most about 128 KiB): put it into a file and run that.")
            case EAGAIN, ENOMEM: throw ToolError("The command cannot be started: no more processes or memory are allowed now.")
            default: throw ToolError("The command cannot be started: \(String(cString: strerror(code))).")
            }
        }
        return process
    }
}
