/// Revisions of the protocol that we speak (https://modelcontextprotocol.io/specification).
enum ProtocolVersion {
    /// Agreed upon by `initialize`, newest first.
    static let handshake = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"]
    static var latest: String { handshake[0] }
    /// Without a handshake: each request says its version in `_meta`.
    static let stateless = "2026-07-28"

    /// Reserved `_meta` keys of ``stateless``.
    enum MetaKey {
        static let version = "io.modelcontextprotocol/protocolVersion"
        static let client = "io.modelcontextprotocol/clientInfo"
        static let capabilities = "io.modelcontextprotocol/clientCapabilities"
    }
}
