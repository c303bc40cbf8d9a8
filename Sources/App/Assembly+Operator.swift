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
}
