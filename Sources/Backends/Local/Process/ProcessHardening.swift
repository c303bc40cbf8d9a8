#if os(Linux)
import CLinux
#endif
import Foundation

/// What the control plane does to itself at start (SEC-54): no core files, and no other process of its uid may
/// trace it or read its memory. Call it once, before secrets are read.
public enum ProcessHardening {
    public static func apply() {
        var none = rlimit(rlim_cur: 0, rlim_max: 0)
        #if os(Linux)
        _ = setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &none)
        _ = clinux_set_dumpable(0)
        #else
        _ = setrlimit(RLIMIT_CORE, &none)
        #endif
    }

    #if os(Linux)
    static var isDumpable: Bool { clinux_get_dumpable() != 0 }
    #endif
}
