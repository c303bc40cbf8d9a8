import Foundation

/// That a user or bot was deleted: a line of the deletion ledger, which outlives the data so that an older backup cannot
/// bring back what somebody had deleted (SEC-128). Holds ids and times only.
public struct Deletion: Codable, Sendable, Hashable {
    public enum Kind: String, Codable, Sendable { case user, bot }
    public var kind: Kind
    public var id: String
    /// A bot's owner.
    public var userId: String?
    /// When the data goes for good.
    public var purgeAt: Date
    public init(kind: Kind, id: String, userId: String?, purgeAt: Date) { self.kind = kind; self.id = id; self.userId = userId; self.purgeAt = purgeAt }

    /// A restored tombstone in this state is a deletion that the next start carries out again, before anybody is served.
    public static let replayState = "replay"

    /// The ledger as text: one JSON object a line.
    public static func text(_ deletions: some Sequence<Deletion>) throws -> String { try deletions.map { try JSON.text($0) + "\n" }.joined() }

    /// - Throws: ``ArchiveError/failed(_:reason:)`` for a line that is no deletion: a ledger that cannot be read protects nobody.
    public static func parse(_ text: String, source: String) throws -> [Deletion] {
        try text.split(whereSeparator: \.isNewline).enumerated().map { number, line in
            do { return try JSON.decode(Deletion.self, from: String(line)) } catch {
                throw ArchiveError.failed(source, reason: "line \(number + 1) is no entry of a deletion list")
            }
        }
    }
}
