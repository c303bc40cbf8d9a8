import Foundation
import Platform
import Synchronization

/// Opens the transcripts of a process's conversation, and keeps the last one open, so that a warm turn reads nothing from the disk.
final class SessionCache: Sendable {
    struct Opened {
        var transcript: Transcript
        var wasStale: Bool
        var lastUsage: ModelUsage?
        /// Key of its last turn, if the gateway took that turn's final reply in this process: a message with the same words
        /// is then a new message, and not another try.
        var acceptedKey: String?
    }
    private struct Held { var transcript: Transcript; var usage: ModelUsage?; var key: String?; var acceptedKey: String? }
    private let held = Mutex<Held?>(nil)
    private let directory: String
    init(directory: String) { self.directory = directory }

    /// The transcript that the payload names; a new one where it names none, or one that is gone.
    func open(_ payload: InvocationPayload) async throws -> Opened {
        guard payload.forceNewSession != true, let id = payload.resumeSessionId else { return try await new(wasStale: false) }
        let warm = held.withLock { $0?.transcript.sessionID == id ? $0 : nil }
        // Somebody may have removed the session's files meanwhile.
        if let warm, FileManager.default.fileExists(atPath: Transcript.path(id, directory)) {
            return Opened(transcript: warm.transcript, wasStale: false, lastUsage: warm.usage, acceptedKey: warm.acceptedKey)
        }
        do {
            let transcript = try await Transcript.open(id, in: directory)
            return Opened(transcript: transcript, wasStale: false, lastUsage: lastUsage(id))
        } catch TranscriptError.staleSession, TranscriptError.cannotRead {
            return try await new(wasStale: true)
        }
    }

    private func new(wasStale: Bool) async throws -> Opened {
        Opened(transcript: try await Transcript.create(in: directory), wasStale: wasStale, lastUsage: nil)
    }

    func keep(_ session: NativeSession, key: String?) {
        held.withLock { $0 = Held(transcript: session.transcript, usage: session.lastUsage, key: key) }
    }
    /// The final reply of the turn kept last was accepted.
    func accepted() { held.withLock { held in
            let key = held?.key
            held?.acceptedKey = key
        } }

    /// Usage of the newest answer, for the first turn after a cold start: from the end of the file only, however long that is.
    private func lastUsage(_ id: String) -> ModelUsage? {
        guard let handle = FileHandle(forReadingAtPath: Transcript.path(id, directory)) else { return nil }
        defer { try? handle.close() }
        guard let size = try? handle.seekToEnd() else { return nil }
        let window: UInt64 = 256 << 10
        guard (try? handle.seek(toOffset: size > window ? size - window : 0)) != nil, let tail = try? handle.readToEnd() else { return nil }
        for line in tail.split(separator: 0x0a).reversed() {
            guard let entry = try? JSON.decode(TranscriptEntry.self, from: Data(line)) else { continue }
            switch entry {
            case .assistant(_, let note): return note.usage.map { ModelUsage($0) }
            case .compaction: return nil
            default: continue
            }
        }
        return nil
    }
}
