import Foundation
import Platform
import ServiceLifecycle

/// Keeps the signing keys fresh: looks at start (the next key is made then, off the path to listening) and daily.
public struct KeyRotation: Service {
    let keys: SigningKeys
    let time: any TimeSource
    /// What went wrong; the next look tries again.
    let report: @Sendable (any Error) -> Void

    public init(keys: SigningKeys, time: any TimeSource = SystemTime(), report: @escaping @Sendable (any Error) -> Void) {
        self.keys = keys; self.time = time; self.report = report
    }

    public func run() async throws {
        try? await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                do { try await keys.rotateIfDue() } catch { if !Task.isCancelled { report(error) } }
                try await time.sleep(for: .seconds(86_400))
            }
        }
    }
}
