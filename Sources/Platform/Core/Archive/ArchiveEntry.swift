import Foundation

/// One file, folder or link of an archive.
public struct ArchiveEntry: Sendable, Hashable {
    public enum Kind: Sendable, Hashable {
        /// Size in bytes.
        case file(size: Int)
        case folder
        case link(target: String)
    }
    /// Relative, `/`-separated, without a slash at its end.
    public var name: String
    public var kind: Kind
    /// The nine permission bits.
    public var mode: Int
    /// Seconds since 1970.
    public var modified: Int
    /// The media type, where the name says another.
    public var contentType: String?

    public init(name: String, kind: Kind, mode: Int = 0o600, modified: Int = 0, contentType: String? = nil) {
        self.name = name; self.kind = kind; self.mode = mode & 0o777; self.modified = max(0, modified); self.contentType = contentType
    }

    var size: Int { if case .file(let size) = kind { size } else { 0 } }

    /// Whether every segment may become a file name as it is.
    var isWellFormed: Bool {
        (1...8192).contains(name.utf8.count) && !name.utf8.contains(0)
            && name.split(separator: "/", omittingEmptySubsequences: false).allSatisfy { !$0.isEmpty && $0 != "." && $0 != ".." }
    }

    /// The entry's line in the manifest.
    func line(sha256: String) -> String {
        var fields: Document = ["name": .string(name), "mode": .string(String(mode, radix: 8)), "modified": .int(modified)]
        switch kind {
        case .file(let size): fields["size"] = .int(size); fields["sha256"] = .string(sha256)
        case .folder: fields["folder"] = true
        case .link(let target): fields["link"] = .string(target)
        }
        if let contentType { fields["type"] = .string(contentType) }
        return ((try? JSON.data(.object(fields))).map { String(decoding: $0, as: UTF8.self) } ?? name) + "\n"
    }
}

/// Why an archive cannot be read or written: each case reads as a sentence for the operator.
public enum ArchiveError: Error, Sendable, Equatable, CustomStringConvertible {
    case missing(String)
    case notABackup(String)
    /// Half-written, cut short or altered.
    case damaged(String, detail: String)
    case newerFormat(String, found: Int, known: Int)
    case keyNeeded(String)
    case wrongKey(String)
    case weakKey
    case exists(String)
    case full(String)
    case failed(String, reason: String)

    public var description: String {
        switch self {
        case .missing(let path): "There is no file \(path)."
        case .notABackup(let path): "\(path) is not a backup of ClawBot."
        case .damaged(let path, let detail): "The backup \(path) is incomplete or was altered (\(detail)). Nothing was restored from it; use another one."
        case .newerFormat(let path, let found, let known):
            "The backup \(path) was written by a later clawbot (format \(found), this one knows \(known)); restore it with that version."
        case .keyNeeded(let path):
            "The backup \(path) is encrypted: give its key with --key-file FILE, CLAWBOT_BACKUP_KEY or CLAWBOT_BACKUP_KEY_FILE."
        case .wrongKey(let path): "The key that was given does not open the backup \(path)."
        case .weakKey: "The backup key is too short: use at least 16 characters, at random (for example from: openssl rand -base64 33)."
        case .exists(let path): "\(path) exists already; choose another name, or move it away."
        case .full(let path): "The disk with \(path) is full; free some space."
        case .failed(let path, let reason): "\(path) cannot be used: \(reason)."
        }
    }

    static func io(_ path: String, _ code: Int32) -> ArchiveError {
        switch code {
        case ENOSPC, EDQUOT: .full(path)
        case ENOENT: .missing(path)
        case EEXIST: .exists(path)
        default: .failed(path, reason: String(cString: strerror(code)))
        }
    }
}
