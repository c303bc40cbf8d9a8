import Platform
import Synchronization

/// Which replies of a run were accepted, so that one sent again gets its first answer and another body under the same
/// sequence is refused.
///
/// In memory and bounded. After a restart of the control plane the first sequence seen is taken as it comes: the queue's
/// de-duplication id and the message id keep a repeat harmless then.
final class ReplyLedger: Sendable {
    enum Verdict: Equatable {
        /// New: send it, then call ``accepted(_:)`` or ``failed(_:)``.
        case send
        case repeated(MessageID)
        case mismatch
        /// An earlier one is still being sent.
        case wait
        /// A sequence was left out; `expected` comes next.
        case gap(expected: Int)
    }
    private struct Entry { var hash: String; var messageId: MessageID; var accepted: Bool }
    private struct State { var entries: [Int: Entry] = [:]; var next: Int? }
    private let state: Mutex<State>
    /// - Parameter next: the sequence that must come next; nil where earlier ones may have gone to another process.
    init(next: Int?) { state = Mutex(State(next: next)) }
    private static let kept = 512

    func begin(_ sequence: Int, hash: String, messageId: MessageID) -> Verdict {
        state.withLock { state in
            if let entry = state.entries[sequence] {
                if entry.hash != hash { return .mismatch }
                return entry.accepted ? .repeated(entry.messageId) : .wait
            }
            if let next = state.next, sequence > next { return .gap(expected: next) }
            if state.entries.contains(where: { $0.key < sequence && !$0.value.accepted }) { return .wait }
            state.entries[sequence] = Entry(hash: hash, messageId: messageId, accepted: false)
            return .send
        }
    }
    /// The answer of an accepted reply with this very body.
    func answer(_ sequence: Int, hash: String) -> MessageID? {
        state.withLock { state in
            guard let entry = state.entries[sequence], entry.accepted, entry.hash == hash else { return nil }
            return entry.messageId
        }
    }
    func accepted(_ sequence: Int) {
        state.withLock { state in
            state.entries[sequence]?.accepted = true
            state.next = max(state.next ?? 0, sequence + 1)
            if state.entries.count > Self.kept {
                for old in state.entries.keys.sorted().prefix(state.entries.count - Self.kept) { state.entries[old] = nil }
            }
        }
    }
    func failed(_ sequence: Int) { state.withLock { if $0.entries[sequence]?.accepted == false { $0.entries[sequence] = nil } } }
    /// Whether this run may have sent something before.
    var hasSent: Bool { state.withLock { $0.next != 0 } }
}
