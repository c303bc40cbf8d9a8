import CLinux
import Foundation
import Platform

/// The CLI's transcripts of a conversation, which it resumes by their ids, and where the current turn began.
///
/// The CLI appends to its transcript as it works. A try that never brought an answer must not be part of the conversation, or the next
/// try of the same message would find it there: so a marker names the message and the length before it, and the next try of that
/// message cuts the transcript back. A stopped run's message is never tried again, so what it did stays.
struct CLISession: Sendable {
    private struct Marker: Codable {
        var session: String
        var size: Int
        var key: String
    }
    /// `projects` of the CLI's configuration: kept with the session's files.
    let projects: String
    let id: String
    let isResumed: Bool
    let wasStale: Bool
    private var markerFile: String { projects + "/turn.json" }

    /// - Parameter sessionFiles: `~/.claude`.
    init(_ payload: InvocationPayload, sessionFiles: String) throws {
        let projects = sessionFiles + "/transcripts/claude-code"
        self.projects = projects
        // A link that an agent left here would have the transcripts elsewhere.
        if let status = FileAccess.status(projects, followingLinks: false), status.kind != .folder { try FileManager.default.removeItem(atPath: projects) }
        try FileManager.default.createDirectory(atPath: projects, withIntermediateDirectories: true)
        let wanted = payload.resumeSessionId.flatMap { UUID(uuidString: $0) }?.uuidString.lowercased()
        let file = wanted.flatMap { Self.transcript($0, in: projects) }
        isResumed = file != nil
        wasStale = payload.resumeSessionId != nil && file == nil
        let id = wanted.flatMap { file == nil ? nil : $0 } ?? UUID().uuidString.lowercased()
        self.id = id
        try begin(TurnKey.of(payload), file)
    }

    /// Where the conversation is written; nil before its first turn.
    var transcript: String? { Self.transcript(id, in: projects) }

    private func begin(_ key: String?, _ file: String?) throws {
        let marker = FileManager.default.contents(atPath: markerFile).flatMap { try? JSON.decode(Marker.self, from: $0) }
        guard let file, let key else {
            try? FileManager.default.removeItem(atPath: markerFile)
            return
        }
        var size = Self.size(file)
        if let marker, marker.session == id, marker.key == key, marker.size < size {
            guard truncate(file, off_t(marker.size)) == 0 else { throw TranscriptError.cannotWrite("an unfinished turn cannot be taken back") }
            size = marker.size
        }
        try JSON.encode(Marker(session: id, size: size, key: key)).write(to: URL(filePath: markerFile), options: .atomic)
    }

    /// The gateway has the answer: the turn is part of the conversation.
    func commit() { try? FileManager.default.removeItem(atPath: markerFile) }

    private static func transcript(_ id: String, in projects: String) -> String? {
        let folders = (try? FileManager.default.contentsOfDirectory(atPath: projects)) ?? []
        return folders.sorted().lazy.map { "\(projects)/\($0)/\(id).jsonl" }.first { FileAccess.status($0, followingLinks: false)?.kind == .file && size($0) > 0 }
    }
    private static func size(_ path: String) -> Int { (try? FileManager.default.attributesOfItem(atPath: path)[.size] as? Int) ?? 0 }
}

/// The CLI's configuration directory for one run: made empty, so that nothing that an agent wrote in an earlier run is in it (SEC-68).
struct CLIHome: Sendable {
    let path: String
    var promptFile: String { path + "/append-system-prompt.md" }

    init(projects: String) throws {
        path = NSTemporaryDirectory() + (NSTemporaryDirectory().hasSuffix("/") ? "" : "/") + "cli-\(ULID.make())"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
        try FileManager.default.createSymbolicLink(atPath: path + "/projects", withDestinationPath: projects)
    }
    func remove() { try? FileManager.default.removeItem(atPath: path) }
}

/// A CLI transcript as messages, for `conversations/`.
enum CLITranscript {
    /// What was said since the conversation was last compacted.
    static func messages(_ path: String, limit: Int = 64 << 20) -> [ChatMessage] {
        guard let (bytes, _) = try? FileAccess.contents(path, limit: limit) else { return [] }
        var messages: [ChatMessage] = []
        for line in bytes.split(separator: 0x0a) {
            guard let entry = try? JSON.value(Data(line)), entry["isSidechain"] != true else { continue }
            if entry["subtype"] == "compact_boundary" { messages = []; continue }
            guard let type = entry["type"]?.string, type == "user" || type == "assistant", entry["isMeta"] != true, let message = entry["message"] else { continue }
            if let text = message["content"]?.string {
                messages.append(type == "user" ? .user(text) : .assistant(text))
            } else if let data = try? JSON.data(.object(["role": .string(type), "content": message["content"] ?? .array([])])),
                let decoded = try? JSON.decode(ChatMessage.self, from: data)
            {
                messages.append(decoded)
            }
        }
        return messages
    }
}
