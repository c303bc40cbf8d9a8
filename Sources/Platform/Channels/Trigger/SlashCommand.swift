import Foundation

/// A message that is a command rather than a question (CHANNELS.md §1.4).
public struct SlashCommand: Sendable, Hashable {
    public enum Kind: Sendable, Hashable {
        /// `/clear`, `/reset`, `/new`: the next run starts a new session.
        case clear
        case help
        /// Telegram's greeting in private chats.
        case start
        case status, stop
        /// Passed to the engine.
        case context, compact
        /// The name as it was written.
        case unknown(String)
    }
    public var kind: Kind
    public var arguments: String
    public init(kind: Kind, arguments: String = "") { self.kind = kind; self.arguments = arguments }

    /// `/`, a letter, up to 63 of `A–Z a–z 0–9 _ -`, then the end or white space. nil: ordinary text.
    public static func parse(_ text: String) -> SlashCommand? {
        let trimmed = text.trimmingCharacters(in: .whitespacesAndNewlines)
        guard trimmed.utf8.first == UInt8(ascii: "/") else { return nil }
        let name = trimmed.dropFirst().prefix(65).prefix { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_" || $0 == "-") }
        guard let first = name.first, first.isLetter, name.count <= 64 else { return nil }
        let rest = trimmed[name.endIndex...]
        guard rest.first?.isWhitespace != false else { return nil }
        return SlashCommand(kind: kind(of: String(name)), arguments: rest.trimmingCharacters(in: .whitespacesAndNewlines))
    }

    private static func kind(of name: String) -> Kind {
        switch name.lowercased() {
        case "clear", "reset", "new": .clear
        case "help": .help
        case "start": .start
        case "status": .status
        case "stop": .stop
        case "context": .context
        case "compact": .compact
        default: .unknown(name)
        }
    }
}
