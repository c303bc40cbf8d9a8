/// A value that must not be shown. It prints as `‹redacted›` through description, interpolation and reflection,
/// is not `Codable`, and has no `==` (SEC-22, SEC-52): read it with ``reveal()`` at the one place that sends it.
public struct Secret: Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    private let text: String
    public init(_ text: String) { self.text = text }

    /// The plain text. Never log it, never store it outside a `SecretStore`.
    public func reveal() -> String { text }
    public var isEmpty: Bool { text.isEmpty }
    public var description: String { "‹redacted›" }
    public var debugDescription: String { "‹redacted›" }
    public var customMirror: Mirror { Mirror(self, children: [:]) }
}
