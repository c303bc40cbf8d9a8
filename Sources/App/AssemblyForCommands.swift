import Foundation
import LocalBackend
import Logging
import Platform

// What the commands need of the backend beside a whole installation.
extension Installation {
    /// Before any secret is read: no core file, no reading by others of the same uid.
    static func hardenProcess() { ProcessHardening.apply() }

    /// Brings the stored data to this version's schema.
    /// - Throws: an error whose description is a sentence for the operator, as when a server runs on the same data.
    static func migrate(_ settings: PlatformConfiguration) async throws {
        try await openStores(settings).close()
    }

    /// Whether the stores of a configuration open and answer.
    enum DataProbe { case fine, inUse, broken(String) }

    static func probeData(_ settings: PlatformConfiguration) async -> DataProbe {
        do {
            let stores = try await openStores(settings)
            try await stores.records.probe()
            try await stores.objects.probe()
            try await stores.secrets.probe()
            try stores.close()
            return .fine
        } catch LocalDatabaseError.inUse { return .inUse } catch { return .broken("\(error)") }
    }

    private static func openStores(_ settings: PlatformConfiguration) async throws -> LocalStores {
        try await LocalStores.open(dataDirectory: URL(fileURLWithPath: settings.dataDirectory), logger: Logger(label: "clawbot"))
    }
}
