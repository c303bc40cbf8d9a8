import Foundation

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// What the process takes from itself before it does anything else.
enum ProcessLimits {
    /// Largest file that the agent or its tools may write.
    static let fileBytes: UInt = 100 << 20
    static let openFiles: UInt = 4096

    /// No core dumps (they would hold the grant), bounded files; numbers of processes are the sandbox's. Never raises a limit.
    static func apply() {
        lower(coreLimit, to: 0)
        lower(openFileLimit, to: openFiles)
        lower(fileSizeLimit, to: fileBytes)
        // A file over the limit is then an error (EFBIG) and not a death.
        signal(SIGXFSZ, SIG_IGN)
        signal(SIGPIPE, SIG_IGN)
        hideFromSiblings()
    }

    /// Reads a secret from the environment and wipes it there, also from the block that `/proc/self/environ` shows.
    static func takeSecret(_ name: String) -> String? {
        guard let pointer = getenv(name) else { return nil }
        let text = String(cString: pointer)
        memset(pointer, 0, strlen(pointer))
        unsetenv(name)
        return text
    }

    #if os(Linux)
    private static var coreLimit: __rlimit_resource_t { __rlimit_resource_t(RLIMIT_CORE.rawValue) }
    private static var openFileLimit: __rlimit_resource_t { __rlimit_resource_t(RLIMIT_NOFILE.rawValue) }
    private static var fileSizeLimit: __rlimit_resource_t { __rlimit_resource_t(RLIMIT_FSIZE.rawValue) }

    private static func lower(_ resource: __rlimit_resource_t, to most: UInt) {
        var limit = rlimit()
        guard getrlimit(resource, &limit) == 0 else { return }
        limit.rlim_cur = min(limit.rlim_cur, rlim_t(most))
        limit.rlim_max = min(limit.rlim_max, rlim_t(most))
        _ = setrlimit(resource, &limit)
    }

    /// `PR_SET_DUMPABLE 0`: a shell of the same user can then neither trace this process nor read its memory or environment
    /// (prctl(2), ptrace(2)). Children get the flag back with `exec`.
    private static func hideFromSiblings() {
        // prctl is variadic, which Swift does not import; with integer arguments its calling convention on x86-64 and arm64 Linux
        // is that of a plain function.
        typealias Prctl = @convention(c) (Int32, UInt, UInt, UInt, UInt) -> Int32
        guard let symbol = dlsym(nil, "prctl") else { return }
        let setDumpable: Int32 = 4
        _ = unsafeBitCast(symbol, to: Prctl.self)(setDumpable, 0, 0, 0, 0)
    }
    #else
    private static var coreLimit: Int32 { RLIMIT_CORE }
    private static var openFileLimit: Int32 { RLIMIT_NOFILE }
    private static var fileSizeLimit: Int32 { RLIMIT_FSIZE }

    private static func lower(_ resource: Int32, to most: UInt) {
        var limit = rlimit()
        guard getrlimit(resource, &limit) == 0 else { return }
        limit.rlim_cur = min(limit.rlim_cur, rlim_t(most))
        limit.rlim_max = min(limit.rlim_max, rlim_t(most))
        _ = setrlimit(resource, &limit)
    }
    private static func hideFromSiblings() {}
    #endif
}
