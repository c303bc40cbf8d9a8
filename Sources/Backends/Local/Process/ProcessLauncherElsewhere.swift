#if !os(Linux)
import Logging
import Platform

/// Sandboxed processes need Linux namespaces; elsewhere agents run in containers (`compute.backend: container`).
public actor ProcessLauncher: TaskLauncher {
    public nonisolated let supportsWarmTasks = false
    public nonisolated let isolation = IsolationLevel.none
    public nonisolated let remarks: [String] = [ProcessLauncher.sentence]
    private static let sentence = "sandboxed processes need Linux (bubblewrap); use compute.backend: container on this system"

    public init(_ settings: SandboxSettings, logger: Logger) async throws { throw ComputeError.isolationUnavailable(Self.sentence) }
    public func launch(_ request: LaunchRequest) throws -> LaunchedTask { throw ComputeError.isolationUnavailable(Self.sentence) }
    public func describe(_ ids: [LaunchID]) -> [LaunchID: LaunchState] { [:] }
    public func stop(_ id: LaunchID) {}
    public func list() -> [LaunchID] { [] }
    public func waitUntilGone(_ id: LaunchID) {}
    public func probe() throws { throw ComputeError.isolationUnavailable(Self.sentence) }
    public func preflight() throws { throw ComputeError.isolationUnavailable(Self.sentence) }
    public func shutdown() {}
}
#endif
