import Foundation
import Logging
import Platform
import Synchronization

@testable import LocalBackend

/// A data directory of one test, deleted with it.
final class Scratch: Sendable {
    let url: URL
    init() {
        url = FileManager.default.temporaryDirectory.appendingPathComponent("clawbot-local-\(UUID().uuidString)")
        try? FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }
    deinit { try? FileManager.default.removeItem(at: url) }
    subscript(name: String) -> URL { url.appendingPathComponent(name) }
}


func key(_ text: String) throws -> ObjectKey { try ObjectKey(checking: text) }

struct Timeout: Error {}

/// Waits, without a fixed time, until `condition` holds.
func eventually(_ condition: () async throws -> Bool) async throws {
    let end = ContinuousClock.now + .seconds(60)
    while try await !condition() {
        guard ContinuousClock.now < end else { throw Timeout() }
        try await Task.sleep(for: .milliseconds(2))
    }
}

let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

/// Runs a tool; false when it is missing or fails.
func shell(_ tool: String, _ arguments: String...) throws -> Bool {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: tool)
    process.arguments = arguments
    process.standardError = FileHandle.nullDevice
    process.standardOutput = FileHandle.nullDevice
    do { try process.run() } catch { return false }
    process.waitUntilExit()
    return process.terminationStatus == 0
}

/// A value that tasks of a test share.
final class Shared<T: Sendable>: Sendable {
    private let value: Mutex<T>
    init(_ value: T) { self.value = Mutex(value) }
    func withLock<R: Sendable>(_ body: @Sendable (inout T) throws -> R) rethrows -> R { try value.withLock { try body(&$0) } }
}
