import Foundation
import LocalBackend
import Logging
import Platform

/// What an operator's commands need of the backends without a running platform.
extension Installation {
    /// No core files, no debugger, from the first moment on (SEC-54).
    static func hardenProcess() { ProcessHardening.apply() }

    /// Brings the stored data to this version's schema.
    static func migrate(_ settings: PlatformConfiguration) async throws {
        let stores = try await LocalStores.open(dataDirectory: URL(fileURLWithPath: settings.dataDirectory), logger: Logger(label: "clawbot"))
        try stores.close()
    }

    enum Probe: Sendable {
        case fine(String)
        case broken(String)
    }

    /// Opens the data as `serve` would, without making any.
    static func probeData(_ settings: PlatformConfiguration) async -> Probe {
        guard FileManager.default.fileExists(atPath: settings.dataDirectory) else {
            return .fine("\(settings.dataDirectory) does not exist yet; the first start makes it")
        }
        do {
            let stores = try await LocalStores.open(dataDirectory: URL(fileURLWithPath: settings.dataDirectory), logger: Logger(label: "clawbot"))
            try await stores.records.probe()
            try await stores.objects.probe()
            try await stores.secrets.probe()
            try stores.close()
            return .fine("database, objects and secrets open in \(settings.dataDirectory)")
        } catch LocalDatabaseError.inUse {
            return .fine("in use by a running server")
        } catch { return .broken("\(error)") }
    }

    /// Builds a real sandbox; answers its level and what the operator should know about it.
    static func probeSandbox(_ settings: PlatformConfiguration) async -> (Probe, remarks: [String]) {
        do {
            let launcher = try await processLauncher(
                settings, executable: Executable.path, data: URL(fileURLWithPath: settings.dataDirectory), logger: Logger(label: "clawbot"))
            try await launcher.preflight()
            await launcher.shutdown()
            return (.fine("\(launcher.isolation)"), launcher.remarks)
        } catch ComputeError.isolationUnavailable(let reason) { return (.broken(reason), []) } catch { return (.broken("\(error)"), []) }
    }
}
