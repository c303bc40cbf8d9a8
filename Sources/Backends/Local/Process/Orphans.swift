import Foundation
import Logging

#if os(Linux)
import Glibc

/// Sandboxes whose server was killed in the moment in which it started them: the parent-death signal was not set yet, so they
/// live on as children of init. The next server ends them; one that lives still is its sandboxes' parent.
enum Orphans {
    /// Ends every such sandbox that runs `payload` and may be ours to end.
    static func end(running payload: [String], bubblewrap: String, logger: Logger) {
        var count = 0
        for entry in (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? [] {
            guard let pid = pid_t(entry), pid > 1,
                let line = FileManager.default.contents(atPath: "/proc/\(pid)/cmdline"),
                let stat = FileManager.default.contents(atPath: "/proc/\(pid)/stat")
            else { continue }
            let words = line.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
            guard words.first == bubblewrap, words.count > payload.count + 1, words.dropFirst().first == "--args", words.suffix(payload.count).elementsEqual(payload),
                parent(String(decoding: stat, as: UTF8.self)) == 1
            else { continue }
            if kill(pid, SIGKILL) == 0 { count += 1 }
        }
        if count > 0 { logger.notice("sandboxes that an earlier server left were ended", metadata: ["count": "\(count)"]) }
    }

    /// Field 4 of proc(5)'s stat; the name before it may hold anything.
    private static func parent(_ stat: String) -> pid_t? {
        stat.split(separator: ")").last.flatMap { rest in
            let fields = rest.split(separator: " ")
            return fields.count > 1 ? pid_t(fields[1]) : nil
        }
    }
}
#endif
