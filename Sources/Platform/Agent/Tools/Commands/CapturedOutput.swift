import Foundation
import Platform
import Synchronization

/// The output of a command: its beginning and its end in memory, the whole (up to a bound) in a file once that is too much.
final class CapturedOutput: Sendable {
    private struct State {
        var head: [UInt8] = []
        var tail: [UInt8] = []
        var total = 0
        var file: Int32 = -1
        var filePath: String?
        var fileBytes = 0
    }
    private let state = Mutex(State())
    private let headLimit: Int
    private let tailLimit: Int
    private let fileLimit: Int
    private let directory: String

    /// - Parameters:
    ///   - limit: bytes kept in memory and shown.
    ///   - fileLimit: bytes kept in a file below `directory`; 0 = no file.
    init(limit: Int, fileLimit: Int, directory: String) {
        headLimit = limit / 2
        tailLimit = limit - limit / 2
        self.fileLimit = fileLimit
        self.directory = directory
    }
    deinit {
        let file = state.withLock { $0.file }
        if file >= 0 { close(file) }
    }

    func take(_ bytes: UnsafeRawBufferPointer) {
        state.withLock { state in
            state.total += bytes.count
            if state.file < 0, state.total > headLimit + tailLimit { openFile(&state) }
            if state.file >= 0 { save(bytes, &state) }
            let all = bytes.bindMemory(to: UInt8.self)
            let forHead = min(all.count, headLimit - state.head.count)
            if forHead > 0 { state.head.append(contentsOf: UnsafeBufferPointer(rebasing: all[..<forHead])) }
            // Only what can still be shown is copied; trimmed at twice the size, so that each byte moves once on average.
            let forTail = min(all.count - max(0, forHead), tailLimit)
            if forTail > 0 { state.tail.append(contentsOf: UnsafeBufferPointer(rebasing: all[(all.count - forTail)...])) }
            if state.tail.count > 2 * tailLimit { state.tail.removeFirst(state.tail.count - tailLimit) }
        }
    }

    /// Puts everything into the file from now on, even if it is little: for a command that goes on in the background.
    func keepInFile() {
        state.withLock { if $0.file < 0 { openFile(&$0) } }
    }

    var total: Int { state.withLock { $0.total } }
    var filePath: String? { state.withLock { $0.filePath } }

    /// The last line so far, at most 200 bytes of it.
    var lastLine: String {
        state.withLock { state in
            let end = state.tail.isEmpty ? state.head : state.tail
            let line = end.suffix(400).split(separator: 0x0a).last.map { Array($0.suffix(200)) } ?? []
            return Self.text(line)
        }
    }

    /// What the model sees.
    var text: String {
        state.withLock { state in
            if state.total <= headLimit + tailLimit { return Self.text(state.head + state.tail) }
            let tail = Array(state.tail.suffix(tailLimit))
            // Cut at line ends where there is one nearby, else between characters.
            let head = state.head.lastIndex(of: 0x0a).map { $0 > headLimit / 2 ? Array(state.head[...$0]) : state.head } ?? state.head
            let end = tail.firstIndex(of: 0x0a).map { $0 < tailLimit / 2 ? Array(tail[($0 + 1)...]) : tail } ?? tail
            let left = state.total - head.count - end.count
            var note = "[\(left) bytes left out"
            if let path = state.filePath {
                note +=
                    state.total > fileLimit
                    ? "; the first \(FileAccess.sizeText(fileLimit)) of the output are in \(path)" : "; the whole output is in \(path)"
            }
            return Self.text(head) + "\n\n… \(note)] …\n\n" + Self.text(end)
        }
    }

    /// Text from any bytes: broken UTF-8 replaced, control characters (but tab, newline, return, escape) left out.
    static func text(_ bytes: [UInt8]) -> String {
        let clean =
            bytes.contains { $0 < 0x20 && ![0x09, 0x0a, 0x0d, 0x1b].contains($0) }
            ? bytes.filter { $0 >= 0x20 || [0x09, 0x0a, 0x0d, 0x1b].contains($0) } : bytes
        let start = clean.prefix(3).prefix { $0 & 0xc0 == 0x80 }.count
        return String(decoding: clean[start...], as: UTF8.self)
    }

    private func openFile(_ state: inout State) {
        guard fileLimit > 0, state.filePath == nil else { return }
        try? FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        let path = "\(directory)/output-\(ULID.make()).txt"
        state.file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard state.file >= 0 else { return }
        state.filePath = path
        (state.head + state.tail).withUnsafeBytes { save($0, &state) }
    }

    private func save(_ bytes: UnsafeRawBufferPointer, _ state: inout State) {
        let count = min(bytes.count, fileLimit - state.fileBytes)
        guard count > 0 else { return }
        // A full disk ends the file, not the command.
        let written = write(state.file, bytes.baseAddress, count)
        state.fileBytes = written == count ? state.fileBytes + count : fileLimit
    }
}
